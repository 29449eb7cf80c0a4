"""Fifty-one versions, each a scattered 1% away from the one before: their size, and what reading costs then."""

from pathlib import Path
from typing import Final

import polars as pl

from clew.data import add
from clew.data.identity import table_id

from .bench import NAME, Bench, workspace
from .measure import MB, Cost, in_turns, median, on_disk, timed
from .part_read import judged, reading
from .rows import Row, holds, progress, times
from .tables import drifted, table, write

PART: Final = "versions"


def measure(bench: Bench) -> list[Row]:
    """Size, reading of the newest and of one in the middle, and whether every version reads back equal."""
    with bench.part(PART) as folder:
        edits = bench.sized(50, 6)
        frame, place = table(bench.rows, 0), folder / "workspace"
        ids, news, costs, plain = [], [], [], 0
        for edit in range(edits + 1):
            progress(f"versions: {edit + 1} of {edits + 1}")
            if edit:
                frame = drifted(frame, edit, f"f{edit % 5}")
            with workspace(place) as session:
                taken, added = timed(lambda frame=frame: add(session, NAME, frame))  # type: ignore[misc]
            ids.append(table_id(frame).id)
            news.append(added.new_bytes)
            costs.append(taken)
            plain += write(frame, folder / "copy.parquet")
        path = folder / "polars.parquet"
        frame.write_parquet(path)
        size = on_disk(place)
        rows = [
            times(
                PART, f"size of {edits + 1} versions", size / MB, "MB", "as many zstd Parquet copies", plain / MB, 1 / 6
            ),
            *_adding(costs, news),
        ]
        del frame
        return rows + _reading(bench, place, path, edits) + [_back(place, ids)]


def _adding(costs: list[Cost], news: list[int]) -> list[Row]:
    """What the adds were like; one that wrote much more than its changes has compacted."""
    compactions = sum(new > news[0] / 4 for new in news[1:])
    usual, worst = median(costs[1:]), max(costs[1:], key=lambda one: one.cpu)
    return [
        Row(PART, "adds that wrote the table anew", compactions, "", "adds", len(news) - 1),
        Row(PART, "an add, the median", usual.cpu, "CPU s", "the first add", costs[0].cpu),
        Row(PART, "an add, the dearest", worst.cpu, "CPU s", "the first add", costs[0].cpu),
    ]


def _reading(bench: Bench, place: Path, path: Path, edits: int) -> list[Row]:
    progress("versions: reading")
    middle = edits // 2 + 1
    with workspace(place) as session:
        plain = lambda: pl.scan_parquet(path)  # noqa: E731
        newest = reading(lambda: session.snapshot(f"{NAME}@latest").scan(), plain)
        newest["middle"] = reading(lambda: session.snapshot(f"{NAME}@{middle}").scan(), plain)["clew, all"]
        found = in_turns(newest, bench.rounds)
    rows = judged(PART, f"after {edits} edits", found, 2.5)
    other = Row(PART, f"version {middle}, all", found["middle"].wall, "s", "polars", found["polars, all"].wall)
    return [*rows, other]


def _back(place: Path, ids: list[str]) -> Row:
    progress("versions: reading each one back")
    with workspace(place) as session:
        good = sum(
            table_id(session.snapshot(f"{NAME}@{number}").collect()).id == wanted
            for number, wanted in enumerate(ids, start=1)
        )
    return holds(PART, "versions that read back other than they were added", good, len(ids))
