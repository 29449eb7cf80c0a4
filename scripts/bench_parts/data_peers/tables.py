"""The table that is measured, and what happens to it between two dumps; all of it follows from seeds."""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.parquet as pq

GROUP_ROWS: Final = 1_000_000
FILE_ROWS: Final = 2_000_000
_NEW_IDS: Final = 10**10
_TOWNS: Final = 50_000
_KINDS: Final = ("flat", "house", "loft", "barn", "garage", "office", "shop", "land")
_EPOCH: Final = dt.datetime(2020, 1, 1)  # noqa: DTZ001  the column has no zone

Rows = npt.NDArray[np.int64]


@cache
def _words() -> tuple[pl.Series, pl.Series]:
    """Towns, each with a name of its own, and kinds."""
    syllables = np.array([a + b for a in "bdfghklmnprstvw" for b in "aeiou"])
    draw = np.random.default_rng(50)
    # nine syllables out of 75: 50,000 draws don't meet
    parts = syllables[draw.integers(0, len(syllables), (_TOWNS, 9))]
    names = ["".join(row[:4]) + " " + "".join(row[4:7]) + " " + "".join(row[7:]) for row in parts.tolist()]
    return pl.Series(names), pl.Series(_KINDS)


def table(rows: int, seed: int, first: int = 0) -> pl.DataFrame:
    """So many rows of 20 columns, with ids from `first` on; about 156 bytes a row in memory."""
    draw = np.random.default_rng((2026, seed))
    towns, kinds = _words()
    floats = {f"f{number}": draw.standard_normal(rows) for number in range(5)}
    gaps = pl.Series(draw.standard_normal(rows)).set(pl.Series(draw.random(rows) < 0.1), None)
    seconds = pl.Series(draw.integers(0, 5 * 365 * 86_400, rows)) * 1_000_000
    return pl.DataFrame(
        {
            "id": np.arange(first, first + rows, dtype=np.int64),
            "lot": draw.integers(0, 1_000_000, rows),
            **floats,
            "f5": gaps,
            "g0": draw.standard_normal(rows, dtype=np.float32),
            "f6": draw.standard_normal(rows),
            "n0": draw.integers(0, 10**12, rows),
            "n1": draw.integers(0, 10**9, rows),
            "n2": draw.integers(0, 5_000, rows),
            "s0": draw.integers(0, 1_000, rows, dtype=np.int16),
            "s1": draw.integers(0, 12, rows, dtype=np.int8),
            "flag": draw.random(rows) < 0.3,
            "day": pl.Series(draw.integers(18_000, 20_000, rows, dtype=np.int32)).cast(pl.Date),
            "at": (seconds + pl.Series([_EPOCH]).dt.timestamp("us")[0]).cast(pl.Datetime("us")),
            "kind": kinds.gather(draw.integers(0, len(_KINDS), rows)),
            "town": towns.gather(draw.integers(0, _TOWNS, rows)),
        }
    )


@dataclass(frozen=True)
class Edited:
    """A new dump, and the part of it that is new: rows, or a column."""

    frame: pl.DataFrame
    changed: pl.DataFrame


def scattered(rows: int, count: int, seed: int) -> Rows:
    """So many different rows, in order."""
    return np.sort(np.random.default_rng((7, seed)).choice(rows, count, replace=False)).astype(np.int64)


def updated(frame: pl.DataFrame, count: int, seed: int, column: str = "f2") -> Edited:
    """One column of so many scattered rows has new values."""
    at = scattered(frame.height, count, seed)
    values = np.random.default_rng((8, seed)).standard_normal(count)
    frame = frame.with_columns(frame[column].clone().scatter(at, pl.Series(values)))
    return Edited(frame, frame[at])


def deleted(frame: pl.DataFrame, count: int, seed: int) -> Edited:
    """So many scattered rows are gone."""
    kept = np.ones(frame.height, dtype=np.bool_)
    kept[scattered(frame.height, count, seed)] = False
    return Edited(frame.filter(pl.Series(kept)), frame.clear())


