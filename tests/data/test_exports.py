import datetime as dt
import itertools
import json
import pickle
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from clew.cli import main
from clew.data import Snapshot, _batches, _exports, add
from clew.data.identity import table_id
from clew.errors import DataError, MissingDependencyError, RefusedError, StoreError, UsageError
from clew.workspace import Workspace

FRAME = pl.DataFrame(
    {
        "id": [1, 2, 3, 4, 5],
        "n": [1, None, 3, 4, 5],
        "b": [True, False, None, True, True],
        "f": [0.5, None, 1.5, 2.5, 3.5],
        "s": ["a", None, "c", "", "ü"],
        "d": [dt.date(2024, 1, 1), None, dt.date(2024, 1, 3), dt.date(2024, 1, 4), dt.date(2024, 1, 5)],
        "a": pl.Series([[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]], dtype=pl.Array(pl.Int32, 2)),
        "m": pl.Series([[1, None], None, [5, 6], [7, 8], [9, 10]], dtype=pl.Array(pl.Int32, 2)),
        "l": [[1], [1, 2], None, [], [3]],
        "r": [{"x": 1}, None, {"x": None}, {"x": 2}, {"x": 3}],
    }
)


def frayed(workspace: Workspace, frame: pl.DataFrame = FRAME) -> Snapshot:
    """A table whose rows lie in several fragments, out of order."""
    add(workspace, "t", frame[1:4])
    return add(workspace, "t", frame).snapshot


# --- batches ------------------------------------------------------------------------------------------------------


def test_batches_have_one_type_for_each_column(workspace: Workspace) -> None:
    found = list(frayed(workspace).batches(2))
    assert [len(batch["id"]) for batch in found] == [2, 2, 1]
    kinds = {name: {batch[name].dtype for batch in found} for name in FRAME.columns}
    assert kinds == {
        "id": {np.dtype("int64")},
        "n": {np.dtype("float64")},
        "b": {np.dtype("float64")},
        "f": {np.dtype("float64")},
        "s": {np.dtype("O")},
        "d": {np.dtype("datetime64[D]")},
        "a": {np.dtype("int32")},
        "m": {np.dtype("float64")},
        "l": {np.dtype("O")},
        "r": {np.dtype("O")},
    }
    np.testing.assert_array_equal(found[0]["n"], [1, np.nan])
    np.testing.assert_array_equal(found[1]["b"], [np.nan, 1])
    assert np.isnat(found[0]["d"][1])
    assert found[1]["a"].tolist() == [[5, 6], [7, 8]]
    np.testing.assert_array_equal(found[0]["m"], [[1, np.nan], [np.nan, np.nan]])
    assert [*found[0]["l"], *found[1]["l"]] == [[1], [1, 2], None, []]
    assert found[1]["r"].tolist() == [{"x": None}, {"x": 2}]
    assert found[0]["s"].tolist() == ["a", None]
    for name, array in found[0].items():
        assert array.flags.writeable, name


def test_batches_of_some_columns_in_their_order(workspace: Workspace) -> None:
    snapshot = frayed(workspace)
    (batch,) = snapshot.batches(100, columns=["s", "id"])
    assert list(batch) == ["s", "id"]
    assert batch["id"].tolist() == [1, 2, 3, 4, 5]
    assert list(add(workspace, "empty", FRAME.clear()).snapshot.batches(3)) == []
    for wrong in ({"columns": ["none"]}, {"size": 0}, {"shard": (2, 2)}):
        with pytest.raises(UsageError):
            snapshot.batches(**({"size": 2} | wrong))
    large = add(workspace, "large", pl.DataFrame({"fine": [2**60], "odd": [2**60]}))
    assert next(large.snapshot.batches(1))["odd"].tolist() == [2**60]
    large = add(workspace, "large", pl.DataFrame({"fine": [2**60, 1], "odd": [2**60, None]}))
    with pytest.raises(DataError, match="column 'odd' has nulls"):
        large.snapshot.batches(1)


