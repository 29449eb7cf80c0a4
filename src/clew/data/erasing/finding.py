"""Finding a person's rows: one column of each fragment is read, and no other byte of it."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from clew.data.erasing.contents import Content
from clew.data.erasing.subjects import is_theirs
from clew.errors import RefusedError
from clew.objects import ObjectStore
from clew.objects.folder import FolderStore

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Report = Callable[[str, int, int | None], None]

_AHEAD: Final = 1 << 16  # bytes read at once at a file's end, where Parquet keeps what it says of itself


@dataclass
class Found:
    """Where a person's rows lie.

    `hits` are the rows of each fragment (by digest) whose value is the person's; `rows` says, by content, which of
    its rows these are; `read` counts fragments and bytes that were read to know it.
    """

    hits: dict[str, Ints] = field(default_factory=dict)
    rows: dict[str, Ints] = field(default_factory=dict)
    fragments_read: int = 0
    bytes_read: int = 0


def check_columns(contents: Sequence[Content], columns: Sequence[str], *, as_text: bool) -> None:
    """Refuse a subject column that is missing from a version, or of another type there. Raises RefusedError."""
    kinds: dict[str, list[str]] = {}
    without = []
    for one in contents:
        if one.kind == "files" or not one.references:
            continue
        named: dict[str, str] = dict(tuple(field) for field in one.schema or [])  # type: ignore[misc]
        mine = [name for name in columns if name in named]
        if not mine:
            without.append(one.name)
        for name in mine:
            kinds.setdefault(_kind(named[name]), []).append(f"{one.name} ({name})")
    if without:
        raise RefusedError(
            f"{', '.join(without)} {'has' if len(without) == 1 else 'have'} no column {' or '.join(columns)}: "
            "who a row is about can't be told there; nothing was changed",
            mend="name the column that names the person there as well: --column NAME",
        )
    if len(kinds) > 1 and not as_text:
        said = "; ".join(f"{kind} in {', '.join(names[:3])}" for kind, names in kinds.items())
        raise RefusedError(
            f"the column that names the person changed its type between versions: {said}; nothing was changed",
            mend="--as-text, if the same person has the same digits and letters in all of them",
        )


def _kind(logical: str) -> str:
    if logical.startswith(("string", "enum", "categorical")):
        return "text"
    return "whole number" if logical.startswith(("int", "uint")) else logical


def find_rows(
    objects: ObjectStore,
    contents: Sequence[Content],
    columns: Sequence[str],
    wanted: Sequence[str],
    report: Report | None = None,
) -> Found:
    """Find the rows of a person in all contents.

    Args:
        objects: where the fragments are.
        contents: what is looked through.
        columns: the names under which the person goes.
        wanted: the texts by which the person goes: the value, and its pseudonyms.
        report: told how far it is.
    """
    found = Found()
    digests = list(dict.fromkeys(f.digest for one in contents for g in one.groups for f in g.rope.fragments))
    for done, digest in enumerate(digests, start=1):
        for series, size in _columns(objects, digest, columns):
            found.bytes_read += size
            hits = is_theirs(series, wanted).arg_true().to_numpy().astype(np.int64)
            if len(hits):
                found.hits[digest] = np.union1d(found.hits.get(digest, np.zeros(0, dtype=np.int64)), hits)
        found.fragments_read += 1
        if report is not None:
            report("looking through fragments", done, len(digests))
    for one in contents:
        rows = _rows_of(one, found.hits, columns)
        if rows.any():
            found.rows[one.pk] = np.flatnonzero(rows)
    return found


def _rows_of(content: Content, hits: dict[str, Ints], columns: Sequence[str]) -> Flags:
    """Which rows of a content are the person's: by the group that says who a row is about."""
    theirs: Flags = np.zeros(content.groups[0].rope.height if content.groups else 0, dtype=bool)
    for group in content.groups:
        if not set(columns) & set(group.columns):
            continue
        rope = group.rope
        for index, fragment in enumerate(rope.fragments):
            if fragment.digest not in hits:
                continue
            flags = np.zeros(fragment.rows, dtype=bool)
            flags[hits[fragment.digest]] = True
            places, rows = rope.places()
            mine = places == index
            theirs[mine] |= flags[rows[mine]]
    return theirs


def _columns(objects: ObjectStore, digest: str, names: Sequence[str]) -> list[tuple[pl.Series, int]]:
    """The columns of a fragment that have one of some names, and about how many bytes were read for each."""
    if isinstance(objects, FolderStore):
        path = objects.open_path(digest)
        mine = [name for name in names if name in pl.read_parquet_schema(path)]
        if not mine:
            return []
        frame = pl.read_parquet(path, columns=mine, glob=False)
        return [(frame[name], int(frame[name].estimated_size())) for name in mine]
    source = _Remote(objects, digest)
    try:
        file = pq.ParquetFile(source)
        mine = [name for name in names if name in file.schema_arrow.names]
        found = [pl.DataFrame(pl.from_arrow(file.read(columns=[name])))[name] for name in mine]
    except pa.ArrowNotImplementedError:  # a type beside them that polars alone can read
        frame = pl.read_parquet(objects.open_path(digest), glob=False)
        return [(frame[name], int(frame[name].estimated_size())) for name in names if name in frame.columns]
    return [(series, source.read_bytes) for series in found]


class _Remote(io.RawIOBase):
    """An object of a store, read by ranges."""

    def __init__(self, objects: ObjectStore, digest: str) -> None:
        self._objects, self._digest = objects, digest
        self._size, self._at, self.read_bytes = objects.size(digest), 0, 0
        self._tail = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0 if whence == 0 else self._at if whence == 1 else self._size)
        return self._at

    def read(self, size: int = -1) -> bytes:
        count = self._size - self._at if size < 0 else min(size, self._size - self._at)
        start, self._at = self._at, self._at + count
        ahead = max(0, self._size - _AHEAD)
        if start >= ahead:
            if not self._tail:
                self._tail = self._fetch(ahead, self._size - ahead)
            return self._tail[start - ahead : start - ahead + count]
        return self._fetch(start, count)

    def readinto(self, buffer: Any) -> int:
        part = self.read(len(buffer))
        buffer[: len(part)] = part
        return len(part)

    def _fetch(self, start: int, count: int) -> bytes:
        if not count:
            return b""
        self.read_bytes += count
        return self._objects.read_range(self._digest, start, count)