def put_in(frame: pl.DataFrame, at: Rows | int, count: int, seed: int) -> Edited:
    """So many new rows, at one place or each at its own."""
    new = table(count, 10_000 + seed, _NEW_IDS + seed * 10**7)
    order = np.insert(np.arange(frame.height), at, frame.height + np.arange(count))
    return Edited(pl.concat([frame, new])[order].rechunk(), new)


def drifted(frame: pl.DataFrame, seed: int, column: str = "f2") -> pl.DataFrame:
    """1% of scattered rows differ: 0.5% with a new value in one column, 0.3% gone, 0.2% new."""
    height = frame.height
    frame = updated(frame, height // 200, seed, column).frame
    frame = deleted(frame, height * 3 // 1000, seed).frame
    return put_in(frame, scattered(frame.height, height // 500, seed + 1), height // 500, seed).frame


def _together(frame: pl.DataFrame) -> Edited:
    share = frame.height // 100
    changed = updated(frame, share, 1).frame["f2"]
    touched = frame.with_columns(touched=changed != frame["f2"]).with_columns(changed)
    touched = deleted(touched, share, 2).frame
    kept, is_touched = touched.drop("touched"), touched["touched"]
    middle = put_in(kept, kept.height // 2, share, 3)
    end = put_in(middle.frame, middle.frame.height, share, 4)
    front = put_in(end.frame, 0, 1, 5)
    return Edited(front.frame, pl.concat([kept.filter(is_touched), middle.changed, end.changed, front.changed]))


def _with_column(frame: pl.DataFrame, column: str) -> Edited:
    values = pl.Series(column, np.random.default_rng(9).standard_normal(frame.height))
    return Edited(frame.with_columns(values), values.to_frame())


def _new_order(frame: pl.DataFrame) -> Edited:
    return Edited(frame[np.random.default_rng(10).permutation(frame.height)], frame.clear())


ROW_CASES: Final[dict[str, Callable[[pl.DataFrame], Edited]]] = {
    "1% appended": lambda frame: put_in(frame, frame.height, frame.height // 100, 1),
    "scattered 1% deleted": lambda frame: deleted(frame, frame.height // 100, 2),
    "one column of a scattered 1% updated": lambda frame: updated(frame, frame.height // 100, 3),
    "1% inserted in the middle": lambda frame: put_in(frame, frame.height // 2, frame.height // 100, 4),
    "one row prepended": lambda frame: put_in(frame, 0, 1, 5),
    "all of these together": _together,
}
COLUMN_CASES: Final[dict[str, Callable[[pl.DataFrame], Edited]]] = {
    "one column added": lambda frame: _with_column(frame, "h0"),
    "one column recomputed": lambda frame: _with_column(frame, "f3"),
}
ORDER_CASES: Final[dict[str, Callable[[pl.DataFrame], Edited]]] = {"all rows in a new order": _new_order}
CASES: Final = ROW_CASES | COLUMN_CASES | ORDER_CASES


def write(frame: pl.DataFrame, path: Path) -> int:
    """The frame as zstd Parquet by pyarrow, in row groups of at most a million rows; its bytes."""
    pq.write_table(frame.to_arrow(), path, compression="zstd", row_group_size=GROUP_ROWS)
    return path.stat().st_size


def write_folder(folder: Path, rows: int, change: Callable[[pl.DataFrame, int], pl.DataFrame] | None = None) -> int:
    """A table of any size as Parquet files of 2M rows, each made and changed by itself; the bytes of all."""
    folder.mkdir(parents=True)
    return sum(
        write(frame if change is None else change(frame, number), folder / f"part-{number:04}.parquet")
        for number, frame in enumerate(_pieces(rows))
    )


def _pieces(rows: int) -> Iterator[pl.DataFrame]:
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        yield table(min(FILE_ROWS, rows - start), number, start)