@pytest.mark.parametrize(("size", "shards"), [(1, 1), (7, 3), (64, 1), (5000, 3)])
def test_shuffled_rows_are_each_there_once_in_an_order_that_the_seed_tells(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, size: int, shards: int
) -> None:
    monkeypatch.setattr(_batches, "_BLOCK_ROWS", 16)
    frame = pl.DataFrame({"i": range(1000), "twice": range(0, 2000, 2)})
    add(workspace, "t", frame[100:900])
    snapshot = add(workspace, "t", frame).snapshot

    def order(seed: int | None, columns: list[str] | None = None) -> list[list[int]]:
        found = []
        for shard in range(shards):
            parts = list(snapshot.batches(size, columns=columns, shuffle=seed, shard=(shard, shards)))
            assert all(len(part["i"]) == size for part in parts[:-1])
            found.append([int(i) for part in parts for i in part["i"]])
        return found

    plain, first = order(None), order(1)
    assert sorted(itertools.chain(*plain)) == sorted(itertools.chain(*first)) == list(range(1000))
    assert all(part == sorted(part) for part in plain)
    assert first == order(1) == order(1, ["i"]) != order(2)
    assert max(map(len, first)) - min(map(len, first)) <= 32
    assert np.corrcoef(first[0], np.arange(len(first[0])))[0, 1] < 0.5
    (both,) = snapshot.batches(1000, shuffle=3)
    assert (both["twice"] == 2 * both["i"]).all()


def test_the_order_does_not_depend_on_the_size(workspace: Workspace) -> None:
    snapshot = add(workspace, "t", pl.DataFrame({"i": range(1000)})).snapshot
    small, large = (
        np.concatenate([batch["i"] for batch in snapshot.batches(size, shuffle=5)]).tolist() for size in (10, 333)
    )
    assert small == large


def test_torch_takes_numbers(workspace: Workspace) -> None:
    torch = pytest.importorskip("torch")
    snapshot = frayed(workspace)
    with pytest.raises(UsageError, match="no tensors for these columns: s, d, l, r"):
        snapshot.to_torch(2)
    data = snapshot.to_torch(2, columns=["id", "n", "a"], shuffle=1)
    assert sorted(i for batch in data for i in batch["id"].tolist()) == [1, 2, 3, 4, 5]
    assert len(pickle.dumps(data)) < 5000
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=2, multiprocessing_context="spawn")
    found = [batch["id"] for batch in loader]
    assert sorted(torch.cat(found).tolist()) == [1, 2, 3, 4, 5]
    assert len(found) > 2
    forked = torch.utils.data.DataLoader(data, batch_size=None, num_workers=1, multiprocessing_context="fork")
    with pytest.raises(UsageError, match="forked"):
        next(iter(forked))


