"""Reading the rows of column groups in their order: natively where a rope is plain, else gathered block by block."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from polars.io.plugins import register_io_source

from clew.data.rope import Fragment, Rope
from clew.errors import UsageError
from clew.objects import ObjectStore

WHOLE_BYTES: Final = 512 << 20
"""Fragments that are decoded into up to so many bytes are held whole; beyond that row groups come and go."""
_HELD_BYTES: Final = 256 << 20
_BLOCK_ROWS: Final = 131_072
_YIELDED_ROWS: Final = 262_144
_FEW: Final = 4
_SPREAD: Final = 4
_FARTHER: Final = 1 << 40  # than any row of a fragment


@dataclass(frozen=True)
class Group:
    """Some columns of a table, and where their rows lie."""

    columns: tuple[str, ...]
    rope: Rope


def of_its_own(part: pl.DataFrame, rows: int) -> pl.DataFrame:
    """A part of a frame of so many rows, that holds no memory but its own.

    A few texts of many hold on to the buffers of them all; through Arrow's older layout they are copied together.
    """
    if part.height * _FEW > rows or not any(_has_text(dtype) for dtype in part.dtypes):
        return part
    body = part.write_ipc(None, compat_level=pl.CompatLevel.oldest())
    return pl.read_ipc(body.getvalue())


def _has_text(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.List | pl.Array):
        return _has_text(dtype.inner)  # type: ignore[arg-type]  # an instance, once it is in a frame
    if isinstance(dtype, pl.Struct):
        return any(_has_text(field.dtype) for field in dtype.fields)  # type: ignore[arg-type]  # as above
    return isinstance(dtype, pl.String | pl.Binary)


def scan(objects: ObjectStore, groups: Sequence[Group], empty: pl.DataFrame) -> pl.LazyFrame:
    """The rows of a table, lazily, in order; `empty` gives its schema.

    Projections and filters reach the files where all ropes are plain; else columns that nobody asked for aren't
    read, and a filter's columns are read first.
    """
    if not groups or not groups[0].rope.height:
        return empty.lazy()
    if all(group.rope.is_plain for group in groups):
        parts = [_native(objects, group) for group in groups]
        frame = parts[0] if len(parts) == 1 else pl.concat(parts, how="horizontal")
        return frame if frame.collect_schema().names() == empty.columns else frame.select(empty.columns)
    return register_io_source(
        partial(_source, objects, tuple(groups), empty.columns), schema=empty.schema, is_pure=True
    )


def _native(objects: ObjectStore, group: Group) -> pl.LazyFrame:
    files = [objects.open_path(fragment.digest) for fragment in group.rope.fragments]
    return pl.scan_parquet(files, glob=False, hive_partitioning=False).select(group.columns)


def _source(
    objects: ObjectStore,
    groups: tuple[Group, ...],
    columns: Sequence[str],
    with_columns: list[str] | None,
    predicate: pl.Expr | None,
    n_rows: int | None,
    batch_size: int | None,
) -> Iterator[pl.DataFrame]:
    """What polars asks for when it reads; a predicate's columns are gathered first."""
    del batch_size
    wanted = list(columns) if with_columns is None else with_columns
    asked = [] if predicate is None else [name for name in columns if name in predicate.meta.root_names()]
    later = [name for name in wanted if name not in asked]
    table = Table(objects, groups)
    end = table.height if n_rows is None else min(n_rows, table.height)
    first, rest = table.narrowed(asked), table.narrowed(later)
    for start in range(0, end, _YIELDED_ROWS):
        rows = min(_YIELDED_ROWS, end - start)
        if predicate is None:
            yield rest.rows(start, rows).select(wanted)
            continue
        found = first.rows(start, rows) if asked else pl.DataFrame({"": np.arange(rows)})
        kept = found.select(predicate.alias("")).to_series()
        if len(kept) == 1:  # a predicate without columns
            kept = pl.Series([kept.item()]).new_from_index(0, rows)
        at = kept.fill_null(value=False).arg_true()
        parts = [found.select(pl.col(asked).gather(at))] if asked else []
        if later:
            whole = len(at) * _FEW > rows
            part = rest.rows(start, rows) if whole else rest.take(start + at.to_numpy().astype(np.int64))
            parts.append(part.select(pl.all().gather(at)) if whole else part)
        yield pl.concat(parts, how="horizontal").select(wanted)


class Decoded:
    """Fragments that were decoded, for several readings of them in a row."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._frames: dict[tuple[str, tuple[str, ...]], pl.DataFrame] = {}

    def clear(self) -> None:
        """Give the memory back."""
        self._frames.clear()

    def frame(self, fragment: Fragment, columns: tuple[str, ...]) -> pl.DataFrame:
        """A fragment's rows in these columns."""
        key = (fragment.digest, columns)
        if key not in self._frames:
            path = self._objects.open_path(fragment.digest)
            self._frames[key] = pl.read_parquet(path, columns=list(columns), glob=False).select(columns)
        return self._frames[key]


