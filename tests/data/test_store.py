"""What a new dump costs, how it lies, and that it comes back, whatever was edited."""

import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew.data import _compact as compaction
from clew.data import add, find
from clew.data._fray import is_frayed
from clew.data.identity import table_id
from clew.data.snapshot import Snapshot
from clew.workspace import Workspace, init, open_folder

ROWS = 30_000


def table(rows: int = ROWS, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    towns = np.array(["Ames", "Boone", "Nevada", ""])
    return pl.DataFrame(
        {
            "id": np.arange(rows),
            "x": rng.normal(size=rows),
            "y": rng.normal(size=rows).astype(np.float32),
            "town": towns[rng.integers(0, 4, rows)],
            "kind": pl.Series(["a", None, "b"] * (rows // 3), dtype=pl.Categorical),
            "n": rng.integers(0, 10**6, rows),
        }
    )


def edited(frame: pl.DataFrame, rng: np.random.Generator, share: float = 0.01) -> pl.DataFrame:
    """A scattered share updated, deleted, inserted, appended; and one row put before all."""
    hit = pl.Series(rng.random(frame.height) < share)
    frame = frame.with_columns(x=pl.when(hit).then(pl.col("x") + 1).otherwise(pl.col("x")))
    frame = frame.filter(pl.Series(rng.random(frame.height) >= share))
    news = table(300, int(rng.integers(10**6))).with_columns(pl.col("id") + 10**6)
    half = frame.height // 2
    return pl.concat([news[:1], frame[:half], news[1:150], frame[half:], news[150:]])


def alone(frame: pl.DataFrame, folder: Path) -> int:
    frame.write_parquet(folder / "alone.parquet", compression="zstd")
    return (folder / "alone.parquet").stat().st_size


def on_disk(workspace: Workspace) -> int:
    return sum(stored.size for stored in workspace.objects.list())


def same(snapshot: Snapshot, frame: pl.DataFrame) -> bool:
    return table_id(snapshot.collect()).id == snapshot.content_id == table_id(frame).id


def test_edits_cost_what_changed(workspace: Workspace, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frame = table()
    add(workspace, "t", frame)
    new = edited(frame, rng)
    before = on_disk(workspace)
    added = add(workspace, "t", new)
    grown = on_disk(workspace) - before
    assert grown == added.new_bytes
    fresh = new.join(frame, on=frame.columns, how="anti", nulls_equal=True)
    assert grown <= 1.2 * alone(fresh, tmp_path) + 30_000
    assert same(added.snapshot, new)
    assert same(find(workspace, "t@1"), frame)


@pytest.mark.parametrize("how", ["added", "recomputed", "recomputed, rows deleted"])
def test_a_column_costs_the_column(workspace: Workspace, tmp_path: Path, how: str) -> None:
    rng = np.random.default_rng(2)
    frame = table()
    add(workspace, "t", frame)
    name = "new" if how == "added" else "n"
    new = frame.with_columns(pl.Series(name, rng.integers(0, 10**6, ROWS)))
    if "deleted" in how:
        new = new.filter(pl.Series(rng.random(ROWS) > 0.01))
    before = on_disk(workspace)
    added = add(workspace, "t", new)
    assert on_disk(workspace) - before <= 1.2 * alone(new.select(name), tmp_path) + 30_000
    assert len(added.snapshot.groups()) == 2
    assert same(added.snapshot, new)
    last = edited(new, rng) if how == "recomputed" else new.filter(pl.col("x") > 0)
    assert same(add(workspace, "t", last).snapshot, last)  # rows of two groups are found again, too
    dropped = last.drop("y").select("town", "id", "x", name)
    again = add(workspace, "t", dropped, accept_schema=True)
    assert same(again.snapshot, dropped)
    assert again.new_bytes < 10_000


def test_another_order_costs_a_few_bytes_a_row(workspace: Workspace) -> None:
    frame = table()
    add(workspace, "t", frame)
    new = frame.sample(fraction=1, shuffle=True, seed=4)
    added = add(workspace, "t", new)
    assert added.new_bytes <= 10 * ROWS
    assert added.compacted_bytes == 0
    assert same(added.snapshot, new)


@pytest.mark.parametrize("groups", [1, 2])
def test_reading_knows_projections_filters_and_limits(workspace: Workspace, groups: int) -> None:
    rng = np.random.default_rng(3)
    frame = table()
    add(workspace, "t", frame)
    new = edited(frame, rng)
    if groups == 2:
        new = new.with_columns(n=pl.lit(1) + pl.col("id"))
    lazy = add(workspace, "t", new).snapshot.scan()
    for query in (
        lambda of: of.select("town", "id"),
        lambda of: of.filter(pl.col("id") < 40),
        lambda of: of.filter((pl.col("x") > 2) & pl.col("town").is_in(["Ames"])).select("n"),
        lambda of: of.filter(pl.col("kind").is_null()).select(pl.len()),
        lambda of: of.filter(pl.lit(value=False)),
        lambda of: of.filter(pl.lit(value=True)).head(5),
        lambda of: of.head(7).select("y"),
        lambda of: of.slice(29_000, 500),
        lambda of: of.tail(3),
        lambda of: of.group_by("town").agg(pl.col("n").sum()).sort("town"),
        lambda of: of.filter(pl.col("id") == -5).select("id"),
    ):
        assert query(lazy).collect().equals(query(new.lazy()).collect(), null_equal=True)  # type: ignore[no-untyped-call]


def _positive(series: pl.Series) -> pl.Series:
    assert (series > 0).all()
    return series > 0


def test_a_function_of_the_user_never_sees_a_row_that_is_gone(workspace: Workspace) -> None:
    frame = table().with_columns(n=pl.when(pl.col("id") % 3 == 0).then(0).otherwise(pl.col("n") + 1))
    add(workspace, "t", frame)
    lazy = add(workspace, "t", frame.filter(pl.col("n") > 0)).snapshot.scan()
    kept = lazy.filter(pl.col("n").map_batches(_positive, return_dtype=pl.Boolean)).collect()
    assert kept.height == ROWS * 2 // 3


def test_a_frayed_table_is_laid_together_by_itself_and_no_version_is_lost(workspace: Workspace) -> None:
    rng = np.random.default_rng(5)
    frames = [table()]
    compacted = 0
    add(workspace, "t", frames[0])
    for _ in range(25):
        frames.append(edited(frames[-1], rng))
        added = add(workspace, "t", frames[-1])
        compacted += added.new_bytes + added.compacted_bytes > 100_000
        assert not is_frayed(added.snapshot.groups(), busy=True)
    assert 1 <= compacted <= 8
    for version, frame in enumerate(frames, start=1):
        assert same(find(workspace, f"t@{version}"), frame)


def test_an_add_of_much_leaves_the_laying_together_to_the_next_one(workspace: Workspace) -> None:
    rng = np.random.default_rng(6)
    frame = table()
    add(workspace, "t", frame)
    for round_ in range(3):
        frame = frame.with_columns(y=pl.when(pl.col("id") % 100 == round_).then(pl.col("y") + 1).otherwise("y"))
        assert not is_frayed(add(workspace, "t", frame).snapshot.groups())
    places = rng.choice(frame.height, frame.height // 16, replace=False)
    frame = frame.with_columns(y=frame["y"].clone().scatter(places, -1.0))
    busy = add(workspace, "t", frame)
    assert is_frayed(busy.snapshot.groups())
    assert busy.compacted_bytes == 0
    assert same(busy.snapshot, frame)
    frame = frame.with_columns(y=pl.when(pl.col("id") == 7).then(0.5).otherwise("y"))
    quiet = add(workspace, "t", frame)
    assert not is_frayed(quiet.snapshot.groups())
    assert same(quiet.snapshot, frame)
    assert same(find(workspace, "t@5"), find(workspace, "t@5").collect())


def test_many_small_appends_are_merged_and_the_long_part_stays(workspace: Workspace) -> None:
    frame = table(150_000)
    add(workspace, "t", frame)
    largest = find(workspace, "t@1").groups()[0].rope.fragments[0]
    written = 0
    for start in range(40):
        frame = pl.concat([frame, table(90, start)])
        written += add(workspace, "t", frame).compacted_bytes
    rope = find(workspace, "t@latest").groups()[0].rope
    assert rope.fragments[0] == largest
    assert len(rope.fragments) < 20
    assert 0 < written < 400_000
    assert same(find(workspace, "t@latest"), frame)


def test_compaction_by_hand_changes_where_rows_lie_and_nothing_else(workspace: Workspace) -> None:
    frame = table()
    add(workspace, "t", frame)
    added = add(workspace, "t", frame.filter(pl.col("id") % 7 > 0).with_columns(n=pl.col("n") * 2))
    old = added.snapshot.ropes()
    assert compaction.compact(workspace, added.snapshot) == 0  # not frayed
    assert compaction.compact(workspace, added.snapshot, force=True) > 0
    found = find(workspace, "t@2")
    assert found.ropes() != old
    assert [group.rope.is_plain for group in found.groups()] == [True]
    assert found.content_id == added.snapshot.content_id
    assert same(found, found.collect())
    assert same(find(workspace, "t@1"), frame)


def test_an_unchanged_file_is_known_by_its_stamp(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table(300).write_parquet(path)
    first = add(workspace, "t", path)
    assert first.changed
    time.sleep(2.1)
    assert not add(workspace, "t", path).changed  # read once more: it was too young to be trusted
    reads: list[Path] = []
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patched:
        patched.setattr("clew.data.readers.open_source", lambda *given: reads.append(given[0]))
        assert not add(workspace, "t", path).changed
    assert reads == []
    table(300, 1).write_parquet(path)
    assert add(workspace, "t", path).changed


def test_a_part_of_a_source_is_not_taken_for_the_whole(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(3):
        table(300, i).write_parquet(folder / f"{i}.parquet")
    add(workspace, "t", folder)
    time.sleep(2.1)
    assert not add(workspace, "t", folder).changed
    assert not add(workspace, "t", folder).changed
    assert add(workspace, "t", folder / "0.parquet").snapshot.rows == 300
    assert add(workspace, "t", str(folder / "[01].parquet")).snapshot.rows == 600
    assert add(workspace, "t", folder).snapshot.rows == 900


def test_a_large_table_is_streamed_and_found_again(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The paths that tables larger than memory take, with limits made small."""
    monkeypatch.setattr("clew.data.readers._IN_MEMORY_BYTES", 1)
    monkeypatch.setattr("clew.data._gather.WHOLE_BYTES", 1)
    monkeypatch.setattr("clew.data._gather._HELD_BYTES", 200_000)
    monkeypatch.setattr("clew.data._numbers_file._IN_MEMORY", 5_000)
    monkeypatch.setattr("clew.data._match.WINDOW_ROWS", 8_000)
    monkeypatch.setattr("clew.data._fragments.FRAGMENT_BYTES", 300_000)
    monkeypatch.setattr("clew.data._fragments.ROW_GROUP_ROWS", 2_000)
    monkeypatch.setattr("clew.data._parquet_files._BATCH_ROWS", 3_000)
    rng = np.random.default_rng(6)
    frame = table()
    for version in range(1, 4):
        frame.write_parquet(tmp_path / "t.parquet", row_group_size=2_500)
        added = add(workspace, "t", tmp_path / "t.parquet")
        assert added.snapshot.version == version
        assert same(added.snapshot, frame)
        assert version == 1 or added.new_bytes < 120_000
        frame = edited(frame, rng)
    assert sorted(path.name for path in workspace.temporary().iterdir()) == []


cells = st.one_of(st.none(), st.integers(0, 3))
small = st.lists(st.tuples(cells, st.sampled_from(["", "a", "ä", None])), max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(versions=st.lists(small, min_size=1, max_size=5))
def test_any_history_comes_back(versions: list[list[tuple[int | None, str | None]]], tmp_path: Path) -> None:
    root = tmp_path / "shared"
    init(root)
    with open_folder(root) as workspace:
        name = f"t{len(list(workspace.objects.list()))}-{np.random.default_rng().integers(10**9)}"
        frames = [
            pl.DataFrame(
                {"n": [row[0] for row in rows], "s": [row[1] for row in rows]}, schema={"n": pl.Int64, "s": pl.String}
            )
            for rows in versions
        ]
        snapshots = [add(workspace, name, frame).snapshot for frame in frames]
        for snapshot, frame in zip(snapshots, frames, strict=True):
            assert same(find(workspace, snapshot.reference), frame)
