"""Parquet files as a source: one table in several files, read by row groups."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from clew.catalog.commands import SourceSpec
from clew.data._limits import refuse_claim, refuse_wide, row_width
from clew.data._source import Wanted
from clew.errors import DataError

_BATCH_ROWS: Final = 1 << 20
_THRIFT_LIMIT: Final = 200_000
_WIDTHS: Final = {"BOOLEAN": 0.125, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 8}
_WIDTH_OF_OTHERS: Final = 16


class ParquetFiles:
    """Files of one schema, one after the other; a batch holds whole row groups of up to about a million rows."""

    def __init__(self, paths: Sequence[Path], specs: list[SourceSpec], schema: pl.Schema) -> None:
        self._paths, self.specs, self.schema = tuple(paths), specs, schema
        self._cuts = [_cuts(path) for path in paths]

    @property
    def rows(self) -> int | None:
        """The rows of all files, by their footers."""
        return sum(cut[-1] for cut in self._cuts)

    def batches(self, wanted: Wanted | None = None) -> Iterator[tuple[int, pl.DataFrame]]:
        """Row groups in order. Raises DataError when a file is broken, or isn't of the schema."""
        before = 0
        for path, cuts in zip(self._paths, self._cuts, strict=True):
            for low, high in pairwise(cuts):
                if wanted is None or wanted(before + low, high - low):
                    yield before + low, self._read(path, low, high - low)
            before += cuts[-1]

    def _read(self, path: Path, start: int, rows: int) -> pl.DataFrame:
        try:
            frame = pl.scan_parquet(path, glob=False, hive_partitioning=False).slice(start, rows).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{path} can't be read: {error}", mend="check what wrote it") from error
        except pl.exceptions.PanicException as error:
            raise DataError(f"{path} is broken: {error}", mend="check what wrote it") from error
        if frame.schema != self.schema:
            raise DataError(f"{path} has another schema than the files before it", mend=_difference(self.schema, frame))
        if frame.height != rows:
            raise DataError(f"{path} has fewer rows than its footer says", mend="check what wrote it")
        return frame


def _difference(wanted: pl.Schema, frame: pl.DataFrame) -> str:
    odd = [name for name in {*wanted, *frame.columns} if wanted.get(name) != frame.schema.get(name)]
    named = ", ".join(f"{name} ({wanted.get(name)}, {frame.schema.get(name)})" for name in sorted(odd))
    return f"give all files the same columns, types and order: {named or 'the order of the columns differs'}"


def _cuts(path: Path) -> list[int]:
    """Where batches begin and end: at row groups, and within those that are very long."""
    try:
        meta = pq.read_metadata(path)
    except pa.ArrowNotImplementedError:  # integers of 128 bits
        rows = _rows(path)
        return [*range(0, rows, _BATCH_ROWS), rows]
    cuts = [0]
    held = 0
    for index in range(meta.num_row_groups):
        rows = meta.row_group(index).num_rows
        if held and held + rows > _BATCH_ROWS:
            cuts.append(cuts[-1] + held)
            held = 0
        held += rows
    if held:
        cuts.append(cuts[-1] + held)
    return cuts


def claimed_bytes(path: Path) -> int:
    """How much memory a file says it takes, at least. Raises DataError for one that claims absurdly much."""
    try:
        with pq.ParquetFile(path, thrift_container_size_limit=_THRIFT_LIMIT) as file:
            meta = file.metadata
    except pa.ArrowNotImplementedError:  # integers of 128 bits
        schema = pl.scan_parquet(path, glob=False, hive_partitioning=False).collect_schema()
        refuse_wide(path, len(schema))
        return refuse_claim(path, _rows(path), row_width(schema))
    except OSError as error:
        if "Exceeded size limit" in str(error):  # the list of columns, or of row groups
            refuse_wide(path, None)
        raise
    refuse_wide(path, meta.num_columns)
    widths = [_WIDTHS.get(meta.schema.column(i).physical_type, _WIDTH_OF_OTHERS) for i in range(meta.num_columns)]
    claimed = 0
    for index in range(meta.num_row_groups):
        group = meta.row_group(index)
        columns = [group.column(i) for i in range(meta.num_columns)]
        claimed += sum(
            max(column.total_uncompressed_size, int(width * max(column.num_values, group.num_rows)))
            for column, width in zip(columns, widths, strict=True)
        )
    return refuse_claim(path, meta.num_rows, sum(widths), claimed)


def _rows(path: Path) -> int:
    return int(pl.scan_parquet(path, glob=False, hive_partitioning=False).select(pl.len()).collect().item())