class Table:
    """The rows of column groups, to be read by row number. Not thread-safe; holds decoded fragments while it lives."""

    def __init__(self, objects: ObjectStore, groups: Sequence[Group], decoded: Decoded | None = None) -> None:
        self._objects = objects
        self._groups = tuple(groups)
        self._decoded = decoded
        self.height = groups[0].rope.height if groups else 0
        self._readers = [_reader(objects, group, decoded) for group in groups]

    def narrowed(self, columns: Sequence[str]) -> "Table":
        """The same rows with some of the columns."""
        kept = [Group(tuple(c for c in group.columns if c in columns), group.rope) for group in self._groups]
        return Table(self._objects, [group for group in kept if group.columns], self._decoded)

    def rows(self, start: int, rows: int) -> pl.DataFrame:
        """So many rows from such a row, all columns, group by group."""
        return self._joined([reader.rows(start, rows) for reader in self._readers])

    def take(self, at: npt.NDArray[np.int64]) -> pl.DataFrame:
        """The rows with these numbers, in that order."""
        return self._joined([reader.take(at) for reader in self._readers])

    def blocks(self, rows: int = _BLOCK_ROWS) -> Iterator[pl.DataFrame]:
        """All rows, block by block."""
        for start in range(0, self.height, rows):
            yield self.rows(start, min(rows, self.height - start))

    @property
    def is_held(self) -> bool:
        """Whether all fragments are held whole while they are read, so that `column` can be asked."""
        return all(isinstance(reader, _Whole) for reader in self._readers)

    def column(self, name: str) -> pl.Series:
        """All rows of one column, of a table that is held."""
        for group, reader in zip(self._groups, self._readers, strict=True):
            if name in group.columns and isinstance(reader, _Whole):
                return reader.column(name)
        raise UsageError(f"{name!r} isn't a column that is held", mend="ask is_held, or read blocks")

    def hashes(self, function: Callable[[pl.DataFrame], npt.NDArray[np.uint64]]) -> Iterator[npt.NDArray[np.uint64]]:
        """What a function gives for each row, in order; it adds up over columns, so groups are asked one by one."""
        if self.is_held:
            total = np.zeros(self.height, dtype=np.uint64)
            for reader in self._readers:
                assert isinstance(reader, _Whole)
                total += reader.map(function)
            yield total
            return
        for block in self.blocks():
            yield function(block)

    def _joined(self, parts: list[pl.DataFrame]) -> pl.DataFrame:
        return parts[0] if len(parts) == 1 else pl.concat(parts, how="horizontal") if parts else pl.DataFrame()


def _reader(objects: ObjectStore, group: Group, decoded: Decoded | None) -> "_Whole | _Streamed":
    try:
        files = [pq.read_metadata(objects.open_path(fragment.digest)) for fragment in group.rope.fragments]
    except pa.ArrowNotImplementedError:
        # Whole numbers of 128 bits, which polars alone can read: row groups can't be told.
        return _Whole(decoded or Decoded(objects), group)
    names = set(group.columns)
    size = 0
    for meta in files:
        wanted = [i for i in range(meta.num_columns) if meta.schema.column(i).path.split(".")[0] in names]
        groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
        # Dictionaries and runs make files smaller than memory: at least eight bytes a value.
        size += sum(max(one.column(i).total_uncompressed_size, 8 * one.num_rows) for one in groups for i in wanted)
    return _Whole(decoded or Decoded(objects), group) if size <= WHOLE_BYTES else _Streamed(objects, group, files)


