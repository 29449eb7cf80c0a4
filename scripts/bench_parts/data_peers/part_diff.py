"""Comparing two versions: the time follows what changed, not how large the table is."""

import shutil
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from clew.data import diff

from .bench import NAME, Bench, put, seconds, workspace
from .measure import Cost, cost, in_turns
from .rows import Row, holds, progress, times
from .tables import FILE_ROWS, scattered, updated, write_folder

PART: Final = "diff"


def measure(bench: Bench) -> list[Row]:
    """The same number of changed rows in a table and in one ten times as large."""
    with bench.part(PART) as folder:
        count = bench.sized(20_000, 500)
        sizes = bench.rows, 10 * bench.rows
        found = [_costs(bench, folder / str(rows), rows, count) for rows in sizes]
        (small, right), (large, large_right) = found
        words = [f"{count:,} changed of {rows:,} rows" for rows in sizes]
        good = right + large_right
        return [
            Row(PART, words[0], small["next"].wall, "s", note=f"CPU {small['next'].cpu:.3g} s"),
            times(
                PART, words[1], large["next"].wall, "s", words[0], small["next"].wall, 1.5,
                f"CPU {large['next'].cpu:.3g} s against {small['next'].cpu:.3g} s",
            ),
            _apart(words[0], small),
            _apart(words[1], large),
            holds(PART, "diffs with another number of changed rows", sum(good), len(good)),
        ]  # fmt: skip


def _apart(words: str, found: dict[str, Cost]) -> Row:
    apart, near = found["apart"], found["next"]
    name = f"{words}, twice: a pair that isn't adjacent"
    return Row(PART, name, apart.wall, "s", "adjacent", near.wall, note=seconds(apart, near))


def _costs(bench: Bench, folder: Path, rows: int, count: int) -> tuple[dict[str, Cost], list[bool]]:
    """The times of a diff from a version to the next, and to the one after it; whether each counted right."""
    pieces = -(-rows // FILE_ROWS)
    share = count // pieces

    def edited(rounds: int) -> Any:
        def change(frame: pl.DataFrame, piece: int) -> pl.DataFrame:
            for turn in range(rounds):
                frame = updated(frame, share, 1000 * turn + piece, f"f{turn}").frame
            return frame

        return change

    source = folder / "source"
    folder.mkdir()
    for version in range(3):
        progress(f"diff: {rows:,} rows, version {version + 1}")
        write_folder(source, rows, edited(version))
        put(folder, source, key=["id"])
        shutil.rmtree(source)
    progress(f"diff: comparing {rows:,} rows")
    with workspace(folder) as session:

        def between(old: int, new: int) -> dict[str, Any]:
            # found anew each time: a snapshot may remember what it has read
            return diff(session.snapshot(f"{NAME}@{old}"), session.snapshot(f"{NAME}@{new}"))

        acts = {"next": cost(lambda: between(1, 2)), "apart": cost(lambda: between(1, 3))}
        found = in_turns(acts, bench.rounds)
        near, far = between(1, 2), between(1, 3)
    shutil.rmtree(folder)
    return found, [near["changed"] == share * pieces, far["changed"] == _union(rows, share, pieces)]


def _union(rows: int, share: int, pieces: int) -> int:
    """How many rows either of two rounds of edits has touched."""
    heights = [min(FILE_ROWS, rows - FILE_ROWS * piece) for piece in range(pieces)]
    return sum(
        len(np.union1d(scattered(height, share, piece), scattered(height, share, 1000 + piece)))
        for piece, height in enumerate(heights)
    )