def test_what_is_not_installed_is_named_with_its_extra(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = frayed(workspace)
    for library in ("torch", "ray", "ray.data", "duckdb", "deltalake"):
        monkeypatch.setitem(sys.modules, library, None)  # which is how Python says: not to be imported
    asked: dict[str, Callable[[], Any]] = {
        "torch": lambda: snapshot.to_torch(1),
        "ray": snapshot.to_ray,
        "duckdb": snapshot.to_duckdb,
        "delta": lambda: snapshot.export(workspace.root / "out", "delta"),
    }
    for extra, call in asked.items():
        with pytest.raises(MissingDependencyError) as caught:
            call()
        assert caught.value.mend == f"pip install 'clew[{extra}]'"
    assert not (workspace.root / "out").exists()


# --- Arrow, DuckDB, Ray -------------------------------------------------------------------------------------------


def test_whoever_reads_arrow_streams_reads_a_snapshot(workspace: Workspace) -> None:
    snapshot = frayed(workspace)
    assert table_id(pl.DataFrame(snapshot)) == table_id(FRAME)
    assert table_id(pa.table(snapshot)) == table_id(FRAME)
    assert table_id(snapshot.to_arrow_reader().read_all()) == table_id(FRAME)
    assert pd.DataFrame.from_arrow(snapshot)["id"].tolist() == [1, 2, 3, 4, 5]
    copied = add(workspace, "copy", snapshot)
    assert copied.snapshot.content_id == snapshot.content_id
    empty = add(workspace, "empty", FRAME.clear()).snapshot
    assert pl.DataFrame(empty).schema == FRAME.schema
    wide = add(workspace, "wide", pl.DataFrame({"odd": pl.Series([1], dtype=pl.Int128)})).snapshot
    with pytest.raises(DataError, match="odd"):
        wide.to_arrow_reader()


def test_categories_travel(workspace: Workspace) -> None:
    frame = pl.DataFrame({"c": pl.Series(["a", "b", None], dtype=pl.Categorical), "e": ["x", "y", "x"]})
    frame = frame.cast({"e": pl.Enum(["y", "x"])})
    snapshot = frayed(workspace, frame)
    back = pl.DataFrame(snapshot)
    assert table_id(back) == table_id(frame)
    assert back.schema["e"] == pl.Enum(["y", "x"])


def test_duckdb_reads_a_relation_as_often_as_it_likes(workspace: Workspace) -> None:
    duckdb = pytest.importorskip("duckdb")
    snapshot = frayed(workspace)
    with duckdb.connect() as connection:
        relation = snapshot.to_duckdb(connection)
        for _ in range(2):
            assert relation.aggregate("sum(id), count(n)").fetchall() == [(15, 4)]
        assert connection.sql("SELECT s FROM snapshot WHERE id = 5").fetchall() == [("ü",)]
        assert relation.select("id", "s").fetchall() == FRAME.select("id", "s").rows()


def test_a_folder_of_files_has_no_rows(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "x").write_text("y")
    files = add(workspace, "f", tmp_path / "files", kind="files").snapshot
    for call in (lambda: files.batches(1), files.to_arrow_reader, lambda: files.export(tmp_path / "x")):
        with pytest.raises(UsageError, match="is a folder of files"):
            call()


@pytest.mark.filterwarnings("default::DeprecationWarning:ray")  # Ray warns of what it sets itself
def test_ray_takes_blocks(workspace: Workspace) -> None:
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=1, include_dashboard=False, configure_logging=False)
    try:
        data = frayed(workspace).to_ray()
        assert sorted(row["id"] for row in data.take_all()) == [1, 2, 3, 4, 5]
    finally:
        ray.shutdown()


# --- export -------------------------------------------------------------------------------------------------------


def test_export_to_parquet(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = frayed(workspace)
    assert snapshot.export(tmp_path / "deep" / "one.parquet") == [tmp_path / "deep" / "one.parquet"]
    assert table_id(pl.read_parquet(tmp_path / "deep" / "one.parquet")) == table_id(FRAME)
    monkeypatch.setattr(_exports, "_PART_BYTES", 1_000_000)
    rows = pl.DataFrame({"i": range(300_000)})
    many = add(workspace, "many", rows).snapshot
    files = many.export(tmp_path / "parts")
    assert len(files) > 1
    assert [path.name for path in files] == [f"part-{i:05}.parquet" for i in range(len(files))]
    assert_frame_equal(pl.concat(pl.read_parquet(path) for path in files), rows)
    none = add(workspace, "none", FRAME.clear()).snapshot
    for dest in (tmp_path / "none", tmp_path / "none.parquet"):
        none.export(dest)
        assert pl.read_parquet(dest).schema == FRAME.schema
    assert sorted(path.name for path in tmp_path.iterdir() if path.name not in ("home", "config")) == [
        "deep", "none", "none.parquet", "parts"
    ]  # fmt: skip


def test_export_refuses_what_is_there_and_leaves_nothing_half_done(workspace: Workspace, tmp_path: Path) -> None:
    snapshot = frayed(workspace)
    (tmp_path / "there").mkdir()
    (tmp_path / "link.parquet").symlink_to("nowhere")
    for taken in (tmp_path / "there", tmp_path / "link.parquet"):
        with pytest.raises(RefusedError, match="is there already"):
            snapshot.export(taken)
    with pytest.raises(UsageError, match="'csv' is no format"):
        snapshot.export(tmp_path / "x", "csv")  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        snapshot.export(tmp_path / "file" / "below.parquet")
    gone = snapshot.groups()[0].rope.fragments[0].digest
    path = workspace.objects.open_path(gone)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:100])
    for dest in (tmp_path / "broken.parquet", tmp_path / "broken"):
        with pytest.raises(Exception):  # noqa: B017 - whoever reads the damaged object finds its own words
            snapshot.export(dest)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name not in ("home", "config")) == [
        "file", "link.parquet", "there"
    ]  # fmt: skip


