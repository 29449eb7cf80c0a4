"""What a file may claim before it is read: so that a hostile one is refused for little time and memory."""

from pathlib import Path
from typing import Final

import polars as pl

from clew.data._logical import logical_of_dtype
from clew.errors import DataError

MAX_COLUMNS: Final = 20_000
HEADER_BYTES: Final = 16 << 20
"""How long the header of a text file may be: 20,000 names of 800 bytes."""

_BOMB_BYTES: Final = 1 << 30
_BOMB_RATIO: Final = 1_000
_WIDTH_OF_TEXTS: Final = 16


def refuse_wide(what: object, columns: int | None) -> None:
    """Pass if there aren't too many columns; None stands for more than could be counted. Raises DataError."""
    if columns is not None and columns <= MAX_COLUMNS:
        return
    count = "far more" if columns is None else f"{columns:,}"
    raise DataError(
        f"{what} has {count} columns, and the limit is {MAX_COLUMNS:,}",
        mend="turn it into rows (name, value), or put the values into one column of lists",
    )


def refuse_claim(path: Path, rows: int, bytes_per_row: float, claimed: float = 0) -> int:
    """How many bytes of memory a file claims, if that isn't absurdly much for its size. Raises DataError.

    What holds a single value may be packed into nothing, so a small file can claim any number of rows.
    """
    claimed = max(claimed, rows * bytes_per_row)
    size = path.stat().st_size
    if claimed > max(_BOMB_BYTES, size * _BOMB_RATIO):
        raise DataError(
            f"{path} has {size:,} bytes and claims {rows:,} rows, at least {claimed / 1e9:.1f} GB in memory",
            mend="check what wrote it; if it is right, add it as a lazy frame: polars.scan_…",
        )
    return int(claimed)


def row_width(schema: pl.Schema) -> float:
    """How many bytes a row takes in memory, at least."""
    kinds = [logical_of_dtype(dtype, name) for name, dtype in schema.items()]
    return sum({"fixed": kind.width, "bytes": _WIDTH_OF_TEXTS, "null": 0}.get(kind.kind, 0.125) for kind in kinds)
