"""Ropes: a table as an ordered list of extents, so many rows from such a row of such a fragment.

A new snapshot shares with the previous one the rows that stand unchanged at its beginning and its end; only what
lies between is written, as a new fragment.
"""

import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from clew.data._disk import writing
from clew.data.identity import table_id
from clew.errors import DataError, IntegrityError
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


def scan(objects: ObjectStore, extents: Sequence[Extent], empty: Callable[[], pl.DataFrame]) -> pl.LazyFrame:
    """The rows of a rope, lazily, in order; `empty` gives the schema when there is no row."""
    if not extents:
        return empty().lazy()
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

    Raises DataError, which names the columns; StoreError when the disk is full.
    """
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".parquet") as file:
        path = Path(file.name)
        try:
            with writing(path):
                rows.write_parquet(path, compression="zstd", compression_level=COMPRESSION_LEVEL)
        except pl.exceptions.PolarsError as error:
            raise _unkept(rows) from error
        if not _same(rows, pl.read_parquet(path, glob=False)):
            raise _unkept(rows)
        info = objects.put(path)
    return info.digest, info.size, info.created


def _same(rows: pl.DataFrame, back: pl.DataFrame) -> bool:
    return rows.schema == back.schema and table_id(rows).id == table_id(back).id


def _unkept(rows: pl.DataFrame) -> DataError:
    """The error that names the columns which Parquet wouldn't give back as they are."""
    named = [f"{name!r} of type {rows.schema[name]}" for name in rows.columns if not _kept(rows.select(name))]
    return DataError(
        f"columns that Parquet doesn't give back as they are: {', '.join(named) or 'all of them together'}",
        mend="cast or drop them before adding the table",
    )


def _kept(column: pl.DataFrame) -> bool:
    body = io.BytesIO()
    try:
        column.write_parquet(body)
        body.seek(0)
        return _same(column, pl.read_parquet(body))
    except pl.exceptions.PolarsError:
        return False


def schema_body(frame: pl.DataFrame) -> bytes:
    """The schema alone, as Arrow IPC without rows. Raises DataError for a type that it wouldn't give back."""

    def kept(part: pl.DataFrame) -> bytes | None:
        try:
            body = part.clear().write_ipc(None).getvalue()
            return body if pl.read_ipc(io.BytesIO(body)).schema == part.schema else None
        except pl.exceptions.PolarsError:
            return None

    body = kept(frame)
    if body is None:
        named = [f"{name!r} of type {frame.schema[name]}" for name in frame.columns if kept(frame.select(name)) is None]
        raise DataError(
            f"columns that Arrow doesn't give back as they are: {', '.join(named)}",
            mend="cast or drop them before adding the table",
        )
    return body
