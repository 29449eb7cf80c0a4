import datetime as dt
import gc
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing.parametric import dataframes

from clew.data import _spool, add, find
from clew.data._source import Source
from clew.data.identity import table_id
from clew.data.readers import open_source
from clew.errors import DataError, UsageError
from clew.workspace import Workspace, init, open_folder

FRAME = pl.DataFrame(
    {
        "n": [1, None, 3, 3, 5],
        "s": ["a", "", None, "ünï—✓", "a"],
        "f": [0.5, -0.0, float("nan"), None, 1e300],
        "t": [dt.datetime(2024, 1, 1), None, dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1), None],  # noqa: DTZ001
        "l": [["x", None], [], None, ["y"], [""]],
        "r": [{"a": 1, "b": None}, None, {"a": None, "b": "z"}, {"a": 2, "b": ""}, {"a": 1, "b": "b"}],
    }
)


def opened(given: Any, folder: Path, types: dict[str, pl.DataType] | None = None) -> Source:
    source = open_source(given, types or {}, {}, folder)
    assert list(folder.iterdir()) == [], "a file was left"
    return source


def read(source: Source) -> pl.DataFrame:
    """The rows, read twice."""
    frames = []
    for _ in range(2):
        parts = list(source.batches())
        assert [start for start, _ in parts] == [0, *itertools.accumulate(part.height for _, part in parts)][
            : len(parts)
        ]
        frames.append(pl.concat([part for _, part in parts]) if parts else pl.DataFrame(schema=source.schema))
    assert table_id(frames[0]) == table_id(frames[1])
    assert source.rows in (None, frames[0].height)
    assert frames[0].schema == source.schema
    return frames[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "on-their-way"
    path.mkdir()
    return path


@pytest.fixture(params=["in memory", "on disk"])
def anywhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "on disk":
        monkeypatch.setattr(_spool, "IN_MEMORY_BYTES", 0)


# --- one identity, whatever the rows come through -----------------------------------------------------------------


def parquet(path: Path, **options: Any) -> Path:
    pq.write_table(FRAME.to_arrow(), path / "t.parquet", **options)
    return path / "t.parquet"


def ipc(path: Path, **options: Any) -> Path:
    with pa.ipc.new_file(
        path / "t.arrow", FRAME.to_arrow().schema, options=pa.ipc.IpcWriteOptions(**options)
    ) as writer:
        writer.write_table(FRAME.to_arrow(), max_chunksize=2)
    return path / "t.arrow"


def duckdb_relation(path: Path) -> Any:
    duckdb = pytest.importorskip("duckdb")
    table = FRAME.to_arrow()
    return duckdb.connect().from_arrow(table)


SOURCES: dict[str, Callable[[Path], Any]] = {
    "polars": lambda _: FRAME,
    "pandas": lambda _: FRAME.to_pandas(use_pyarrow_extension_array=True),
    "arrow": lambda _: FRAME.to_arrow(),
    "arrow with views": lambda _: FRAME.to_arrow(compat_level=pl.CompatLevel.newest()),
    "lazy": lambda _: FRAME.lazy(),
    "reader": lambda _: FRAME.to_arrow().to_reader(max_chunksize=2),
    "stream of one's own": lambda _: Stream(),
    "dataset": lambda path: pads.dataset(parquet(path, row_group_size=2)),
    "in-memory dataset": lambda _: pads.dataset(FRAME.to_arrow()),
    "polars batches": lambda _: FRAME.iter_slices(2),
    "arrow batches": lambda _: iter(FRAME.to_arrow().to_batches(max_chunksize=3)),
    "pandas batches": lambda _: (part.to_pandas(use_pyarrow_extension_array=True) for part in FRAME.iter_slices(3)),
    "mixed batches": lambda _: iter([FRAME[:1], FRAME[1:3].to_arrow(), FRAME[3:]]),
    "list of batches": lambda _: [FRAME[:2], FRAME[2:]],
    "parquet": lambda path: [parquet(path)],
    "parquet, small row groups": lambda path: [parquet(path, row_group_size=2, compression="gzip")],
    "parquet, plain": lambda path: [parquet(path, row_group_size=1, use_dictionary=False, version="1.0")],
    "parquet, delta": lambda path: [
        parquet(path, row_group_size=3, use_dictionary=False, column_encoding={"n": "DELTA_BINARY_PACKED"})
    ],
    "ipc": lambda path: [ipc(path)],
    "ipc, zstd": lambda path: [ipc(path, compression="zstd")],
    "duckdb": duckdb_relation,
}


class Stream:
    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return FRAME.to_arrow().to_reader(max_chunksize=2).__arrow_c_stream__(requested_schema)


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("name", SOURCES)
def test_the_same_rows_have_one_identity_through_every_source(name: str, tmp_path: Path, folder: Path) -> None:
    source = opened(SOURCES[name](tmp_path), folder)
    assert table_id(read(source)).id == table_id(FRAME).id
    assert all(spec.uri for spec in source.specs)


def test_a_stream_is_added_and_read_back(workspace: Workspace) -> None:
    first = add(workspace, "t", FRAME)
    for again in (FRAME.lazy(), FRAME.iter_slices(2), FRAME.to_arrow().to_reader(), [FRAME[:3], FRAME[3:]]):
        assert not add(workspace, "t", again).changed
    assert table_id(find(workspace, "t").collect()).id == first.snapshot.content_id
    assert list(workspace.temporary().iterdir()) == []


ALL_TYPES = dataframes(max_cols=3, max_size=5, allow_null=True, excluded_dtypes=[pl.Object, pl.Unknown])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frame=ALL_TYPES, cut=st.integers(0, 5), data=st.data())
def test_any_table_comes_back_from_a_spool(
    frame: pl.DataFrame, cut: int, data: st.DataObject, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        wanted = table_id(frame)
    except DataError:
        return  # a type that no content id is there for
    monkeypatch.setattr(_spool, "IN_MEMORY_BYTES", data.draw(st.sampled_from([0, 1 << 20])))
    try:
        source = opened(iter([frame[:cut], frame[cut:]]), folder)
        assert table_id(read(source)) == wanted
    except DataError as error:
        assert "zero sized arrays" in error.message  # noqa: PT017 - polars can't read them back from Arrow IPC


@pytest.mark.parametrize("first", ["nothing", "a part", "shuffled", "all, and more columns"])
def test_any_table_is_stored_and_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """All types of polars, nested ones too, with nulls, no row, one row, no column, and rows that are equal."""
    home = tmp_path_factory.mktemp("stored")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    init(home)

    @settings(max_examples=12, deadline=None)
    @given(frame=ALL_TYPES, repeated=st.booleans())
    def stored(frame: pl.DataFrame, *, repeated: bool) -> None:
        name = f"t{next(numbers)}"
        frame = pl.concat([frame, frame]) if repeated and frame.width else frame
        frame = frame.rename({column: f"{column}é" for column in frame.columns})
        before = {
            "nothing": None,
            "a part": frame[1:2],
            "shuffled": frame.reverse(),
            "all, and more columns": frame.with_columns(more=pl.lit(1)),
        }[first]
        try:
            wanted = table_id(frame)
            if before is not None and before.width:
                add(workspace, name, before)
            found = add(workspace, name, frame, accept_schema=True).snapshot
        except DataError as error:
            assert "column" in error.message or "zero sized" in error.message  # noqa: PT017 - what names the column
            return
        assert found.content_id == wanted.id
        back = found.scan().collect()
        assert back.schema == frame.schema
        assert table_id(back) == wanted

    numbers = itertools.count()
    with open_folder(home) as workspace:
        stored()


# --- spooling -----------------------------------------------------------------------------------------------------


def test_a_spool_can_be_read_in_part(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_spool, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(_spool, "_PORTION_ROWS", 100)
    source = opened((pl.DataFrame({"a": range(i, i + 60)}) for i in range(0, 600, 60)), folder)
    parts = list(source.batches(lambda start, rows: start <= 250 < start + rows))
    assert len(parts) == 1
    start, frame = parts[0]
    assert frame["a"].to_list() == list(range(start, start + frame.height))
    assert source.rows == 600


@pytest.mark.usefixtures("anywhere")
def test_a_column_without_a_value_in_some_batches_takes_the_type_of_the_others(folder: Path) -> None:
    batches = [pl.DataFrame({"a": [None, None], "b": [1, 2]}), pl.DataFrame({"a": ["x"], "b": [None]})]
    frame = read(opened(iter(batches), folder))
    assert frame.rows() == [(None, 1), (None, 2), ("x", None)]
    none = pl.DataFrame({"a": [None], "b": [None]})
    assert opened(iter([none]), folder, {"a": pl.List(pl.Int8())}).schema == {"a": pl.List(pl.Int8), "b": pl.Null}


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize(
    ("batches", "says"),
    [
        ([{"a": [1]}, {"a": ["x"]}], "column 'a' is String in batch 2, and Int64 before it"),
        ([{"a": [1]}, {"a": [1.5]}], "column 'a' is Float64"),
        ([{"a": [1], "b": [1]}, {"b": [1], "a": [1]}], "batch 2 has the columns b, a"),
        ([{"a": [1]}, {"a": [1], "c": [1]}], "batch 2 has the columns a, c"),
    ],
)
def test_batches_that_do_not_go_together_are_refused(folder: Path, batches: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(DataError, match=says):
        opened((pl.DataFrame(one) for one in batches), folder)
    assert list(folder.iterdir()) == []


def test_no_batch_no_table_and_things_that_are_none(folder: Path) -> None:
    with pytest.raises(DataError, match="no columns"):
        opened(iter([]), folder)
    assert read(opened(iter([FRAME.clear()]), folder)).schema == FRAME.schema
    assert read(opened(FRAME.clear().lazy(), folder)).schema == FRAME.schema
    assert read(opened(FRAME.clear().to_arrow().to_reader(), folder)).schema == FRAME.schema
    with pytest.raises(UsageError, match="a int is no batch"):
        opened(iter([FRAME, 5]), folder)
    for odd in (pl.Series([1]), pa.array([1]), pa.chunked_array([[1]]), {"a": [1]}, [1], 5, None, b"a"):
        with pytest.raises(UsageError, match="is no table"):
            opened(odd, folder)


def test_what_an_iterator_raises_comes_through_and_nothing_is_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_spool, "IN_MEMORY_BYTES", 0)

    def broken() -> Iterator[pl.DataFrame]:
        for _ in range(3):
            yield pl.DataFrame({"a": range(200_000)})
        raise ZeroDivisionError

    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ZeroDivisionError):
        opened(broken(), folder)
    gc.collect()
    assert list(folder.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


@pytest.mark.parametrize("kind", [pa.timestamp("s"), pa.decimal256(50, 2), pa.binary(2), pa.month_day_nano_interval()])
def test_a_stream_with_a_type_that_would_change_is_refused_before_it_is_read(folder: Path, kind: pa.DataType) -> None:
    schema = pa.schema([("fine", pa.int64()), ("odd one", kind)])

    def unread() -> Iterator[pa.RecordBatch]:
        raise AssertionError
        yield

    with pytest.raises(DataError, match="'odd one'"):
        opened(pa.RecordBatchReader.from_batches(schema, unread()), folder)


def test_a_large_stream_takes_the_memory_of_its_batches(tmp_path: Path) -> None:
    """400 MB of rows, with 250 MB of room for all that loads and all batches on their way."""
    code = """
import resource, sys
from pathlib import Path
import numpy as np, polars as pl
from clew.data.readers import open_source
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
def batches():
    for i in range(100):
        yield pl.DataFrame({"a": np.random.default_rng(i).integers(0, 1 << 60, 500_000)})
before = peak()
source = open_source(batches(), {}, {}, Path(sys.argv[1]))
rows = sum(frame.height for _, frame in source.batches())
print(rows, peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    rows, grown = map(int, done.stdout.split())
    assert rows == 50_000_000
    assert grown < 250


# --- Arrow IPC ----------------------------------------------------------------------------------------------------


def test_a_large_ipc_file_is_read_by_record_batches(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clew.data.readers._IPC_IN_MEMORY_BYTES", 0)
    path = ipc(tmp_path, compression="lz4")
    source = opened([path], folder)
    assert len(list(source.batches())) == 3
    assert table_id(read(source)) == table_id(FRAME)
    assert [start for start, _ in source.batches(lambda start, rows: start + rows == 4)] == [2]
    assert source.specs[0].sha256
    again = opened([path, path], folder)
    assert table_id(read(again)) == table_id(pl.concat([FRAME, FRAME]))
    assert len(again.specs) == 2
    wide = pl.DataFrame({"a": pl.Series([1, 2**100], dtype=pl.Int128)})
    wide.write_ipc(tmp_path / "wide.arrow")
    assert read(opened([tmp_path / "wide.arrow"], folder)).equals(wide)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="can't be read"):
        opened([path], folder)


def test_a_dictionary_that_grows_from_batch_to_batch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_spool, "IN_MEMORY_BYTES", 0)
    batches = [
        pa.record_batch([pa.array(words).dictionary_encode()], names=["c"]) for words in (["a", "b"], ["b", "c", None])
    ]
    frame = read(opened(pa.RecordBatchReader.from_batches(batches[0].schema, batches), folder))
    assert frame["c"].to_list() == ["a", "b", "b", "c", None]
    assert frame.schema["c"] == pl.Categorical
