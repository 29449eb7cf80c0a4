"""Writing fragments: ordinary Parquet files of bounded size, each an object."""

import io
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from clew.data._disk import writing
from clew.data.identity import table_id
from clew.data.rope import Fragment
from clew.errors import DataError
from clew.objects import ObjectStore

ROW_GROUP_ROWS: Final = 131_072
FRAGMENT_BYTES: Final = 256 << 20
"""In memory; a fragment is closed when its rows take more."""
_COMPRESSION_LEVEL: Final = 1


@dataclass(frozen=True)
class Written:
    """A fragment that was written: its bytes, and whether the store didn't have it before."""

    fragment: Fragment
    bytes: int
    created: bool


def write(objects: ObjectStore, folder: Path, frames: Iterable[pl.DataFrame]) -> list[Written]:
    """Write rows, in order, as fragments; `folder` holds the files on their way.

    Raises DataError, which names the columns that Parquet can't hold; StoreError when the disk is full.
    """
    return [write_one(objects, folder, frame) for frame in _portions(frames)]


def _portions(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The rows in portions of about `FRAGMENT_BYTES`, cut at whole row groups."""
    held: list[pl.DataFrame] = []
    size = 0
    for frame in frames:
        if not frame.height:
            continue
        width = max(1, int(frame.estimated_size()) // frame.height)
        step = max(1, FRAGMENT_BYTES // width // ROW_GROUP_ROWS) * ROW_GROUP_ROWS
        for part in frame.iter_slices(step):
            part_size = width * part.height
            if held and size + part_size > FRAGMENT_BYTES:
                yield pl.concat(held, rechunk=False)
                held, size = [], 0
            held.append(part)
            size += part_size
    if held:
        yield pl.concat(held, rechunk=False)


def write_one(objects: ObjectStore, folder: Path, rows: pl.DataFrame) -> Written:
    path = folder / f"{secrets.token_hex(8)}.parquet"
    try:
        with writing(path):
            rows.write_parquet(
                path,
                compression="zstd",
                compression_level=_COMPRESSION_LEVEL,
                row_group_size=ROW_GROUP_ROWS,
            )
        info = objects.put_file(path, move=True)
    except pl.exceptions.PolarsError as error:
        raise unkept(rows) from error
    finally:
        path.unlink(missing_ok=True)
    return Written(Fragment(info.digest, rows.height), info.size, info.created)


def unkept(rows: pl.DataFrame) -> DataError:
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
        back = pl.read_parquet(body)
    except pl.exceptions.PolarsError:
        return False
    return back.schema == column.schema and table_id(back).id == table_id(column).id


def schema_body(empty: pl.DataFrame) -> bytes:
    """The schema alone, as Arrow IPC without rows.

    Raises DataError for a type that Arrow IPC or Parquet wouldn't give back, before anything is written.
    """

    def kept(part: pl.DataFrame) -> bytes | None:
        try:
            body = part.clear().write_ipc(None).getvalue()
            return body if pl.read_ipc(io.BytesIO(body)).schema == part.schema else None
        except pl.exceptions.PolarsError:
            return None

    body = kept(empty)
    if not _kept(empty):
        raise unkept(empty)
    if body is None:
        named = [f"{name!r} of type {empty.schema[name]}" for name in empty.columns if kept(empty.select(name)) is None]
        raise DataError(
            f"columns that Arrow doesn't give back as they are: {', '.join(named)}",
            mend="cast or drop them before adding the table",
        )
    return body
