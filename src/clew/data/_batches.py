"""Batches of numpy arrays for training, in the order of the rows or shuffled, with bounded memory."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from clew.data._gather import Table
from clew.data.snapshot import Snapshot
from clew.errors import DataError, UsageError

Batch = dict[str, npt.NDArray[Any]]

_BLOCK_ROWS: Final = 32_768
_BLOCK_VALUES: Final = 1 << 20
_WINDOW_BLOCKS: Final = 8
_BLOCKS_PER_SHARD: Final = 4
_EXACT_IN_FLOAT64: Final = 2**53


def batches(
    snapshot: Snapshot,
    size: int,
    columns: Sequence[str] | None = None,
    shuffle: int | Sequence[int] | None = None,
    shard: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """The rows as dicts of numpy arrays with `size` rows each, fewer in the last one.

    A column has one numpy type in all batches: whole numbers and booleans come as they are where the snapshot has no
    null in that column, else as float64 with NaN; dates and times as datetime64 and timedelta64 with NaT (in UTC),
    arrays of numbers as two dimensions, all else as Python objects with None. The arrays may be written to.

    Args:
        snapshot: a table.
        size: how many rows a batch has.
        columns: which columns, in this order; all, if not given.
        shuffle: a seed, which gives the same order each time: blocks of rows are shuffled, and then the rows within
            every eight blocks (up to 262,144 rows). Without it the rows come in their order.
        shard: which of how many equal shares of the rows, such as (rank, ranks).

    Raises UsageError; DataError when a column has nulls and numbers that float64 can't hold.
    """
    schema = snapshot.empty().schema
    names = list(schema) if columns is None else list(columns)
    unknown = [name for name in names if name not in schema]
    if unknown:
        raise UsageError(f"{snapshot.reference} has no column {unknown[0]!r}; it has: {', '.join(schema)}")
    if size < 1:
        raise UsageError(f"a batch of {size} rows is none", mend="give a size of at least 1")
    index, count = shard
    if not 0 <= index < count:
        raise UsageError(f"there is no share {index} of {count}", mend="give (rank, ranks), with 0 <= rank < ranks")
    floats = _with_nulls(snapshot, {name: schema[name] for name in names})
    table = Table(snapshot.workspace.objects, snapshot.groups()).narrowed(names)
    frames = _frames(table, _Order(snapshot.rows or 0, len(schema), shuffle, index, count))
    return (
        {name: _array(batch[name], as_float=name in floats) for name in names} for batch in _cut(frames, size, names)
    )


@dataclass(frozen=True)
class _Order:
    """Which rows come when; it doesn't depend on the size of batches, nor on the columns that are asked for."""

    height: int
    width: int
    seed: int | Sequence[int] | None
    index: int
    count: int

    def windows(self) -> Iterator[list[tuple[int, int]]]:
        """Blocks that are in memory together, as first row and number of rows."""
        rows = max(1, min(_BLOCK_ROWS, _BLOCK_VALUES // max(1, self.width)))
        if self.count > 1:
            rows = max(1, min(rows, math.ceil(self.height / (self.count * _BLOCKS_PER_SHARD))))
        order = np.arange(math.ceil(self.height / rows))
        if self.seed is not None:
            order = np.random.default_rng(self.seed).permutation(order)
        blocks = [
            (start, min(rows, self.height - start)) for start in (order[self.index :: self.count] * rows).tolist()
        ]
        step = 1 if self.seed is None else _WINDOW_BLOCKS
        for at in range(0, len(blocks), step):
            yield blocks[at : at + step]


def _frames(table: Table, order: _Order) -> Iterator[pl.DataFrame]:
    for window in order.windows():
        if order.seed is None:
            yield table.rows(*window[0])
            continue
        rows = np.concatenate([np.arange(start, start + count) for start, count in window])
        seed = [*np.atleast_1d(order.seed).tolist(), window[0][0]]
        yield table.take(np.random.default_rng(seed).permutation(rows))


def _cut(frames: Iterator[pl.DataFrame], size: int, names: Sequence[str]) -> Iterator[pl.DataFrame]:
    """The same rows in frames of a size."""
    held: list[pl.DataFrame] = []
    rows = 0
    for frame in frames:
        held.append(frame.select(names))
        rows += frame.height
        if rows >= size:
            whole = pl.concat(held, rechunk=False)
            for start in range(0, rows - size + 1, size):
                yield whole.slice(start, size)
            held, rows = [whole.slice(rows - rows % size)], rows % size
    if rows:
        yield pl.concat(held, rechunk=False)


def _with_nulls(snapshot: Snapshot, schema: dict[str, pl.DataType]) -> set[str]:
    """The columns of whole numbers, booleans or arrays that hold a null somewhere."""
    asked = [name for name, dtype in schema.items() if _is_whole(dtype) or _is_array(dtype)]
    if not asked:
        return set()
    flat = {name: pl.col(name).explode() if _is_array(schema[name]) else pl.col(name) for name in asked}
    found = snapshot.scan().select(**{name: one.null_count() for name, one in flat.items()}).collect()
    nulls = {name for name in asked if found[name].item()}
    large = [name for name in nulls if _is_large(_inner(schema[name]))]
    ends = snapshot.scan().select(
        *(getattr(flat[name], end)().alias(f"{end} {name}") for name in large for end in ("min", "max"))
    )
    limits = ends.collect() if large else pl.DataFrame()
    for name in large:
        if any(abs(limits[f"{end} {name}"].item() or 0) > _EXACT_IN_FLOAT64 for end in ("min", "max")):
            raise DataError(
                f"{snapshot.reference}: column {name!r} has nulls, and numbers too large for a float with NaN",
                mend="leave it out by columns=[…], or use .scan() and fill its nulls",
            )
    return nulls


def _inner(dtype: pl.DataType) -> pl.DataType:
    return pl.Series(dtype=dtype.inner).dtype if isinstance(dtype, pl.Array) else dtype


def _is_whole(dtype: pl.DataType) -> bool:
    return dtype == pl.Boolean or (dtype.is_integer() and dtype not in (pl.Int128, pl.UInt128))


def _is_large(dtype: pl.DataType) -> bool:
    return dtype in (pl.Int64, pl.UInt64)


def _is_array(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.Array) and (_is_whole(_inner(dtype)) or _inner(dtype).is_float())


def is_numeric(dtype: pl.DataType) -> bool:
    """Whether `batches` gives a column as numbers or booleans."""
    return _is_whole(dtype) or dtype.is_float() or _is_array(dtype)


def _array(series: pl.Series, *, as_float: bool) -> npt.NDArray[Any]:
    dtype = series.dtype
    if isinstance(dtype, pl.Array) and _is_array(dtype):
        if not as_float:
            return series.to_numpy(writable=True)
        none = [math.nan] * dtype.size
        rows = [none if row is None else [math.nan if one is None else one for one in row] for row in series.to_list()]
        return np.array(rows, dtype=np.float64).reshape(len(rows), dtype.size)
    if as_float:
        return series.cast(pl.Float64).to_numpy(writable=True)
    if _is_whole(dtype) or dtype.is_float() or dtype in (pl.Date, pl.Datetime, pl.Duration):
        return series.to_numpy(writable=True)
    return np.fromiter(series.to_list(), dtype=object, count=len(series))
