"""Rows that come only once, kept in a file without a name, so that they can be read again."""

import io
import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import polars as pl

from clew.catalog.commands import SourceSpec
from clew.data._disk import writing
from clew.data._exact import readable
from clew.data._source import FrameSource, Source, Wanted
from clew.errors import DataError

IN_MEMORY_BYTES: Final = 64 << 20
_PORTION_ROWS: Final = 131_072
_PORTION_BYTES: Final = 16 << 20

Types = Mapping[str, pl.DataType]
Widen = Callable[[pl.DataType, pl.DataType], pl.DataType | None]
"""The type that holds the values of two types exactly, or None."""


def gather(
    batches: Iterable[pl.DataFrame],
    schema: pl.Schema | None,
    specs: list[SourceSpec],
    folder: Path,
    *,
    types: Types | None = None,
    widen: Widen = lambda one, other: None if one != other else one,
) -> Source:
    """Read batches to their end, and give a source that can be read again.

    What takes less than 64 MB stays in memory, else it goes to a file in `folder` that has no name: nothing is left
    of it, whatever happens. No more than a batch is in memory then.

    Args:
        batches: the rows; all batches have the same columns.
        schema: the columns, where they are known before; else the first batch tells them.
        specs: where the rows come from.
        folder: for the file.
        types: what a column is, that has no value in any batch.
        widen: what becomes of a column that has another type in another batch. A column without a value in one batch
            takes the type that it has in the others in any case.

    Raises:
        DataError: batches have other columns or types; the column is named. There was no batch, and no schema.
        StoreError: the disk is full.
    """
    seen = _Seen(schema, types or {}, widen)
    held: list[pl.DataFrame] = []
    size = 0
    spool: _Spool | None = None
    for portion in _portions(seen.through(batches)):
        if spool is None:
            held.append(portion)
            size += int(portion.estimated_size())
            if size <= IN_MEMORY_BYTES:
                continue
            spool = _Spool(folder)
        else:
            held = [portion]
        for one in held:
            spool.append(one)
        held = []
    found = seen.finish()
    if spool is not None:
        return _Spooled(spool, found, specs)
    frames = [fitted(frame, found, 0) for frame in held]
    return FrameSource(pl.concat(frames, rechunk=True) if frames else pl.DataFrame(schema=found), specs)


class _Seen:
    """The names and types over all batches."""

    def __init__(self, schema: pl.Schema | None, types: Types, widen: Widen) -> None:
        self._schema: dict[str, pl.DataType] | None = None if schema is None else dict(schema)
        self._types, self._widen = types, widen

    def through(self, batches: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        for number, batch in enumerate(batches, start=1):
            self._see(batch.schema, number)
            yield batch

    def _see(self, schema: pl.Schema, number: int) -> None:
        if self._schema is None:
            self._schema = dict(schema)
        if list(schema) != list(self._schema):
            raise DataError(
                f"batch {number} has the columns {_listed(schema)}, and those before it {_listed(self._schema)}",
                mend="give all batches the same columns in the same order",
            )
        for name, dtype in schema.items():
            held = self._schema[name]
            wider = dtype if held == pl.Null else held if dtype in (held, pl.Null) else self._widen(held, dtype)
            if wider is None:
                raise DataError(
                    f"column {name!r} is {dtype} in batch {number}, and {held} before it",
                    mend="give it the same type in all batches (CAST it, when it comes from a query)",
                )
            self._schema[name] = wider

    def finish(self) -> pl.Schema:
        if self._schema is None:
            raise DataError("there was no batch, so there are no columns", mend="give one batch at least, be it empty")
        known = {
            name: self._types.get(name, dtype) if dtype == pl.Null else dtype for name, dtype in self._schema.items()
        }
        return pl.Schema(known)


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:10]) + (f", … ({len(shown)})" if len(shown) > 10 else "")


def fitted(frame: pl.DataFrame, schema: pl.Schema, before: int) -> pl.DataFrame:
    """A batch with the types that its columns have over all batches; `before` is the number of rows before it.

    Raises DataError for a value that would be another in that type.
    """
    odd = [name for name, dtype in schema.items() if frame.schema[name] != dtype]
    for name in odd:
        series = frame[name]
        typed = series.cast(schema[name], strict=False)
        wrong = typed.is_null() & series.is_not_null()
        if series.dtype.is_integer() and typed.dtype.is_float():
            wrong |= typed.cast(pl.Int128, strict=False) != series.cast(pl.Int128)
        if wrong.any():
            row = int(wrong.arg_true()[0])
            raise DataError(
                f"column {name!r} is {schema[name]} over all batches, "
                f"and can't hold row {before + row + 1}: {series[row]}",
                mend="give it the same type in all batches (CAST it, when it comes from a query)",
            )
        frame = frame.with_columns(typed)
    return frame


def _portions(batches: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The rows in portions that are neither tiny nor large; each of one schema."""
    held: list[pl.DataFrame] = []
    rows, size = 0, 0
    for batch in batches:
        if not batch.height:
            continue
        if held and (rows >= _PORTION_ROWS or size >= _PORTION_BYTES or held[0].schema != batch.schema):
            yield pl.concat(held, rechunk=True)
            held, rows, size = [], 0, 0
        width = int(batch.estimated_size()) // batch.height + 1
        step = max(1, min(_PORTION_ROWS, _PORTION_BYTES // width))
        if batch.height > step:
            if held:
                yield pl.concat(held, rechunk=True)
                held, rows, size = [], 0, 0
            yield from batch.iter_slices(step)
            continue
        held.append(batch)
        rows += batch.height
        size += width * batch.height
    if held:
        yield pl.concat(held, rechunk=True)


class _Spool:
    """Frames one after the other in a file without a name, each as an Arrow IPC file, and so with its own types."""

    def __init__(self, folder: Path) -> None:
        self._where = folder / "spool"
        with writing(self._where):
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by the finalizer
        weakref.finalize(self, self._file.close)
        self._end = 0
        self.places: list[tuple[int, int, int]] = []

    def append(self, frame: pl.DataFrame) -> None:
        with readable("the batch"):
            body = frame.write_ipc(None, compression="lz4").getbuffer()
        with writing(self._where):
            done = 0
            while done < len(body):
                done += self._file.write(body[done:])
        self.places.append((self._end, len(body), frame.height))
        self._end += len(body)

    def read(self, offset: int, length: int) -> pl.DataFrame:
        body = bytearray(length)
        view, done = memoryview(body), 0
        while done < length:
            done += os.preadv(self._file.fileno(), [view[done:]], offset + done)
        with readable("what was kept of the rows"):
            return pl.read_ipc(io.BytesIO(body))


class _Spooled:
    """A source over a spool."""

    def __init__(self, spool: _Spool, schema: pl.Schema, specs: list[SourceSpec]) -> None:
        self._spool, self.schema, self.specs = spool, schema, specs

    @property
    def rows(self) -> int | None:
        """The rows of all batches."""
        return sum(rows for _, _, rows in self._spool.places)

    def batches(self, wanted: Wanted | None = None) -> Iterator[tuple[int, pl.DataFrame]]:
        """The batches in order. Raises DataError when types don't hold."""
        start = 0
        for offset, length, rows in self._spool.places:
            if wanted is None or wanted(start, rows):
                yield start, fitted(self._spool.read(offset, length), self.schema, start)
            start += rows