class _Whole:
    """A group whose fragments fit into memory: each decoded once."""

    def __init__(self, decoded: Decoded, group: Group) -> None:
        self._decoded, self._group = decoded, group
        self._begins = np.cumsum([0, *(fragment.rows for fragment in group.rope.fragments)])
        self._plain = group.rope.is_plain
        self._found: tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]] | None = None
        self._end_to_end: pl.DataFrame | None = None
        self._rows: pl.Series | None = None

    def rows(self, start: int, rows: int) -> pl.DataFrame:
        if self._plain:
            return self._whole(rechunk=False).slice(start, rows)
        fragment, row = self._places()
        return self._gathered(fragment[start : start + rows], row[start : start + rows])

    def take(self, rows: npt.NDArray[np.int64]) -> pl.DataFrame:
        fragments, places = self._places()
        fragment, row = fragments[rows], places[rows]
        order = np.argsort(fragment, kind="stable")
        parts = [
            self._decoded.frame(self._group.rope.fragments[index], self._group.columns)[
                row[order][fragment[order] == index]
            ]
            for index in np.unique(fragment).tolist()
        ]
        if not parts:
            return self._decoded.frame(self._group.rope.fragments[0], self._group.columns).clear()
        back = np.empty(len(order), dtype=np.int64)
        back[order] = np.arange(len(order))
        gathered: pl.DataFrame = pl.concat(parts, rechunk=True)[back]
        return gathered

    def map(self, function: Callable[[pl.DataFrame], npt.NDArray[np.uint64]]) -> npt.NDArray[np.uint64]:
        values = np.concatenate([function(piece) for piece in self._pieces()])
        if self._plain:
            return values
        fragment, row = self._places()
        expanded: npt.NDArray[np.uint64] = values[row + self._begins[fragment]]
        return expanded

    def column(self, name: str) -> pl.Series:
        """All rows of one column: one after the other they stay in the processor's cache, and need little memory."""
        whole = pl.concat([piece[name] for piece in self._pieces()], rechunk=not self._plain)
        if self._plain:
            return whole
        if self._rows is None:
            fragment, row = self._places()
            self._rows = pl.Series(row + self._begins[fragment], dtype=pl.get_index_type())
        return whole.gather(self._rows)

    def _pieces(self) -> list[pl.DataFrame]:
        return [self._decoded.frame(fragment, self._group.columns) for fragment in self._group.rope.fragments]

    def _places(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        self._found = self._found or self._group.rope.places()
        return self._found

    def _whole(self, *, rechunk: bool) -> pl.DataFrame:
        """All fragments laid end to end."""
        if self._end_to_end is None:
            frame = pl.concat(self._pieces(), rechunk=False)
            self._end_to_end = frame.rechunk() if rechunk else frame
        return self._end_to_end

    def _gathered(self, fragment: npt.NDArray[np.int32], row: npt.NDArray[np.int64]) -> pl.DataFrame:
        """Rows by place. Where they lie close together only that stretch of each fragment is laid end to end."""
        pieces, at, spread = [], np.empty(len(row), dtype=np.int64), 0
        for index in np.unique(fragment).tolist() if self._end_to_end is None else ():
            mine = fragment == index
            rows = row[mine]
            low, high = int(rows.min()), int(rows.max()) + 1
            at[mine] = rows - low + spread
            spread += high - low
            pieces.append((index, low, high - low))
        if self._end_to_end is not None or spread > _SPREAD * len(row) + _BLOCK_ROWS:
            gathered: pl.DataFrame = self._whole(rechunk=True)[row + self._begins[fragment]]
            return gathered
        columns, fragments = self._group.columns, self._group.rope.fragments
        parts = [self._decoded.frame(fragments[i], columns).slice(low, count) for i, low, count in pieces]
        frame = parts[0] if len(parts) == 1 else pl.concat(parts, rechunk=True)
        return frame[at] if parts else frame


class _Streamed:
    """A group larger than memory: row groups are decoded as they are met, and a few are held."""

    def __init__(self, objects: ObjectStore, group: Group, files: Sequence[pq.FileMetaData]) -> None:
        self._group = group
        self._paths = [objects.open_path(fragment.digest) for fragment in group.rope.fragments]
        self._begins = [
            np.cumsum([0, *(file.row_group(i).num_rows for i in range(file.num_row_groups))]) for file in files
        ]
        self._held: OrderedDict[tuple[int, int], pl.DataFrame] = OrderedDict()
        self._bytes = 0

    def rows(self, start: int, rows: int) -> pl.DataFrame:
        return self._gather(*self._group.rope.cut(start, rows).places())

    def take(self, at: npt.NDArray[np.int64]) -> pl.DataFrame:
        rope = self._group.rope
        ends = np.cumsum(rope.rows)
        extent = np.searchsorted(ends, at, side="right")
        return self._gather(
            rope.fragment[extent].astype(np.int32), rope.start[extent] + at - (ends - rope.rows)[extent]
        )

    def _gather(self, fragment: npt.NDArray[np.int32], row: npt.NDArray[np.int64]) -> pl.DataFrame:
        """Rows by place: out of one row group after the other, and then into their order."""
        if not len(row):
            return self._decoded(0, 0).clear()
        place = fragment.astype(np.int64) * _FARTHER + row
        order = np.argsort(place, kind="stable")
        place = place[order]
        parts: list[pl.DataFrame] = []
        start = 0
        while start < len(order):
            index, first = divmod(int(place[start]), _FARTHER)
            begins = self._begins[index]
            row_group = int(np.searchsorted(begins, first, side="right")) - 1
            stop = int(np.searchsorted(place, index * _FARTHER + int(begins[row_group + 1])))
            decoded = self._decoded(index, row_group)
            part = decoded[place[start:stop] - index * _FARTHER - int(begins[row_group])]
            parts.append(of_its_own(part, decoded.height))
            start = stop
        frame = parts[0] if len(parts) == 1 else pl.concat(parts, rechunk=True)
        back = np.empty(len(order), dtype=np.int64)
        back[order] = np.arange(len(order))
        return frame if (back == np.arange(len(back))).all() else frame[back]

    def _decoded(self, index: int, row_group: int) -> pl.DataFrame:
        key = (index, row_group)
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        begins = self._begins[index]
        frame = (
            pl.scan_parquet(self._paths[index], glob=False, hive_partitioning=False)
            .select(self._group.columns)
            .slice(int(begins[row_group]), int(begins[row_group + 1] - begins[row_group]))
            .collect()
        )
        size = frame.estimated_size()
        while self._held and self._bytes + size > _HELD_BYTES:
            _, dropped = self._held.popitem(last=False)
            self._bytes -= int(dropped.estimated_size())
        self._held[key] = frame
        self._bytes += int(size)
        return frame
