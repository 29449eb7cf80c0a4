import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew.data import add, diff, find
from clew.data._diff import _compared
from clew.data._gather import Decoded
from clew.data.rope import Fragment
from clew.errors import UsageError
from clew.workspace import Workspace


def test_rows_by_key(workspace: Workspace) -> None:
    add(workspace, "t", pl.DataFrame({"id": [1, 2, 3], "x": ["a", "b", "c"]}), key=["id"])
    add(workspace, "t", pl.DataFrame({"id": [4, 3, 2], "x": ["d", "c", "B"]}))
    found = diff(find(workspace, "t@1"), find(workspace, "t@2"))
    assert {"by": "key", "added": 1, "removed": 1, "changed": 1, "same": False}.items() <= found.items()
    assert found["rows"] == [3, 3]
    back = diff(find(workspace, "t@2"), find(workspace, "t@1"))
    assert (back["added"], back["removed"], back["changed"]) == (1, 1, 1)
    same = diff(find(workspace, "t@1"), find(workspace, "t@1"))
    assert (same["same"], same["added"], same["removed"], same["changed"]) == (True, 0, 0, 0)


def test_rows_without_a_key_or_with_one_that_repeats(workspace: Workspace) -> None:
    add(workspace, "t", pl.DataFrame({"x": [1, 1, 2]}), key=["x"])
    add(workspace, "t", pl.DataFrame({"x": [1, 2, 3, 3]}))
    found = diff(find(workspace, "t@1"), find(workspace, "t@2"))
    told = [found[name] for name in ("by", "added", "removed", "changed")]
    assert told == ["position", 2, 1, 0]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from("abc"), max_size=9), st.lists(st.sampled_from("abc"), max_size=9))
def test_whole_rows_are_compared_as_a_bag(old: list[str], new: list[str]) -> None:
    left, right = (pl.DataFrame({"x": pl.Series(rows, dtype=pl.String)}) for rows in (old, new))
    found = _compared(left, right, ())
    assert found["added"] == sum(max(0, new.count(one) - old.count(one)) for one in "abc")
    assert found["removed"] == sum(max(0, old.count(one) - new.count(one)) for one in "abc")


def told(old: dict[int, int], new: dict[int, int]) -> dict[str, int]:
    both = old.keys() & new.keys()
    return {
        "added": len(new.keys() - both),
        "removed": len(old.keys() - both),
        "changed": sum(old[one] != new[one] for one in both),
    }


@pytest.mark.parametrize("seed", range(6))
def test_versions_far_apart_by_key(workspace: Workspace, seed: int) -> None:
    """Rows that are added, removed, changed, changed back and moved, over six versions; against plain dicts."""
    draw = np.random.default_rng(seed)
    rows: dict[int, int] = dict.fromkeys(range(400), 0)
    versions = []
    for _ in range(6):
        versions.append(dict(rows))
        frame = pl.DataFrame(
            {"text": "same", "id": list(rows), "x": list(rows.values())}, schema_overrides={"id": pl.Int64}
        )
        add(workspace, "t", frame, key=["id"])
        for one in draw.choice(400, 40).tolist():
            rows[one] = 1 - rows.get(one, 0)  # there and back again
        for one in draw.choice(400, 10).tolist():
            rows.pop(one, None)
        rows |= {400 + int(one): 5 for one in draw.choice(1000, 5)}
        rows[-1] = int(draw.integers(100))
    for a, before in enumerate(versions):
        for b, after in enumerate(versions):
            if a == b or before == after:
                continue
            found = diff(find(workspace, f"t@{a + 1}"), find(workspace, f"t@{b + 1}"))
            if b == a + 1 and found["by"] == "position":
                continue  # counted so when it was added, since most of the rows were new
            assert found["by"] == "key"
            assert {name: found[name] for name in ("added", "removed", "changed")} == told(before, after), (a, b)


def test_far_apart_only_the_key_and_what_may_be_as_it_was_is_read(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pl.DataFrame({"id": range(5000), "x": 0.0, "y": "a", "z": 1})
    for at in (None, 10, 20):
        if at is not None:
            frame = frame.with_columns(x=pl.when(pl.col("id") % 50 == at).then(1.5).otherwise("x"))
        add(workspace, "t", frame, key=["id"])
    read: list[tuple[str, ...]] = []
    original = Decoded.frame

    def noted(self: Decoded, fragment: Fragment, columns: tuple[str, ...]) -> pl.DataFrame:
        read.append(columns)
        return original(self, fragment, columns)

    monkeypatch.setattr(Decoded, "frame", noted)
    found = diff(find(workspace, "t@1"), find(workspace, "t@3"))
    assert (found["added"], found["removed"], found["changed"]) == (0, 0, 200)
    assert set(read) == {("id",)}


def test_changes_of_the_schema(workspace: Workspace) -> None:
    add(workspace, "t", pl.DataFrame({"a": [1], "b": ["x"], "c": [1]}))
    add(workspace, "t", pl.DataFrame({"a": [1.0], "c": [1], "d": [True]}), accept_schema=True)
    found = diff(find(workspace, "t@1"), find(workspace, "t@2"))
    assert found["schema"] == {
        "added": {"d": "Boolean"},
        "removed": {"b": "String"},
        "changed": {"a": ["Int64", "Float64"]},
    }
    assert (found["added"], found["removed"]) == (0, 0)  # by the columns that both have
    add(workspace, "t", pl.DataFrame({"z": [1]}), accept_schema=True)
    none = diff(find(workspace, "t@2"), find(workspace, "t@3"))
    assert (none["by"], none["added"], none["removed"]) == ("nothing in common", 1, 1)


def test_any_names_of_columns_will_do(workspace: Workspace) -> None:
    names = ["__hash", "__hash_before", "x", "x_before", "before", "after", "hash", "len", "hash____________________"]
    add(workspace, "t", pl.DataFrame({name: [1, 2] for name in names}), key=["x"])
    add(workspace, "t", pl.DataFrame({name: [1, 3] for name in names}))
    found = diff(find(workspace, "t@1"), find(workspace, "t@2"))
    assert (found["by"], found["added"], found["removed"], found["changed"]) == ("key", 1, 1, 0)
    add(workspace, "u", pl.DataFrame({name: [1, 2] for name in names}))
    add(workspace, "u", pl.DataFrame({name: [1, 3] for name in names}))
    assert diff(find(workspace, "u@1"), find(workspace, "u@2"))["added"] == 1


def test_empty_tables_and_nulls(workspace: Workspace) -> None:
    frame = pl.DataFrame({"id": [1, None], "x": [None, 2]})
    for one in (frame.clear(), frame, frame.clear()):
        add(workspace, "t", one, key=["id"])
    assert diff(find(workspace, "t@1"), find(workspace, "t@2"))["added"] == 2
    assert diff(find(workspace, "t@2"), find(workspace, "t@3"))["removed"] == 2


def test_a_table_and_a_folder_are_not_compared(workspace: Workspace) -> None:
    folder = workspace.root.parent / "in"
    folder.mkdir()
    (folder / "a").write_text("a")
    add(workspace, "files", folder)
    add(workspace, "t", pl.DataFrame({"a": [1]}))
    with pytest.raises(UsageError, match="can't be compared"):
        diff(find(workspace, "t@1"), find(workspace, "files@1"))
