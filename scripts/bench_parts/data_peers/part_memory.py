"""The peak of memory of `clew data add`, as a whole process, over a folder of Parquet files larger than it may hold."""

import os
import shutil
from pathlib import Path
from typing import Final

import polars as pl

from .bench import CLEW, NAME, Bench, workspace
from .measure import MB, fresh, process
from .rows import Row, progress
from .tables import drifted, write_folder

PART: Final = "memory"
_LIMIT: Final = 2e9


def measure(bench: Bench) -> list[Row]:
    """The first add and the next, with 1% changed, of two sizes."""
    with bench.part(PART) as folder:
        rows = []
        for height in (bench.sized(11_000_000, 200_000), bench.sized(44_000_000, 600_000)):
            rows += _adds(folder, height)
        return rows


def _adds(folder: Path, height: int) -> list[Row]:
    place, source = fresh(folder / "workspace"), folder / "source"
    workspace(place).close()
    rows = []
    for name, change in (("first add", None), ("next add, 1% changed", _changed)):
        progress(f"memory: writing {height:,} rows for the {name}")
        size = write_folder(source, height, change)
        progress(f"memory: {name} of {size / 1e9:.2f} GB")
        took = process([CLEW, "data", "add", NAME, source], folder, {"CLEW_WORKSPACE": os.fspath(place)})
        words = f"{name} of {size / MB:,.0f} MB of Parquet"
        note = f"{took.wall:.1f} s, CPU {took.cpu:.1f} s, {size / MB / took.wall:.0f} MB/s"
        rows.append(Row(PART, words, took.peak / MB, "MB peak", limit=_LIMIT / MB, limit_text="< 2 GB", note=note))
        shutil.rmtree(source)
    shutil.rmtree(place)
    return rows


def _changed(frame: pl.DataFrame, piece: int) -> pl.DataFrame:
    return drifted(frame, 50 + piece)
