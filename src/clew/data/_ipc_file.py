"""An Arrow IPC file as a source: record batches read one by one, never mapped, as the file may change meanwhile."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa

from clew.catalog.commands import SourceSpec
from clew.data._exact import from_arrow, readable, refuse_unknown
from clew.data._limits import refuse_claim, refuse_wide, row_width
from clew.data._source import Wanted


class IpcFile:
    """A file's record batches. How many rows each has is known when they have been read once."""

    def __init__(self, path: Path, spec: SourceSpec) -> None:
        """Read the schema. Raises DataError for a type that would change; its column is named."""
        self._path, self.specs = path, [spec]
        with readable(str(path)), pa.OSFile(str(path)) as file:
            schema = pa.ipc.open_file(file).schema
        refuse_unknown(schema)
        self.schema = from_arrow(schema.empty_table(), str(path)).schema
        self._counts: dict[int, int] = {}

    @property
    def rows(self) -> int | None:
        """The rows of all record batches."""
        return rows_of(self._path)

    def batches(self, wanted: Wanted | None = None) -> Iterator[tuple[int, pl.DataFrame]]:
        """The record batches in order. Raises DataError when the file is broken."""
        start = 0
        with readable(str(self._path)), pa.OSFile(str(self._path)) as file:
            reader = pa.ipc.open_file(file)
            for index in range(reader.num_record_batches):
                rows = self._counts.get(index)
                if rows is None or wanted is None or wanted(start, rows):
                    frame = from_arrow(pa.Table.from_batches([reader.get_batch(index)]), str(self._path))
                    rows = self._counts[index] = frame.height
                    if wanted is None or wanted(start, rows):
                        yield start, frame
                start += rows


def arrow_schema(path: Path) -> pa.Schema | None:
    """The file's own schema; None where Arrow can't tell (polars has types that Arrow hasn't).

    Raises DataError when there are too many columns.
    """
    try:
        with pa.OSFile(str(path)) as file:
            schema = pa.ipc.open_file(file).schema
    except (pa.ArrowException, OSError):
        return None
    refuse_wide(path, len(schema))
    return schema


def rows_of(path: Path) -> int:
    """How many rows the headers of the record batches claim. Raises DataError."""
    with readable(str(path)):
        return int(pl.scan_ipc(path, glob=False).select(pl.len()).collect().item())


def refuse_absurd(path: Path) -> None:
    """Pass if the file's size may hold the rows that it claims. Raises DataError."""
    with readable(str(path)):
        schema = pl.scan_ipc(path, glob=False).collect_schema()
    refuse_wide(path, len(schema))
    refuse_claim(path, rows_of(path), row_width(schema))
