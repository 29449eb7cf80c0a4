"""Reading what people have into one table: frames, streams, queries, Parquet, CSV, JSON lines, Arrow IPC."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from clew.catalog.commands import SourceSpec
from clew.data import _csv_file, _json_lines
from clew.data._exact import from_arrow, from_pandas, readable, refuse_unknown, same_types
from clew.data._ipc_file import IpcFile, arrow_schema, refuse_absurd
from clew.data._limits import refuse_wide
from clew.data._parquet_files import ParquetFiles, claimed_bytes
from clew.data._paths import TABLES, suffix
from clew.data._query import Query
from clew.data._source import FrameSource, Source
from clew.data._spool import gather
from clew.data._stamps import stamp
from clew.data._streams import open_stream
from clew.data._text import Wanted
from clew.errors import DataError, NotFoundError, UsageError

Schema = dict[str, pl.DataType]
_IN_MEMORY_BYTES = 512 << 20
_IPC_IN_MEMORY_BYTES = 64 << 20
_SHOWN = 5
_KNOWN = "give .parquet, .csv, .csv.gz, .jsonl, .arrow, or a folder of files"


@dataclass(frozen=True)
class Loaded:
    """A table, and where it came from."""

    frame: pl.DataFrame
    sources: list[SourceSpec]


def load(source: Any, types: Schema | None = None, hints: Schema | None = None) -> Loaded:
    """Read a table from a frame (polars, pandas, Arrow) or a file.

    Args:
        source: the frame, or the path of a .parquet, .csv, .csv.gz, .jsonl, .ndjson, .arrow or .feather file.
        types: what text columns are read as (of the previous snapshot or the contract), so that one odd value
            doesn't change a column's type from dump to dump. Columns that are not named are inferred.
        hints: what text columns are read as where all their values fit.

    Raises:
        NotFoundError: no such file.
        DataError: the file is empty, broken (its row is named), of a kind that clew can't read, or holds a type that
            would be changed by reading it (the column is named).
        UsageError: the source is no table.
    """
    if isinstance(source, pl.LazyFrame):
        source = source.collect()
    if isinstance(source, pl.DataFrame):
        return Loaded(source, [SourceSpec(uri="memory:polars", kind="frame")])
    if isinstance(source, pa.RecordBatch):
        source = pa.Table.from_batches([source])
    if isinstance(source, pa.Table):
        return Loaded(from_arrow(source, "the table"), [SourceSpec(uri="memory:arrow", kind="frame")])
    if type(source).__module__.split(".")[0] == "pandas":
        return Loaded(from_pandas(source), [SourceSpec(uri="memory:pandas", kind="frame")])
    if not isinstance(source, str | Path):
        raise UsageError(
            f"a {type(source).__name__} is no table", mend="give a polars, pandas or Arrow table, or the path of a file"
        )
    return _load_file(Path(source), Wanted(types or {}, hints or {}))


def open_source(given: Any, types: Schema, hints: Schema, folder: Path) -> Source:
    """A table to add, to be read as often as needed; raises as `load`.

    Besides what `load` takes: a `Query`, a lazy frame, whatever gives an Arrow stream (a DuckDB relation, a reader of
    record batches), a dataset of pyarrow, an iterator of frames, and a list of paths, which are the parts of one
    table. What comes in batches, and Parquet and Arrow IPC files that take much memory, never are in memory as a
    whole. `folder` is for files on their way; none is left there.
    """
    if isinstance(given, list) and given and all(isinstance(one, Path) for one in given):
        return _open_files(given, Wanted(types, hints), folder)
    if isinstance(given, Query):
        return given.open(types, folder)
    streamed = open_stream(given, types, folder)
    if streamed is not None:
        return streamed
    loaded = load(given, types, hints)
    return FrameSource(loaded.frame, loaded.sources)


def _open_files(paths: list[Path], wanted: Wanted, folder: Path) -> Source:
    for path in paths:
        _not_empty(path)
    places = [f"{i}/{len(paths)}" for i in range(len(paths))]
    if all(TABLES.get(suffix(path)) == "parquet" for path in paths):
        schema = _schema_of_parquet(paths)
        if sum(_claimed(path) for path in paths) > _IN_MEMORY_BYTES:
            specs = [describe_file(path, suffix(path), place) for path, place in zip(paths, places, strict=True)]
            return ParquetFiles(paths, specs, schema)
    if len(paths) == 1:
        return _open_file(paths[0], wanted)
    specs = []

    def parts() -> Iterator[pl.DataFrame]:
        schema: pl.Schema | None = None
        for path, place in zip(paths, places, strict=True):
            source = _open_file(path, wanted, place)
            schema = schema or source.schema
            _refuse_other(path, source.schema, paths[0], schema)
            specs.extend(source.specs)
            yield from (frame for _, frame in source.batches())

    return gather(parts(), None, specs, folder)


def _claimed(path: Path) -> int:
    with readable(str(path)):
        return claimed_bytes(path)


def _schema_of_parquet(paths: list[Path]) -> pl.Schema:
    """The schema of all files, by their footers. Raises DataError, which names a file that has another."""
    schema: pl.Schema | None = None
    for path in paths:
        _claimed(path)
        with readable(str(path)):
            own = _arrow_schema(path)
            found = pl.scan_parquet(path, glob=False, hive_partitioning=False).collect_schema()
        if own is not None:
            refuse_unknown(own, precision=38)  # in Parquet the digits count, not how they were held
            same_types(own, pl.DataFrame(schema=found))
        schema = schema or found
        _refuse_other(path, found, paths[0], schema)
    assert schema is not None
    return schema


def _refuse_other(path: Path, found: pl.Schema, first: Path, schema: pl.Schema) -> None:
    """Pass if two files have one schema, in the same order. Raises DataError, which names the file and columns."""
    if found == schema:
        return
    odd = [name for name in {**schema, **found} if schema.get(name) != found.get(name)]
    said = ", ".join(f"{name} ({schema.get(name, 'none')}, {found.get(name, 'none')})" for name in odd[:_SHOWN])
    raise DataError(
        f"{path} has other columns or types than {first}: {said or 'they stand in another order'}",
        mend="give all files the same columns in the same order; a contract fixes the types of texts",
    )


def _open_file(path: Path, wanted: Wanted, place: str = "0/1") -> Source:
    if TABLES.get(suffix(path)) == "ipc" and path.stat().st_size > _IPC_IN_MEMORY_BYTES:
        schema = arrow_schema(path)  # which refuses too many columns in less time
        refuse_absurd(path)
        if schema is not None:
            return IpcFile(path, describe_file(path, suffix(path), place))
    loaded = _load_file(path, wanted, place)
    return FrameSource(loaded.frame, loaded.sources)


def _not_empty(path: Path) -> None:
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}", mend="check the path")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: not even a header", mend="check what wrote it")


def _load_file(path: Path, wanted: Wanted, place: str = "0/1") -> Loaded:
    _not_empty(path)
    kind = suffix(path)
    seen = describe_file(path, kind, place)
    if kind in (".csv", ".csv.gz"):
        frame = _csv_file.read(path, wanted)
    elif kind in (".jsonl", ".ndjson"):
        frame = _json_lines.read(path, wanted)
    elif kind in (".parquet", ".pq"):
        frame = _read_parquet(path)
    elif kind in (".arrow", ".ipc", ".feather"):
        frame = _read_ipc(path)
    else:
        raise DataError(f"{path} has an ending that clew doesn't know: {kind or 'none'}", mend=_KNOWN)
    refuse_wide(path, frame.width)
    return Loaded(frame, [seen])


def _read_parquet(path: Path) -> pl.DataFrame:
    _schema_of_parquet([path])
    with readable(str(path)):
        return pl.read_parquet(path, glob=False)


def _arrow_schema(path: Path) -> pa.Schema | None:
    """The file's own schema; None where Arrow can't tell (polars has types that Arrow hasn't)."""
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError):
        return None


def _read_ipc(path: Path) -> pl.DataFrame:
    with readable(str(path)):
        schema = arrow_schema(path)
        if schema is not None:
            refuse_unknown(schema)
        refuse_absurd(path)
        # Not mapped: the file may change while the table is being stored.
        frame = pl.read_ipc(io.BytesIO(path.read_bytes()))
    if schema is not None:
        same_types(schema, frame)
    return frame


def describe_file(path: Path, kind: str, place: str = "0/1") -> SourceSpec:
    """A file as it is now: size, times, SHA-256; `place` says which of how many files of the source it is.

    Raises DataError when it can't be read.
    """
    with readable(str(path)), path.open("rb") as file:
        seen = stamp(path, place)
        stat = path.stat()
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return SourceSpec(
        uri=str(path.resolve()),
        kind=kind.lstrip("."),
        bytes=stat.st_size,
        modified_ns=stat.st_mtime_ns,
        stamp=seen,
        sha256=sha256,
    )
