"""The table and the fifty rules that clew, pandera, dataframely and Great Expectations are all asked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
from data_peers.tables import table

KINDS = ["flat", "house", "loft", "barn", "garage", "office", "shop", "land"]
NEEDED = ["id", "lot", "f0", "f1", "f2", "f3", "f4", "g0", "f6", "n0", "n1", "n2", "s0", "s1", "flag", "day", "at",
          "kind", "town"]  # fmt: skip
RANGES: dict[str, tuple[Any, Any]] = {
    "id": (0, 10**12), "lot": (0, 1_000_000), "f0": (-50.0, 50.0), "f1": (-50.0, 50.0), "f2": (-50.0, 50.0),
    "f3": (-50.0, 50.0), "f4": (-50.0, 50.0), "f5": (-50.0, 50.0), "f6": (-50.0, 50.0), "g0": (-50.0, 50.0),
    "n0": (0, 10**13), "n1": (0, 10**9), "n2": (0, 5_000), "s0": (0, 1_100), "day": ("2019-01-01", "2026-01-01"),
    "at": ("2019-01-01", "2026-01-01"),
}  # fmt: skip
NOT_ABOVE = [("f0", "f6"), ("f3", "f4"), ("n1", "n0"), ("s1", "s0")]


def rules() -> list[list[Any]]:
    """Each rule as its kind and what it needs, as JSON has it."""
    found: list[list[Any]] = [["not null", name] for name in NEEDED]
    found += [["between", name, low, high] for name, (low, high) in RANGES.items()]
    found += [["in", "kind", KINDS], ["in", "s1", list(range(12))], ["pattern", "town", "^[a-z ]+$"]]
    found += [["unique", ["id"]], ["unique", ["at", "lot", "id"]], ["among", "n2", "ids.parquet"]]
    found += [["not above", low, high] for low, high in NOT_ABOVE]
    found += [["increasing", "at"], ["rows", 1, 10**9], ["newest", "at", "2019-06-01"]]
    found += [["length", "town", 5, 80], ["mean", "f0", -1.0, 1.0]]
    assert len(found) == 50
    return found


def pieces(rows: int, step: int = 1_000_000) -> Iterator[pl.DataFrame]:
    """The table, in order of `at`, in pieces."""
    for number, start in enumerate(range(0, rows, step)):
        frame = table(min(step, rows - start), number, start)
        span = (pl.col("at").max() - pl.col("at").min()).dt.total_microseconds()
        yield frame.with_columns(
            f6=pl.col("f0") + pl.col("f6").abs(),
            f4=pl.col("f3") + pl.col("f4").abs(),
            n0=pl.col("n0") + pl.col("n1"),
            s0=pl.col("s0") + 12,
            at=pl.datetime(2020, 1, 1)
            + pl.duration(
                microseconds=((pl.col("at") - pl.col("at").min()).dt.total_microseconds() / span * 10**6).sort() * 40
                + 40 * 10**6 * number
            ),
        )


def write(folder: Path, rows: int, *, dirty: bool) -> Path:
    """The table as Parquet, and the ids that `n2` must be among; `dirty`: a hundredth of the rows breaks some rule."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ("dirty" if dirty else "clean")
    path.mkdir(exist_ok=True)
    pl.DataFrame({"n2": range(5_000)}).write_parquet(folder / "ids.parquet")
    for number, frame in enumerate(pieces(rows)):
        part = frame
        if dirty:
            nth = pl.int_range(pl.len()) % 500
            part = frame.with_columns(
                f1=pl.when(nth == 1).then(99.0).otherwise("f1"),
                kind=pl.when(nth == 2).then(pl.lit("castle")).otherwise("kind"),
                n2=pl.when(nth == 3).then(6_000).otherwise("n2"),
                id=pl.when(nth == 4).then(pl.col("id") - 1).otherwise("id"),
                town=pl.when(nth == 5).then(None).otherwise("town"),
            )
        part.write_parquet(path / f"{number:04}.parquet", row_group_size=131_072)
    return path
