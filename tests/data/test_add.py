import datetime as dt
import itertools
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from polars.testing import assert_frame_equal
from polars.testing.parametric import dataframes

from clew.catalog.tables import metadata
from clew.data import Contract, add, all_of, checkout, find, verify
from clew.data.contract import infer
from clew.data.contracts import check_snapshot, newest
from clew.data.identity import table_id
from clew.data.policies import declare, declared
from clew.errors import ClewError, DataError, NotFoundError, RefusedError, UsageError
from clew.workspace import Workspace

names = (f"d{number}" for number in itertools.count())


def everything(workspace: Workspace) -> tuple[list[str], dict[str, int]]:
    """All objects, and the rows of each table of the catalog but its log."""
    counts = {
        table.name: workspace.catalog.rows(sa.select(sa.func.count()).select_from(table))[0][0]
        for table in metadata.sorted_tables
    }
    return sorted(one.digest for one in workspace.objects.list()), counts


def unchanged(workspace: Workspace, call: Callable[[], Any], kind: type[ClewError], *says: str) -> ClewError:
    """The call is refused, and nothing at all is written."""
    before = everything(workspace)
    with pytest.raises(kind) as caught:
        call()
    assert everything(workspace) == before
    assert not list(workspace.temporary().iterdir())
    for part in says:
        assert part in caught.value.message, caught.value.message
    assert caught.value.mend
    return caught.value


def same(workspace: Workspace, reference: str, frame: pl.DataFrame) -> None:
    """Bit for bit, with types and order."""
    found = find(workspace, reference)
    back = found.collect()
    assert back.schema == frame.schema
    assert table_id(back).id == table_id(frame).id == found.content_id
    assert_frame_equal(back, frame, check_exact=True)


