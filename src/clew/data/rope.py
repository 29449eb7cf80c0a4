"""Ropes: a table as an ordered list of extents, so many rows from such a row of such a fragment.

A new snapshot shares with the previous one the rows that stand unchanged at its beginning and its end; only what
lies between is written, as a new fragment.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from clew.data.identity import table_id
from clew.errors import IntegrityError
from clew.objects import ObjectStore

COMPRESSION_LEVEL = 3


class Extent(msgspec.Struct, frozen=True, array_like=True):
    """`rows` rows from row `start` of the fragment with this digest."""

    fragment: str
    start: int
    rows: int


def encode(extents: Sequence[Extent]) -> bytes:
    """The extents as the bytes of an object."""
    return msgspec.json.encode({"rope": 1, "extents": extents})


def decode(body: bytes) -> list[Extent]:
    """The extents back. Raises IntegrityError."""

    class _Rope(msgspec.Struct):
        rope: int
        extents: list[Extent]

    try:
        return msgspec.json.decode(body, type=_Rope).extents
    except msgspec.DecodeError as error:
        raise IntegrityError(f"a list of extents can't be read: {error}", mend="clew data verify") from error


def scan(objects: ObjectStore, extents: Sequence[Extent], empty: pl.DataFrame) -> pl.LazyFrame:
    """The rows of a rope, lazily, in order; `empty` gives the schema when there is no row."""
    if not extents:
        return empty.lazy()
    parts = []
    for extent in extents:
        fragment = pl.scan_parquet(objects.open_path(extent.fragment), glob=False)
        parts.append(fragment.slice(extent.start, extent.rows))
    return parts[0] if len(parts) == 1 else pl.concat(parts, how="vertical")


def cut(extents: Sequence[Extent], start: int, rows: int) -> list[Extent]:
    """The part of a rope from row `start`, `rows` long."""
    found, at, end = [], 0, start + rows
    for extent in extents:
        low, high = max(start, at), min(end, at + extent.rows)
        if low < high:
            found.append(Extent(extent.fragment, extent.start + low - at, high - low))
        at += extent.rows
    return found


def join(*ropes: Sequence[Extent]) -> list[Extent]:
    """Ropes one after the other; extents that touch in one fragment become one."""
    found: list[Extent] = []
    for extent in (extent for rope in ropes for extent in rope):
        last = found[-1] if found else None
        if last and last.fragment == extent.fragment and last.start + last.rows == extent.start:
            found[-1] = Extent(last.fragment, last.start, last.rows + extent.rows)
        else:
            found.append(extent)
    return found


def shared_ends(old: pl.DataFrame, new: pl.DataFrame) -> tuple[int, int]:
    """How many rows at the beginning, and at the end, are the same in both, bit for bit."""
    if old.schema != new.schema or old.width == 0:
        return 0, 0
    shorter = min(old.height, new.height)
    old_hash, new_hash = old.hash_rows().to_numpy(), new.hash_rows().to_numpy()
    head = _run(old_hash[:shorter] == new_hash[:shorter])
    rest = shorter - head
    tail = _run(old_hash[::-1][:rest] == new_hash[::-1][:rest]) if rest else 0
    # Equal hashes are a hint (they take -0.0 for 0.0 and all NaN for one): the content id decides.
    if head and table_id(old.head(head)).id != table_id(new.head(head)).id:
        head = 0
    if tail and table_id(old.tail(tail)).id != table_id(new.tail(tail)).id:
        tail = 0
    return head, tail


def _run(equal: np.ndarray) -> int:
    return len(equal) if equal.all() else int(np.argmin(equal))


def write_fragment(objects: ObjectStore, folder: Path, rows: pl.DataFrame) -> tuple[str, int, bool]:
    """Write rows as a fragment; give its digest, its bytes, and whether it is new.

    The file is read back before it counts: a type that Parquet would change must never pass silently.

    Raises IntegrityError.
    """
    import tempfile

    with tempfile.NamedTemporaryFile(dir=folder, suffix=".parquet") as file:
        path = Path(file.name)
        rows.write_parquet(path, compression="zstd", compression_level=COMPRESSION_LEVEL)
        if table_id(pl.read_parquet(path, glob=False)).id != table_id(rows).id:
            raise IntegrityError(
                "these rows don't come back from Parquet as they were",
                mend=f"cast the columns to types that Parquet knows: {rows.schema}",
            )
        info = objects.put(path)
    return info.digest, info.size, info.created
