"""Reading what people have into one table: frames, Parquet, CSV, JSON lines, Arrow IPC."""

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from clew.catalog.commands import SourceSpec
from clew.data import _csv_file, _json_lines
from clew.data._logical import logical_of_dtype, logical_of_field
from clew.data._text import Wanted
from clew.errors import DataError, NotFoundError, UsageError

Schema = dict[str, pl.DataType]
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
        return Loaded(_from_arrow(source, "the table"), [SourceSpec(uri="memory:arrow", kind="frame")])
    if type(source).__module__.split(".")[0] == "pandas":
        return Loaded(_from_pandas(source), [SourceSpec(uri="memory:pandas", kind="frame")])
    if not isinstance(source, str | Path):
        raise UsageError(
            f"a {type(source).__name__} is no table", mend="give a polars, pandas or Arrow table, or the path of a file"
        )
    return _load_file(Path(source), Wanted(types or {}, hints or {}))


def _from_pandas(source: Any) -> pl.DataFrame:
    """NaN means missing there, and so it does here; an index with a name is a column that was put aside."""
    if hasattr(source, "to_frame"):
        source = source.to_frame()
    named = [str(name) for name in source.index.names if name is not None]
    if named:
        raise DataError(
            f"the frame's index {', '.join(named)} would be lost", mend="frame.reset_index() makes columns of it"
        )
    with _readable("the frame"):
        return _from_arrow(pa.Table.from_pandas(source, preserve_index=False), "the frame")


def _from_arrow(table: pa.Table, what: str) -> pl.DataFrame:
    _refuse_unknown(table.schema)
    with _readable(what):
        frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    _same_types(table.schema, frame)
    return frame


def _refuse_unknown(schema: pa.Schema, *, precision: int = 0) -> None:
    """Pass if all types can be represented. Raises DataError, which names the column and the type."""
    for field in schema:
        logical_of_field(field)
        if _too_wide(field.type, precision=precision):
            raise DataError(
                f"column {field.name!r} of type {field.type} can't be represented: polars has decimals of 128 bits",
                mend="cast or drop the column before adding the table",
            )


def _too_wide(kind: pa.DataType, *, precision: int) -> bool:
    """Whether there is a decimal of 256 bits with more digits than these."""
    if pa.types.is_dictionary(kind):
        return _too_wide(kind.value_type, precision=precision)
    if pa.types.is_decimal256(kind) and kind.precision > precision:
        return True
    return any(_too_wide(kind.field(at).type, precision=precision) for at in range(kind.num_fields))


def _same_types(schema: pa.Schema, frame: pl.DataFrame) -> None:
    """Pass if polars made of each column what it was. Raises DataError, which names those that it changed."""
    changed = [
        f"{field.name!r}: {was} → {now}"
        for field in schema
        if field.name in frame.columns
        for was, now in [(logical_of_field(field).name, logical_of_dtype(frame.schema[field.name], field.name).name)]
        if was != now
    ]
    if changed:
        raise DataError(
            f"columns of a type that can't be kept as it is: {'; '.join(changed)}",
            mend="cast these columns before adding the table (as shown after the arrow, if that is right)",
        )


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """Raise DataError for what the readers raise; among them a panic, which is no Exception."""
    try:
        yield
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError, EOFError, UnicodeError) as error:
        raise DataError(f"{what} can't be read: {_first_line(error)}", mend="check what wrote it") from error
    except pl.exceptions.PanicException as error:
        raise DataError(f"{what} is broken: {_first_line(error)}", mend="check what wrote it") from error


def suffix(path: Path) -> str:
    """The ending that says what a file is; `.csv.gz` counts as one."""
    name = path.name.lower()
    return ".csv.gz" if name.endswith(".csv.gz") else path.suffix.lower()


def _load_file(path: Path, wanted: Wanted) -> Loaded:
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}", mend="check the path")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: not even a header", mend="check what wrote it")
    kind = suffix(path)
    seen = describe_file(path, kind)
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
    return Loaded(frame, [seen])


def _read_parquet(path: Path) -> pl.DataFrame:
    with _readable(str(path)):
        schema = _arrow_schema(lambda: pq.read_schema(path))
        if schema is not None:
            _refuse_unknown(schema, precision=38)  # in Parquet the digits count, not how they were held
        frame = pl.read_parquet(path, glob=False)
    if schema is not None:
        _same_types(schema, frame)
    return frame


def _read_ipc(path: Path) -> pl.DataFrame:
    with _readable(str(path)):
        # Not mapped: the file may change while the table is being stored.
        body = path.read_bytes()
        schema = _arrow_schema(lambda: pa.ipc.open_file(body).schema)
        if schema is not None:
            _refuse_unknown(schema)
        frame = pl.read_ipc(io.BytesIO(body))
    if schema is not None:
        _same_types(schema, frame)
    return frame


def _arrow_schema(read: Callable[[], pa.Schema]) -> pa.Schema | None:
    """The file's own schema; None where Arrow can't tell (polars has types that Arrow hasn't)."""
    try:
        return read()
    except (pa.ArrowException, OSError):
        return None


def describe_file(path: Path, kind: str) -> SourceSpec:
    """A file as it is now: size, time, SHA-256."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    stat = path.stat()
    return SourceSpec(
        uri=str(path.resolve()),
        kind=kind.lstrip("."),
        bytes=stat.st_size,
        modified_ns=stat.st_mtime_ns,
        sha256=sha256,
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