# --- round trips --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from clew.workspace import init, open_folder

    root = tmp_path_factory.mktemp("shared")
    init(root)
    with open_folder(root) as opened:
        yield opened


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(frame=dataframes(max_cols=4, max_size=12, excluded_dtypes=[pl.Object], allow_null=True))
def test_any_table_comes_back_bit_for_bit_or_is_refused_by_name(
    shared: Workspace, frame: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> None:
    name = next(names)
    for column in frame.columns:
        declare(shared, name, column, "allow", "made up")
    try:
        added = add(shared, name, frame)
    except DataError as error:
        if not any(repr(column) in error.message for column in frame.columns) and frame.width:
            raise
        return
    same(shared, f"{name}@1", frame)
    assert added.snapshot.rows == frame.height
    target = tmp_path_factory.mktemp("out") / "t.parquet"
    if frame.width:
        checkout(added.snapshot, target)
        assert table_id(pl.read_parquet(target, glob=False)).id == added.snapshot.content_id
    if not any(dtype in (pl.Int128, pl.UInt128) for dtype in frame.dtypes):
        assert table_id(added.snapshot.to_arrow()).id == added.snapshot.content_id
    again = add(shared, name, added.snapshot.scan())
    assert (again.changed, again.new_bytes, again.snapshot.version) == (False, 0, 1)


ODD = {
    "empty": pl.DataFrame(),
    "no rows": pl.DataFrame(schema={"a": pl.Int64, "b": pl.Enum(["y", "x"]), "c": pl.List(pl.Categorical)}),
    "one column": pl.DataFrame({"a": [1, 2, 3]}),
    "unicode names": pl.DataFrame({"größe": [1], "": [2], "日本 語": ["ü"], 'a"b\\c\n': [None]}),
    "all null": pl.DataFrame({"a": [None, None]}),
    "duplicates": pl.DataFrame({"a": [1] * 500, "b": ["x"] * 500}),
    "zeros and nans": pl.DataFrame({"a": [0.0, -0.0, float("nan"), -float("nan"), float("inf")]}),
    "wide integers": pl.DataFrame({"a": pl.Series([2**100, -1, None], dtype=pl.Int128)}),
    "enum out of order": pl.DataFrame({"a": pl.Series(["b", "a"], dtype=pl.Enum(["z", "b", "a"]))}),
    "nested": pl.DataFrame({"a": [{"x": [{"y": dt.date(2020, 1, 1)}], "z": None}, None]}),
    "arrays of nothing": pl.DataFrame({"a": pl.Series([[], None], dtype=pl.Array(pl.Int8, 0))}),
    "moments": pl.DataFrame(
        {"a": pl.Series([1, None], dtype=pl.Datetime("ns", "Europe/Zurich")), "b": [dt.timedelta(1), None]}
    ),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_tables_come_back(workspace: Workspace, kind: str) -> None:
    frame = ODD[kind]
    add(workspace, "odd", frame)
    same(workspace, "odd@1", frame)
    assert [one.fault for one in verify(all_of(workspace))] == [None]


def test_types_that_have_no_arrow_form_are_told_at_the_edge(workspace: Workspace) -> None:
    found = add(workspace, "wide", ODD["wide integers"]).snapshot
    with pytest.raises(DataError, match="128 bits, and these columns hold some: a"):
        found.to_arrow()


@pytest.mark.parametrize(
    "series",
    [
        pl.Series("odd", [{}], dtype=pl.Struct([])),
        pl.Series("odd", [{"a": {}}], dtype=pl.Struct({"a": pl.Struct([])})),
        pl.Series("odd", [object()], dtype=pl.Object),
        pl.Series("odd", [[1]], dtype=pl.List(pl.Int128)),
    ],
    ids=lambda series: str(series.dtype),
)
def test_a_type_that_would_not_come_back_is_refused_by_name(workspace: Workspace, series: pl.Series) -> None:
    frame = pl.DataFrame({"fine": [1]}).with_columns(series)
    error = unchanged(workspace, lambda: add(workspace, "odd", frame), DataError, "'odd'")
    assert "fine" not in error.message


def test_rows_without_a_column_are_refused(workspace: Workspace) -> None:
    unchanged(workspace, lambda: add(workspace, "odd", pl.DataFrame(height=3)), DataError, "without a column")


# --- what is shared -----------------------------------------------------------------------------------------------


def big(rows: int, first: int = 0) -> pl.DataFrame:
    """Rows that don't compress: 60 bytes each."""
    return pl.DataFrame({"n": range(first, first + rows), "s": [os.urandom(30).hex() for _ in range(rows)]})


@pytest.mark.parametrize("where", ["append", "prepend", "insert", "delete", "replace", "truncate"])
def test_only_what_changed_is_stored(workspace: Workspace, where: str) -> None:
    old, few = big(20_000), big(50, 10**6)
    new = {
        "append": pl.concat([old, few]),
        "prepend": pl.concat([few, old]),
        "insert": pl.concat([old[:9000], few, old[9000:]]),
        "delete": pl.concat([old[:9000], old[9100:]]),
        "replace": pl.concat([old[:9000], few, old[9050:]]),
        "truncate": old[:12_000],
    }[where]
    first = add(workspace, "big", old)
    second = add(workspace, "big", new)
    assert first.new_bytes > 600_000
    assert second.new_bytes < 20_000
    assert second.snapshot.version == 2
    same(workspace, "big@1", old)
    same(workspace, "big@2", new)
    assert all(one.fault is None for one in verify(all_of(workspace)))


def test_many_versions_each_come_back(workspace: Workspace) -> None:
    """Edits on edits, so that ropes are cut out of ropes."""
    frames = [big(300)]
    for step in range(1, 9):
        last = frames[-1]
        at = (step * 97) % last.height
        frames.append(pl.concat([last[: at // 2], last[at // 2 + 3 : at], big(2, step * 1000), last[at:], last[:1]]))
    for frame in frames:
        add(workspace, "series", frame)
    for version, frame in enumerate(frames, start=1):
        same(workspace, f"series@{version}", frame)
    lazily = find(workspace, "series@9").scan().filter(pl.col("n") >= 1000).select("n").collect()
    assert lazily["n"].to_list() == frames[-1].filter(pl.col("n") >= 1000)["n"].to_list()


def test_the_same_again_changes_nothing_and_a_b_a_is_three_versions(workspace: Workspace) -> None:
    a, b = big(100), big(100)
    assert add(workspace, "t", a).changed
    before = everything(workspace)[0]
    again = add(workspace, "t", a)
    assert (again.changed, again.new_bytes, again.snapshot.version) == (False, 0, 1)
    assert everything(workspace)[0] == before
    assert add(workspace, "t", b).snapshot.version == 2
    back = add(workspace, "t", a)
    assert (back.changed, back.new_bytes, back.snapshot.version) == (True, 0, 3)
    elsewhere = add(workspace, "other", a)
    assert (elsewhere.changed, elsewhere.new_bytes, elsewhere.snapshot.version) == (True, 0, 1)
    for reference, frame in (("t@1", a), ("t@2", b), ("t@3", a), ("other@1", a)):
        same(workspace, reference, frame)


def test_from_no_rows_to_some_and_back(workspace: Workspace) -> None:
    some = big(10)
    for frame in (some.clear(), some, some.clear()):
        add(workspace, "t", frame)
    for version, frame in enumerate((some.clear(), some, some.clear()), start=1):
        same(workspace, f"t@{version}", frame)


def test_negative_zero_and_other_nans_are_new_versions(workspace: Workspace) -> None:
    frames = [pl.DataFrame({"x": [1.0, zero, 2.0]}) for zero in (0.0, -0.0)]
    for frame in frames:
        assert add(workspace, "t", frame).changed
    for version, frame in enumerate(frames, start=1):
        same(workspace, f"t@{version}", frame)


def test_categories_are_the_same_as_texts(workspace: Workspace) -> None:
    """The content id says so; then the schema's guard must not say otherwise."""
    texts = pl.DataFrame({"x": ["b", "a", "b"]})
    add(workspace, "t", texts.cast(pl.Categorical))
    assert not add(workspace, "t", texts).changed
    more = pl.DataFrame({"x": ["b", "a", "b", "c"]})
    add(workspace, "t", more)
    assert find(workspace, "t@2").collect()["x"].to_list() == ["b", "a", "b", "c"]


# --- text sources -------------------------------------------------------------------------------------------------


def test_types_stay_from_dump_to_dump(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("code,n,when\nA1,1,2024-01-01\n")
    add(workspace, "t", path)
    path.write_text("code,n,when\n12,,\n")  # would be a number, nothing, nothing
    assert add(workspace, "t", path).snapshot.collect().schema == {"code": pl.String, "n": pl.Int64, "when": pl.Date}
    path.write_text("code,n,when\n12,1,2024-01-01\n13,one,2024-01-01\n")
    error = unchanged(workspace, lambda: add(workspace, "t", path), DataError, "'n'", "row 2: 'one'")
    assert "--accept-schema" in str(error.mend)
    taken = add(workspace, "t", path, accept_schema=True).snapshot.collect()
    assert taken.schema == {"code": pl.String, "n": pl.String, "when": pl.Date}


def test_a_column_that_was_empty_finds_its_type_when_the_change_is_accepted(
    workspace: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,\n")
    add(workspace, "t", path)
    path.write_text("a,b\n1,7\n")
    assert add(workspace, "t", path).snapshot.collect().schema == {"a": pl.Int64, "b": pl.String}
    path.write_text("a,b\n")
    add(workspace, "t", path)
    path.write_text("a,b\n1,8\n")
    assert add(workspace, "t", path, accept_schema=True).snapshot.collect().schema == {"a": pl.Int64, "b": pl.Int64}


def test_vanished_and_retyped_columns_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    add(workspace, "t", pl.DataFrame({"a": [1], "b": ["x"], "c": [1.0]}))
    for frame in (pl.DataFrame({"b": ["x"], "c": [1]}), pl.DataFrame({"b": ["x"], "c": ["1"]})):
        error = unchanged(workspace, partial(add, workspace, "t", frame), RefusedError, "vanished: a", "c: Float64 →")
        assert error.exit_code == 6
        assert "--accept-schema" in str(error.mend)
    path = tmp_path / "t.csv"
    path.write_text("b,c\nx,1\n")
    unchanged(workspace, lambda: add(workspace, "t", path), RefusedError, "columns vanished: a")
    assert add(workspace, "t", path, accept_schema=True).snapshot.version == 2
    assert add(workspace, "t", pl.DataFrame({"b": ["x"], "c": [1.0], "new": [1]})).snapshot.version == 3


# --- refusals that write nothing ----------------------------------------------------------------------------------

PEOPLE = pl.DataFrame(
    {
        "id": range(50),
        "email": [f"person{n}@example.com" for n in range(50)],
        "amount": [float(n) for n in range(50)],
    }
)


def test_personal_data_is_refused_until_a_policy_lets_it_in(workspace: Workspace) -> None:
    error = unchanged(workspace, lambda: add(workspace, "people", PEOPLE), RefusedError, "email", "50 of 50")
    assert "clew data policy people email" in str(error.mend)
    assert "person1@" not in str(error)
    declare(workspace, "people", "email", "drop", "no model needs it")
    added = add(workspace, "people", PEOPLE)
    assert added.snapshot.collect().columns == ["id", "amount"]
    declare(workspace, "people", "email", "allow", "agreed")
    assert add(workspace, "people", PEOPLE).snapshot.collect().columns == ["id", "email", "amount"]
    declare(workspace, "people", "email", "drop", "agreed no longer")
    assert add(workspace, "people", PEOPLE).snapshot.collect().columns == ["id", "amount"]
    assert {name: one.action for name, one in declared(workspace, "people").items()} == {"email": "drop"}


def test_pseudonyms_join_and_their_key_is_outside_of_the_workspace(workspace: Workspace, tmp_path: Path) -> None:
    for name in ("people", "orders"):
        declare(workspace, name, "email", "pseudonym", "to join them")
    people = add(workspace, "people", PEOPLE).snapshot.collect()
    path = tmp_path / "orders.csv"
    path.write_text("email,n\nperson3@example.com,1\n")
    orders = add(workspace, "orders", path).snapshot.collect()
    assert orders["email"][0] == people["email"][3]
    assert "person3" not in str(orders)
    path.write_text("email,n\nperson3@example.com,1\nperson4@example.com,2\n")
    assert add(workspace, "orders", path).snapshot.collect()["email"].to_list() == people["email"][3:5].to_list()
    keys = list((tmp_path / "config").rglob("*.key"))
    assert len(keys) == 1
    assert keys[0].stat().st_mode & 0o077 == 0
    key = keys[0].read_bytes()
    assert all(key not in file.read_bytes() for file in workspace.folder.rglob("*") if file.is_file())


def test_a_pseudonym_is_of_the_text_as_it_stands(workspace: Workspace, tmp_path: Path) -> None:
    """In every dump, whatever the other values of the column look like."""
    declare(workspace, "t", "who", "pseudonym", "it is a person")
    path = tmp_path / "t.csv"
    found = []
    for other in ("1.5", "abc", "007"):
        path.write_text(f"who,n\n1.50,1\n{other},2\n")
        found.append(add(workspace, "t", path).snapshot.collect()["who"][0])
    assert len(set(found)) == 1
    add(workspace, "u", pl.DataFrame({"who": [5]}))
    declare(workspace, "u", "who", "pseudonym", "it is a person after all")
    for _ in range(2):
        assert add(workspace, "u", pl.DataFrame({"who": [5]})).snapshot.collect().schema == {"who": pl.String}


def test_a_blocked_column_never_comes_in(workspace: Workspace) -> None:
    declare(workspace, "pay", "amount", "block", "the council said no")
    unchanged(workspace, lambda: add(workspace, "pay", PEOPLE.drop("email")), RefusedError, "amount", "the council")
    assert add(workspace, "pay", PEOPLE.drop("email", "amount")).changed


def test_a_policy_without_its_reason_makes_no_dataset(workspace: Workspace) -> None:
    unchanged(workspace, lambda: declare(workspace, "t", "a", "drop", " "), UsageError, "reason")


def contract_of(frame: pl.DataFrame, **more: str) -> Contract:
    text = infer(frame, "t").to_toml()
    for old, new in more.items():
        text = text.replace(old, new)
    return Contract.from_toml(text)


GOOD = pl.DataFrame({"id": range(100), "size": [float(n % 7) for n in range(100)]})


def test_a_contract_is_held_from_then_on_and_a_refusal_stores_nothing(workspace: Workspace, tmp_path: Path) -> None:
    """Nothing but the failing row, in a quarantine: see test_quarantine."""
    bad = GOOD.with_columns(size=pl.when(pl.col("id") == 41).then(None).otherwise("size"))
    add(workspace, "t", GOOD, contract=contract_of(GOOD))
    with pytest.raises(RefusedError, match=r"(?s)nothing was stored.*size"):
        add(workspace, "t", bad)
    assert not list(workspace.temporary().iterdir())
    error = unchanged(workspace, lambda: add(workspace, "t", bad), RefusedError, "size")
    assert error.exit_code == 6
    few = GOOD.head(2)
    unchanged(workspace, lambda: add(workspace, "t", few), RefusedError, "min_rows")
    path = tmp_path / "t.csv"
    pl.concat([GOOD, GOOD.with_columns(pl.col("id") + 100)]).write_csv(path)
    assert add(workspace, "t", path).snapshot.version == 2


def test_a_check_that_fails_does_not_bind_the_dataset(workspace: Workspace) -> None:
    found = add(workspace, "t", GOOD).snapshot
    strict = contract_of(GOOD.with_columns(size=pl.lit(1.0)), size="size")
    strict = Contract.from_toml(strict.to_toml() + '\n[[rules]]\nname = "small"\nexpr = "size < 2"\n')
    before = everything(workspace)
    assert not check_snapshot(workspace, found, strict).passed
    assert everything(workspace) == before
    assert newest(workspace, "t") is None
    kept = contract_of(GOOD)
    assert check_snapshot(workspace, found, kept).passed
    assert newest(workspace, "t") == kept


def test_bad_calls_write_nothing(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    calls: list[tuple[Callable[[], Any], type[ClewError], str]] = [
        (lambda: add(workspace, "no good", GOOD), UsageError, "can't be a name"),
        (lambda: add(workspace, "", GOOD), UsageError, "can't be a name"),
        (lambda: add(workspace, "t", tmp_path / "none.csv"), NotFoundError, "none.csv"),
        (lambda: add(workspace, "t", GOOD, key=["nope"]), UsageError, "no column 'nope'; it has: id, size"),
        (lambda: add(workspace, "t", GOOD, subject="nope"), UsageError, "nope"),
        (lambda: add(workspace, "t", folder, key=["id"]), UsageError, "folder"),
        (lambda: add(workspace, "t", folder, contract=contract_of(GOOD)), UsageError, "folder"),
    ]
    for call, kind, says in calls:
        before = everything(workspace)
        with pytest.raises(kind, match=says):
            call()
        assert everything(workspace) == before


def test_a_table_and_a_folder_are_not_versions_of_one_thing(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    add(workspace, "files", folder)
    add(workspace, "rows", GOOD)
    unchanged(workspace, lambda: add(workspace, "files", GOOD), RefusedError, "folder")
    unchanged(workspace, lambda: add(workspace, "rows", folder), RefusedError, "folder")
