"""Exporting a table for other tools: Parquet, or a Delta table; whole or not at all, with bounded memory."""

import secrets
import shutil
import time
from pathlib import Path
from typing import Final, Literal, get_args

import polars as pl
import pyarrow as pa

from clew.data._disk import writing
from clew.data._handover import arrow_reader, blocks
from clew.data._logical import type_name
from clew.data.snapshot import Snapshot
from clew.errors import DataError, MissingDependencyError, RefusedError, UsageError

Format = Literal["parquet", "delta"]

_PART_BYTES: Final = 256 << 20
_ROW_GROUP_ROWS: Final = 131_072
_TRIES: Final = 50
_PAUSE_SECONDS: Final = 0.02
_IN_DELTA: Final = (
    pl.Boolean, pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Float32, pl.Float64, pl.String, pl.Categorical, pl.Binary,
    pl.Date, pl.Decimal,
)  # fmt: skip


def export(snapshot: Snapshot, dest: Path, format_: Format) -> list[Path]:
    """Write a table to `dest`, and give the files. Nothing is there before all is.

    Parquet is one file where `dest` ends in .parquet, else a folder of parts of about 256 MB in memory, whose names
    are in the order of the rows. A Delta table is a folder; it keeps no order of rows.

    Raises:
        RefusedError: something is there already.
        UsageError: the snapshot is no table, or there is no such format.
        DataError: a type that Delta doesn't have; its column is named.
        MissingDependencyError: a Delta table needs deltalake.
        StoreError: the disk is full, or can't be written.
    """
    if format_ not in get_args(Format):
        raise UsageError(f"{format_!r} is no format to export to", mend=f"one of: {', '.join(get_args(Format))}")
    snapshot.groups()  # which a folder of files doesn't have
    if dest.exists() or dest.is_symlink():
        raise RefusedError(f"{dest} is there already", mend="name another place, or remove it")
    with writing(dest):
        dest.parent.mkdir(parents=True, exist_ok=True)
        unfinished = dest.with_name(f".{dest.name}-{secrets.token_hex(4)}.unfinished")
        unfinished.mkdir()
        try:
            written = unfinished
            if format_ == "delta":
                _delta(snapshot, unfinished)
            elif dest.suffix == ".parquet":
                written = unfinished / "whole.parquet"
                snapshot.scan().sink_parquet(written, row_group_size=_ROW_GROUP_ROWS)
            else:
                _parts(snapshot, unfinished)
            written.rename(dest)
        finally:
            _remove(unfinished)
    return [dest] if dest.is_file() else sorted(path for path in dest.rglob("*") if path.is_file())


def _parts(snapshot: Snapshot, folder: Path) -> None:
    held: list[pl.DataFrame] = []
    number = 0
    for block in blocks(snapshot):
        held.append(block)
        if sum(one.estimated_size() for one in held) >= _PART_BYTES:
            _write(held, folder, number)
            held, number = [], number + 1
    if held or not number:
        _write(held or [snapshot.empty()], folder, number)


def _write(frames: list[pl.DataFrame], folder: Path, number: int) -> None:
    pl.concat(frames).write_parquet(folder / f"part-{number:05}.parquet", row_group_size=_ROW_GROUP_ROWS)


def _remove(folder: Path) -> None:
    """Remove a folder that threads of polars may still be making files in, when one of them failed."""
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE_SECONDS)


def _delta(snapshot: Snapshot, folder: Path) -> None:
    try:
        import deltalake
    except ImportError as error:
        raise MissingDependencyError(
            "a Delta table needs deltalake, which is not installed", mend="pip install 'clew[delta]'"
        ) from error
    schema = snapshot.empty().schema
    odd = [f"{name!r} of type {type_name(dtype, name)}" for name, dtype in schema.items() if not _in_delta(dtype)]
    if odd or not schema:
        raise DataError(
            f"{snapshot.reference}: Delta has no type for {'; '.join(odd) or 'a table without columns'}",
            mend="export it as Parquet, or cast these columns (moments to timestamp[us] or timestamp[us, UTC])",
        )
    reader = arrow_reader(snapshot)
    plain = pa.schema([pa.field(one.name, _plain(one.type), one.nullable) for one in reader.schema])
    rows = pa.RecordBatchReader.from_batches(
        plain, (part for one in reader for part in pa.Table.from_batches([one]).cast(plain).to_batches())
    )
    try:
        deltalake.write_deltalake(str(folder), rows)
    except deltalake.exceptions.DeltaError as error:
        raise DataError(f"{snapshot.reference} can't be written as a Delta table: {error}") from error


def _in_delta(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.Datetime):
        return dtype.time_unit == "us" and dtype.time_zone in (None, "UTC")
    if isinstance(dtype, pl.List):
        return _in_delta(pl.Series(dtype=dtype.inner).dtype)
    if isinstance(dtype, pl.Struct):
        return bool(dtype.fields) and all(_in_delta(pl.Series(dtype=one.dtype).dtype) for one in dtype.fields)
    return dtype in _IN_DELTA


def _plain(kind: pa.DataType) -> pa.DataType:
    """A type without dictionaries, which are an encoding."""
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_large_list(kind):
        return pa.large_list(_plain(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(one.name, _plain(one.type)) for one in kind])
    return kind
