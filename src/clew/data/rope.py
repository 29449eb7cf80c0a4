"""Ropes: the rows of a column group as an ordered list of extents, so many rows from such a row of such a fragment.

A rope is kept as a Parquet file of three columns, with the digests of its fragments in the file's metadata:
`fragment` is an index, `skip` is how far the extent begins after the end of the one before it in the same fragment,
`rows` its length. A scattered edit of 1% costs about a byte for each extent, a new order of all rows three bytes a row.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from clew.errors import IntegrityError

Ints = npt.NDArray[np.int64]

_FRAGMENTS: Final = b"clew.fragments"
_COLUMNS: Final = ("fragment", "skip", "rows")


class Fragment(msgspec.Struct, frozen=True, array_like=True):
    """An immutable Parquet file: its object's digest, and how many rows it holds."""

    digest: str
    rows: int


@dataclass(frozen=True)
class Rope:
    """Extents over fragments. `fragment[i]` indexes `fragments`; all three arrays are of one length."""

    fragments: tuple[Fragment, ...]
    fragment: Ints
    start: Ints
    rows: Ints

    @property
    def height(self) -> int:
        """How many rows the rope has."""
        return int(self.rows.sum())

    @property
    def extents(self) -> int:
        """How many extents the rope has."""
        return len(self.rows)

    @property
    def is_plain(self) -> bool:
        """Whether it is whole fragments one after the other, each once, which any reader of Parquet can read."""
        whole = [fragment.rows for fragment in self.fragments]
        return (
            self.extents == len(whole)
            and not self.start.any()
            and self.rows.tolist() == whole
            and self.fragment.tolist() == list(range(len(whole)))
        )

    def places(self) -> tuple[npt.NDArray[np.int32], Ints]:
        """For each row of the rope: the index of its fragment, and its row there."""
        ends = np.cumsum(self.rows)
        fragment = np.repeat(self.fragment.astype(np.int32), self.rows)
        row = np.arange(int(ends[-1]) if len(ends) else 0, dtype=np.int64)
        row += np.repeat(self.start - (ends - self.rows), self.rows)
        return fragment, row

    def with_fragment(self, old: Fragment, new: Fragment) -> "Rope":
        """The same extents, over another fragment of as many rows in place of one."""
        fragments = tuple(new if one == old else one for one in self.fragments)
        return Rope(fragments, self.fragment, self.start, self.rows)

    def cut(self, start: int, rows: int) -> "Rope":
        """The part from row `start`, `rows` long; over the same fragments."""
        ends = np.cumsum(self.rows)
        begins = ends - self.rows
        low, high = np.maximum(begins, start), np.minimum(ends, start + rows)
        kept = low < high
        return Rope(self.fragments, self.fragment[kept], (self.start + low - begins)[kept], (high - low)[kept])


def plain(fragments: Sequence[Fragment]) -> Rope:
    """Whole fragments one after the other."""
    count = len(fragments)
    return Rope(
        tuple(fragments),
        np.arange(count, dtype=np.int64),
        np.zeros(count, dtype=np.int64),
        np.array([fragment.rows for fragment in fragments], dtype=np.int64),
    )


def from_places(fragments: Sequence[Fragment], fragment: npt.NDArray[Any], row: npt.NDArray[Any]) -> Rope:
    """The rope of rows that lie here and there: neighbours that follow each other become one extent."""
    if not len(row):
        return plain(())
    breaks = np.flatnonzero((fragment[1:] != fragment[:-1]) | (row[1:] != row[:-1] + 1)) + 1
    first = np.concatenate([[0], breaks])
    rope = Rope(
        tuple(fragments),
        fragment[first].astype(np.int64),
        row[first].astype(np.int64),
        np.diff(np.append(first, len(row))),
    )
    return _without_unused(rope)


def join(ropes: Iterable[Rope]) -> Rope:
    """Ropes one after the other; extents that follow each other in one fragment become one."""
    index: dict[Fragment, int] = {}
    parts: list[tuple[Ints, Ints, Ints]] = []
    for rope in ropes:
        place = np.array([index.setdefault(one, len(index)) for one in rope.fragments], dtype=np.int64)
        parts.append((place[rope.fragment], rope.start, rope.rows))
    if not parts:
        return plain(())
    fragment, start, rows = (np.concatenate([part[i] for part in parts]) for i in range(3))
    if len(rows) > 1:
        first = np.flatnonzero(np.append(True, (fragment[1:] != fragment[:-1]) | (start[1:] != start[:-1] + rows[:-1])))
        rows = np.add.reduceat(rows, first)
        fragment, start = fragment[first], start[first]
    return _without_unused(Rope(tuple(index), fragment, start, rows))