IN_DELTA = pl.DataFrame(
    {
        "id": [1, 2, 3],
        "n": [1, None, 3],
        "small": pl.Series([1, None, 3], dtype=pl.Int8),
        "f": [0.5, float("nan"), None],
        "s": ["a", "", None],
        "c": pl.Series(["x", None, "y"], dtype=pl.Categorical),
        "x": [b"a", None, b""],
        "d": [dt.date(2024, 1, 1), None, dt.date(1900, 1, 1)],
        "t": [dt.datetime(2024, 1, 1, 1, 2, 3, 456), None, dt.datetime(1900, 1, 1)],  # noqa: DTZ001
        "u": [dt.datetime(2024, 1, 1, tzinfo=dt.UTC), None, dt.datetime(1900, 1, 1, tzinfo=dt.UTC)],
        "m": pl.Series([Decimal("1.25"), None, Decimal(-7)], dtype=pl.Decimal(12, 2)),
        "l": [[1, None], [], None],
        "r": [{"a": 1, "b": ["x"]}, None, {"a": None, "b": None}],
        "b": [True, None, False],
    }
)


def test_export_to_delta_and_back(workspace: Workspace, tmp_path: Path) -> None:
    deltalake = pytest.importorskip("deltalake")
    snapshot = frayed(workspace, IN_DELTA)
    files = snapshot.export(tmp_path / "delta", "delta")
    assert tmp_path / "delta" / "_delta_log" / "00000000000000000000.json" in files
    back = pl.DataFrame(deltalake.DeltaTable(tmp_path / "delta").to_pyarrow_table()).sort("id")
    assert_frame_equal(back, IN_DELTA.cast({"c": pl.String}))
    assert table_id(back) == table_id(IN_DELTA)
    add(workspace, "none", IN_DELTA.clear()).snapshot.export(tmp_path / "none", "delta")
    assert deltalake.DeltaTable(tmp_path / "none").to_pyarrow_table().num_rows == 0


NOT_IN_DELTA: list[Any] = [
    pl.UInt8, pl.UInt64, pl.Int128, pl.Float16, pl.Time, pl.Duration, pl.Datetime("ns"), pl.Enum(["a"]), pl.Null,
    pl.Datetime("us", "Europe/Zurich"), pl.Array(pl.Int8, 2), pl.List(pl.UInt8), pl.Struct({"x": pl.Time}),
]  # fmt: skip


def test_types_that_delta_does_not_have_are_refused_by_name(workspace: Workspace, tmp_path: Path) -> None:
    pytest.importorskip("deltalake")
    odd = pl.DataFrame({f"odd {i}": pl.Series([None], dtype=dtype) for i, dtype in enumerate(NOT_IN_DELTA)})
    snapshot = add(workspace, "t", odd.with_columns(fine=1)).snapshot
    with pytest.raises(DataError, match="Delta has no type for 'odd 0' of type uint8") as caught:
        snapshot.export(tmp_path / "delta", "delta")
    assert all(f"'{name}' of type" in caught.value.message for name in odd.columns)
    assert "fine" not in caught.value.message
    assert not (tmp_path / "delta").exists()


def test_the_command_exports(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frayed(workspace)
    monkeypatch.setenv("CLEW_WORKSPACE", str(workspace.root))
    for arguments, code in ((["--json"], 0), ([], 6), (["--format", "csv"], 2)):
        with pytest.raises(SystemExit) as left:
            main(["data", "export", "t@2", str(tmp_path / "out"), *arguments])
        assert left.value.code == code
    said = json.loads(capsys.readouterr().out)
    assert said == {"reference": "t@2", "files": [str(tmp_path / "out" / "part-00000.parquet")]}
    assert table_id(pl.read_parquet(tmp_path / "out")) == table_id(FRAME)
