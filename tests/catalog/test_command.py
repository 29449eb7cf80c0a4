"""Commands as values: what goes over the wire, and what is refused before anything is written."""

from datetime import datetime
from typing import Any

import msgspec
import pytest
from tests.catalog import things
from tests.catalog.things import NOWHERE, WHEN, snapshot_of

from clew.catalog import Catalog, Command, Transaction, decode, encode
from clew.catalog.command import all_commands, checked
from clew.catalog.commands import CreateDataset, EndRun, RecordSegment, RecordSnapshot, SetPolicy
from clew.catalog.tables import data
from clew.errors import UsageError


def test_the_wire_names_the_command_and_its_fields() -> None:
    body = encode(SetPolicy(dataset_id=NOWHERE, column="phone", action="drop", reason="unused"))
    assert msgspec.json.decode(body) == {
        "command": "SetPolicy",
        "dataset_id": NOWHERE,
        "column": "phone",
        "action": "drop",
        "reason": "unused",
        "details": None,
    }


def test_a_moment_keeps_its_microseconds_and_its_zone_over_the_wire() -> None:
    command = snapshot_of(NOWHERE, "A")
    again = decode(encode(command))
    assert again == command
    assert isinstance(again, RecordSnapshot)
    assert again.occurred_at == WHEN


class FromElsewhere(Command, frozen=True, kw_only=True):
    def apply(self, tx: Transaction) -> None:
        raise AssertionError("it must not get here")


def test_only_clews_own_commands_are_taken_from_the_wire() -> None:
    assert FromElsewhere not in all_commands()
    with pytest.raises(UsageError, match="FromElsewhere"):
        decode(encode(FromElsewhere()))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b'{"command": "CreateDataset", "name": "\xff"}', "JSON|utf-8"),
        (b"[]", "object"),
        (b"{}", "command"),
        (b'{"command": "DropEverything"}', "DropEverything"),
        (b'{"command": "CreateDataset"}', "name"),
        (b'{"command": "CreateDataset", "name": 1}', r"\$\.name"),
        (b'{"command": "CreateDataset", "name": "a", "nmae": "b"}', "nmae"),
        (b'{"command": "CreateDataset", "name": "a\\u0000b"}', "NUL"),
        (b'{"command": "EndRun", "run_id": "3", "state": "done"}', r"\$\.run_id"),
        (f'{{"command": "EndRun", "run_id": "{NOWHERE}", "state": "running"}}'.encode(), "state"),
        (f'{{"command": "EndRun", "run_id": "{NOWHERE.upper()}A", "state": "done"}}'.encode(), "run_id"),
        (b'{"command": "RecordSegment", "writer": "w", "sequence": -1, "state": "open"}', "sequence"),
    ],
)
def test_what_is_no_command_is_refused_and_named(body: bytes, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        decode(body)


def test_a_backslash_before_u0000_is_no_nul() -> None:
    command = CreateDataset(name="a", subject_column=r"a\u0000 b\\u0000")
    assert decode(encode(command)) == command


BAD: list[Any] = [
    lambda: snapshot_of(NOWHERE, "A", occurred_at=datetime(2026, 1, 1)),  # noqa: DTZ001
    lambda: snapshot_of(NOWHERE, "A", manifest="no digest"),
    lambda: snapshot_of(NOWHERE, "A", content_id=""),
    lambda: snapshot_of(NOWHERE, "A", content_id="c1:" + "a" * 80),
    lambda: snapshot_of("sales", "A"),
    lambda: snapshot_of(NOWHERE, "A", rows=2**63),
    lambda: snapshot_of(NOWHERE, "A", rows=-1),
    lambda: snapshot_of(NOWHERE, "A", kind="video"),
    lambda: snapshot_of(NOWHERE, "A", schema={"column": object()}),
    lambda: snapshot_of(NOWHERE, "A", message="a\0b"),
    lambda: snapshot_of(NOWHERE, "A", message="\ud800"),
    lambda: EndRun(run_id=NOWHERE, state="done", metrics={"mae": "low"}),  # type: ignore[dict-item]
    lambda: RecordSegment(writer="w", sequence=1, state="lost"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("make", BAD, ids=range(len(BAD)))
def test_in_process_a_command_is_checked_as_a_hub_would(catalog: Catalog, make: Any) -> None:
    sales = things.name("sales")
    with pytest.raises(UsageError) as caught:
        catalog.execute(make())
    assert str(caught.value)
    assert things.count(catalog, data.datasets, name=sales) == 0


def test_numbers_that_are_not_finite_become_null() -> None:
    command = checked(EndRun(run_id=NOWHERE, state="done", metrics={"loss": float("nan"), "mae": 0.1}))
    assert command.metrics == {"loss": None, "mae": 0.1}


def test_a_command_that_does_not_say_how_is_refused(catalog: Catalog) -> None:
    class Empty(Command, frozen=True, kw_only=True):
        pass

    with pytest.raises(NotImplementedError, match=r"define apply\(\)"):
        catalog.execute(Empty())


def test_documents_keep_their_values(catalog: Catalog) -> None:
    document = {
        "seed": 2**128 - 1,
        "small": 5e-324,
        "tenth": 0.1,
        "text": "ﬀ 家 \U0001f9f6",
        "deep": [{"": [None, True]}],
    }
    sales = things.dataset(catalog)
    snapshot_id = catalog.execute(snapshot_of(sales, sales, schema=document))["snapshot_id"]
    content = catalog.get(data.contents, catalog.get(data.snapshots, snapshot_id).content_pk)
    assert content.schema == document