def _without_unused(rope: Rope) -> Rope:
    """The rope over those fragments alone that it runs through, in the order in which it meets them."""
    used = np.flatnonzero(np.bincount(rope.fragment, minlength=len(rope.fragments)))
    first = np.full(len(rope.fragments), len(rope.fragment))
    backwards = np.arange(len(rope.fragment) - 1, -1, -1)
    first[rope.fragment[::-1]] = backwards  # the last to be written is the first extent of its fragment
    order = used[np.argsort(first[used])]
    rank = np.zeros(len(rope.fragments), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return Rope(tuple(rope.fragments[i] for i in order), rank[rope.fragment], rope.start, rope.rows)


def encode(rope: Rope) -> bytes:
    """The rope as the bytes of an object."""
    skip = rope.start - _previous_ends(rope.fragment, rope.start + rope.rows)
    arrays = [pa.array(rope.fragment, pa.int32()), pa.array(skip, pa.int64()), pa.array(rope.rows, pa.int64())]
    schema = pa.schema(
        [pa.field(name, array.type, nullable=False) for name, array in zip(_COLUMNS, arrays, strict=True)],
        metadata={_FRAGMENTS: msgspec.json.encode(rope.fragments)},
    )
    sink = io.BytesIO()
    pq.write_table(
        pa.Table.from_arrays(arrays, schema=schema),
        sink,
        compression="zstd",
        use_dictionary=False,
        write_statistics=False,
        column_encoding=dict.fromkeys(_COLUMNS, "DELTA_BINARY_PACKED"),
    )
    return sink.getvalue()


def _previous_ends(fragment: Ints, ends: Ints) -> Ints:
    """For each extent the end of the one before it in the same fragment, or 0."""
    order = np.argsort(fragment, kind="stable")
    found = np.empty_like(ends)
    before = np.concatenate([[0], ends[order][:-1]]) if len(ends) else ends
    before[_firsts(fragment[order])] = 0
    found[order] = before
    return found


def _starts(fragment: Ints, skip: Ints, rows: Ints) -> Ints:
    """The starts back from the skips."""
    order = np.argsort(fragment, kind="stable")
    ends = np.cumsum((skip + rows)[order])
    firsts = _firsts(fragment[order])
    # what the fragments before have added to the running sum
    base = np.concatenate([[0], ends[firsts[1:] - 1]]) if len(firsts) else ends
    counts = np.diff(np.append(firsts, len(ends)))
    found = np.empty_like(ends)
    found[order] = ends - np.repeat(base, counts) - rows[order]
    return found


def _firsts(sorted_numbers: Ints) -> Ints:
    return (
        np.flatnonzero(np.append(True, sorted_numbers[1:] != sorted_numbers[:-1]))
        if len(sorted_numbers)
        else sorted_numbers
    )


def decode(body: bytes) -> Rope:
    """The rope back, whole and sound. Raises IntegrityError."""
    try:
        table = pq.read_table(pa.BufferReader(body), columns=list(_COLUMNS), use_threads=False)
        fragments = msgspec.json.decode((table.schema.metadata or {})[_FRAGMENTS], type=tuple[Fragment, ...])
        fragment, skip, rows = (table[name].to_numpy().astype(np.int64, copy=False) for name in _COLUMNS)
    except (pa.ArrowException, OSError, KeyError, msgspec.DecodeError) as error:
        raise IntegrityError(f"a list of extents can't be read: {error}", mend="clew data verify") from error
    start = _starts(fragment, skip, rows)
    rope = Rope(fragments, fragment, start, rows)
    heights = np.array([one.rows for one in fragments], dtype=np.int64)
    if len(rows) and not (
        0 <= fragment.min() <= fragment.max() < len(fragments)
        and start.min() >= 0
        and rows.min() > 0
        and (start + rows <= heights[fragment]).all()
    ):
        raise IntegrityError("a list of extents leads out of its fragments", mend="clew data verify")
    return rope
