"""Tables that come in batches: lazy frames, Arrow streams, datasets of pyarrow, iterators of frames."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa

from clew.catalog.commands import SourceSpec
from clew.data._exact import from_arrow, from_pandas, readable, refuse_unknown
from clew.data._source import Source
from clew.data._spool import Types, gather
from clew.errors import UsageError

_BATCH_VALUES: Final = 4 << 20
_BATCH_ROWS: Final = 131_072


def open_stream(given: Any, types: Types, folder: Path) -> Source | None:
    """A source over what comes in batches, or None when it is nothing of the kind. It is read once, here.

    Raises DataError, which names a column whose type would change; StoreError. What an iterator raises comes through.
    """
    if isinstance(given, pl.LazyFrame):
        return _lazy(given, folder)
    if _is_frame(given) or isinstance(given, pl.Series | pa.Array | pa.ChunkedArray):
        return None
    if hasattr(given, "__arrow_c_stream__"):
        with readable(_called(given)):
            reader = pa.RecordBatchReader.from_stream(given)
        return _arrow(reader.schema, reader, given, "stream", folder)
    if _is_dataset(given):
        return _arrow(given.schema, given.to_batches(batch_size=_rows_of(len(given.schema))), given, "dataset", folder)
    listed = isinstance(given, list | tuple) and bool(given) and all(_is_frame(one) for one in given)
    if listed or isinstance(given, Iterator):
        return _iterator(iter(given), types, folder)
    return None


def _is_frame(given: Any) -> bool:
    if isinstance(given, pl.DataFrame | pa.Table | pa.RecordBatch):
        return True
    return type(given).__module__.split(".")[0] == "pandas" and hasattr(given, "columns")


def _is_dataset(given: Any) -> bool:
    """Whether it is a dataset of pyarrow, or derived from one, without loading what such datasets need."""
    return any(one.__module__ == "pyarrow._dataset" and one.__name__ == "Dataset" for one in type(given).__mro__)


def _called(given: Any) -> str:
    return f"the {type(given).__name__}"


def _rows_of(columns: int) -> int:
    """How many rows a batch of so many columns has, when one may choose."""
    return max(1, min(_BATCH_ROWS, _BATCH_VALUES // max(1, columns)))


def _lazy(given: pl.LazyFrame, folder: Path) -> Source:
    with readable("the lazy frame"):
        schema = given.collect_schema()
        batches = given.collect_batches(chunk_size=_rows_of(len(schema)), maintain_order=True)
        return gather(batches, schema, [SourceSpec(uri="memory:polars", kind="frame")], folder)


def _arrow(schema: pa.Schema, batches: Iterable[pa.RecordBatch], given: Any, kind: str, folder: Path) -> Source:
    refuse_unknown(schema)
    called = _called(given)
    empty = from_arrow(schema.empty_table(), called)
    module = type(given).__module__.split(".")[0].lstrip("_")
    frames = (from_arrow(pa.Table.from_batches([batch]), called) for batch in batches)
    with readable(called):
        return gather(frames, empty.schema, [SourceSpec(uri=f"memory:{module}", kind=kind)], folder)


def _iterator(given: Iterator[Any], types: Types, folder: Path) -> Source:
    specs = [SourceSpec(uri="memory:iterator", kind="stream")]
    return gather((_batch(one) for one in given), None, specs, folder, types=types)


def _batch(given: Any) -> pl.DataFrame:
    if isinstance(given, pl.DataFrame):
        return given
    if isinstance(given, pa.RecordBatch):
        given = pa.Table.from_batches([given])
    if isinstance(given, pa.Table):
        return from_arrow(given, "the batch")
    if _is_frame(given):
        return from_pandas(given.copy())  # the iterator may fill the same memory again
    raise UsageError(
        f"a {type(given).__name__} is no batch of rows", mend="let the iterator give polars, pandas or Arrow tables"
    )
