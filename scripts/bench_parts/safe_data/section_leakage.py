"""Leaks planted into real tables at falling doses, tables without leaks, and what looking costs at 2 million rows."""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from clew.data.leakage import leakage
from safe_data import tables

TARGETS = {"house_sales": "price_usd", "flights": "arr_delay", "bikeshare": "bikers", "storms": "wind"}
_KNOWN = {("house_sales", "assessed_usd"), ("bikeshare", "registered")}  # what these tables really leak
_REPEATS = 5
_WHAT = """`clew.data.leakage` says nothing of {tables} real tables split by time but what they do leak (`assessed_usd`
of the price, `registered` of all riders); beside that: {clean}. Leaks planted into samples of them (20,000 rows of
training, 5,000 of test; {repeats} draws from each table):
"""
_COST = """A column that goes with the target is called a leak from a rank correlation of about 0.92 on, one that tells
classes from 97% of each on: below that it may be a good feature. Rows that are nearly the same are called a leak from
0.5% of the test on.

{rows:,} rows × {columns} columns ({table_mb:,.0f} MB): looking takes {cpu:.1f} CPU seconds ({seconds:.1f} s on a busy
machine) and {more_mb:,.0f} MB beside the table."""
Pair = tuple[pl.DataFrame, pl.DataFrame]
Plant = Callable[[pl.DataFrame, pl.DataFrame, str, np.random.Generator], Pair]


def options(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--leak-rows", type=int, default=2_000_000, help="of the table whose cost is measured")


def _shared(share: float, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Plant:
    """A share of the test taken from the training."""

    def plant(train: pl.DataFrame, test: pl.DataFrame, target: str, random: np.random.Generator) -> Pair:
        del target
        count = max(1, round(share * test.height))
        chosen = train[random.choice(train.height, count, replace=False)]
        return train, pl.concat([test.head(test.height - count), change(chosen)])

    return plant


def _told(correlation: float, *, classes: bool) -> Plant:
    """A column that tells the target but for noise (of classes: but for rows that are told wrongly)."""

    def column(frame: pl.DataFrame, target: str, random: np.random.Generator) -> pl.DataFrame:
        truth = frame[target].cast(pl.Float64).rank() / frame.height - 0.5
        if classes:
            wrong = random.random(frame.height) > correlation
            return frame.with_columns(
                pl.Series("told", (truth.fill_null(0).to_numpy() > 0) ^ wrong).cast(pl.Int64),
                pl.Series(target, truth > 0).cast(pl.Int64),
            )
        spread = float(truth.std() or 0) * np.sqrt(1 / correlation**2 - 1)  # type: ignore[arg-type]
        return frame.with_columns((truth + random.normal(0, spread, frame.height)).alias("told"))

    return lambda train, test, target, random: (column(train, target, random), test)


def _rounded(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col(pl.Float64).round_sig_figs(4))


def _in_capitals(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col(pl.String).str.to_uppercase() + " ")


def _one_other(rows: pl.DataFrame) -> pl.DataFrame:
    whole = [name for name, dtype in rows.schema.items() if dtype.is_integer()]
    name = max(whole, key=lambda name: rows[name].n_unique())
    return rows.with_columns(pl.col(name) + 1)


_ROWS: tuple[tuple[str, str, Callable[[pl.DataFrame], pl.DataFrame]], ...] = (
    ("the same rows", "same-rows", lambda rows: rows),
    ("rounded to 4 digits", "-rows", _rounded),
    ("in capitals, with a blank", "-rows", _in_capitals),
    ("one number other", "near-rows", _one_other),
)


def plants() -> Iterator[tuple[str, str, str, Plant]]:
    """What leaks, the dose, the kind of finding that is right, and how it is planted."""
    for what, kind, change in _ROWS:
        for share in (0.1, 0.01, 0.001):
            yield what, f"{share:.1%} of the test", kind, _shared(share, change)
    for r in (0.99, 0.95, 0.9, 0.8):
        yield "a column that goes with the target", f"rank correlation {r}", "target", _told(r, classes=False)
    for right in (1.0, 0.98, 0.95):
        yield "a column that tells a class", f"{right:.0%} right", "target", _told(right, classes=True)


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """How many leaks of each dose are found, what is said of tables without, seconds and memory."""
    parts = {name: tables.halves(name) for name in TARGETS}
    clean = [
        f"{name}: {one}"
        for name, (train, test) in parts.items()
        for one in leakage(train, target=TARGETS[name], test=test)
        if (name, one.column) not in _KNOWN
    ]
    rows = []
    for what, dose, kind, plant in plants():
        found = asked = 0
        for name, one in _planted(parts, plant):
            said = leakage(one[0], target=TARGETS[name], test=one[1])
            asked += 1
            found += any(kind in finding.kind and (name, finding.column) not in _KNOWN for finding in said)
        rows.append({"leak": what, "dose": dose, "found": found, "asked": asked})
        print(f"{what}, {dose}: {found} of {asked}", flush=True)
    cost = json.loads(
        subprocess.run(
            [sys.executable, str(Path(__file__).with_name("leakage_program.py")), str(given.leak_rows)],
            check=True, capture_output=True, text=True,
        ).stdout
    )  # fmt: skip
    print(cost, clean)
    return {"planted": rows, "clean": clean, "tables": len(parts), "cost": cost, "missed": clean}


def _planted(parts: dict[str, Pair], plant: Plant) -> Iterator[tuple[str, Pair]]:
    for name, (train, test) in parts.items():
        for seed in range(_REPEATS):
            random = np.random.default_rng(seed)
            few = train[np.sort(random.choice(train.height, min(train.height, 20_000), replace=False))]
            some = test[np.sort(random.choice(test.height, min(test.height, 5000), replace=False))]
            yield name, plant(few, some, TARGETS[name], random)


def markdown(found: dict[str, Any]) -> str:
    """As tables."""
    cost = found["cost"]
    lines = [
        "## Leakage\n",
        _WHAT.format(tables=found["tables"], clean=len(found["clean"]), repeats=_REPEATS),
        "| leak | dose | found |",
        "|---|---|---:|",
        *(f"| {one['leak']} | {one['dose']} | {one['found']} of {one['asked']} |" for one in found["planted"]),
        "",
        _COST.format(**cost),
    ]
    return "\n".join(lines)
