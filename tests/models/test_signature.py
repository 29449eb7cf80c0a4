"""Requests as tables: every bad one names its row and field."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from clew.errors import UsageError
from clew.models.signature import Signature, infer

MIDNIGHT = datetime(2024, 1, 1)  # noqa: DTZ001 - tables have times without a zone
EXAMPLE = pl.DataFrame(
    {
        "f": [1.5, None],
        "i": [1, 2],
        "s": ["a", None],
        "b": [True, False],
        "d": [date(2024, 1, 1), None],
        "t": [MIDNIGHT, None],
    }
)
GOOD: dict[str, Any] = {
    "f": 2,
    "i": 3.0,
    "s": "x",
    "b": True,
    "d": "2024-02-29",
    "t": "2024-02-29T12:00:00",
    "other": {},
}


def test_kinds() -> None:
    signature = infer(EXAMPLE)
    assert [(field.name, field.kind, field.nullable) for field in signature.inputs] == [
        ("f", "float", True),
        ("i", "int", False),
        ("s", "string", True),
        ("b", "bool", False),
        ("d", "date", True),
        ("t", "datetime", True),
    ]
    for odd in (pl.Series("x", [[1]]), pl.Series("x", [b"1"]), pl.Series("x", [None]), pl.Series("x", [{"a": 1}])):
        with pytest.raises(UsageError, match="column 'x'"):
            infer(odd.to_frame())


def test_good_rows() -> None:
    table = infer(EXAMPLE).table([GOOD, GOOD | {"f": None, "s": None, "d": None, "t": None}])
    assert table.rows() == [
        (2.0, 3, "x", True, date(2024, 2, 29), MIDNIGHT + timedelta(days=59, hours=12)),
        (None, 3, None, True, None, None),
    ]
    assert infer(EXAMPLE).table([]).schema == table.schema == infer(EXAMPLE).select(EXAMPLE).schema


VALUES: dict[str, list[Any]] = {
    "f": ["1", True, float("nan"), float("inf"), [1], {}, 10**400],
    "i": ["1", True, 1.5, None, 2**63, float("nan"), 1e300, float("inf")],
    "s": [1, True, [], b"x"],
    "b": [1, "true", None],
    "d": ["tomorrow", "2024-02-30", 20240101, "2024-01-01T00:00:00"],
    "t": ["noon", "2024-02-30T00:00:00", 0, True, "0001-01-01T00:00:00+14:00"],
}
BAD = [(name, value) for name, values in VALUES.items() for value in values]


@pytest.mark.parametrize(("name", "value"), BAD, ids=[f"{name}={str(value)[:12]}" for name, value in BAD])
def test_a_bad_value_names_row_and_field(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"row 1: field '{name}'") as raised:
        infer(EXAMPLE).table([GOOD, GOOD | {name: value}])
    assert len(raised.value.message) < 200


@pytest.mark.parametrize("name", EXAMPLE.columns)
def test_a_missing_field_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=f"row 0: field '{name}' is missing"):
        infer(EXAMPLE).table([{key: value for key, value in GOOD.items() if key != name}])


@pytest.mark.parametrize("row", [None, 1, "f", [1]])
def test_a_row_that_is_no_object(row: Any) -> None:
    with pytest.raises(UsageError, match="row 1 must be an object"):
        infer(EXAMPLE).table([GOOD, row])


def test_times_with_a_zone_become_utc() -> None:
    table = infer(EXAMPLE).table([GOOD | {"t": "2024-01-01T12:00:00+02:00"}, GOOD | {"t": "2024-01-01T12:00:00Z"}])
    assert table["t"].to_list() == [MIDNIGHT + timedelta(hours=10), MIDNIGHT + timedelta(hours=12)]
    zoned = pl.DataFrame({"t": [datetime(2024, 1, 1, 12, tzinfo=UTC)]})
    assert infer(zoned).select(zoned)["t"].to_list() == [MIDNIGHT + timedelta(hours=12)]


def test_tables_are_cast_or_refused() -> None:
    signature = Signature(infer(EXAMPLE.select("f", "i")).inputs)
    assert signature.select(pl.DataFrame({"i": [1.0], "f": [2], "z": [0]})).rows() == [(2.0, 1)]
    with pytest.raises(UsageError, match="lacks columns that the model needs: i"):
        signature.select(pl.DataFrame({"f": [1.0]}))
    with pytest.raises(UsageError, match="'i' holds no whole numbers"):
        signature.select(pl.DataFrame({"f": [1.0], "i": [1.5]}))
    with pytest.raises(UsageError, match="'f'"):
        signature.select(pl.DataFrame({"f": ["x"], "i": [1]}))
