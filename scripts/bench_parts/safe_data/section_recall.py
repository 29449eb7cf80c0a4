"""What is found of personal data: recall by kind on a labelled set, alarms on five real tables, and what looking costs.

The labelled set is that of the tests (`tests/data/people_made_up.py`): numbers of nobody, in many countries, written
plainly, as usual, behind a label, and carelessly. Each stands ten times in 10,000 rows of other texts (rare), in a
column of nothing else (whole), and a single time in 1,000 rows (single). The limit of 0.95 is for kinds with a check
digit, rare and whole together; singles are reported apart.
"""

import argparse
import math
import os
import platform
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import polars as pl
from data_peers import tables as made
from tests.data import people_made_up as people

from clew.data.policies import in_batches
from clew.data.privacy import scan
from safe_data import tables

Found = dict[str, Any]
_LIMIT: Final = 0.95
_BATCH: Final = 131_072
_JUDGED: Final = (
    "The storms' names are women's and men's, in a column called `name`; the agents of the hotel are people with "
    "made-up names. `east_m` and `north_m` of house sales do lead to a home: projected coordinates aren't looked for.\n"
)
_SEEDS: Final = (11, 12, 13)


def options(parser: argparse.ArgumentParser) -> None:
    """What this section takes."""
    parser.add_argument("--scan-rows", type=int, default=2_000_000, help="of the table whose look is timed")


def measure(given: argparse.Namespace) -> Found:
    """All of it; `missed` are kinds with a check digit under the limit, and tables with an alarm of such a kind."""
    found: Found = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "kinds": _recall(),
        "tables": _alarms(),
        "cost": _cost(given.scan_rows),
        "request": _request(),
    }
    found["missed"] = [one["kind"] for one in found["kinds"] if one["checked"] and one["recall"] < _LIMIT]
    found["missed"] += [
        f"{one['table']}: {alarm['kind']}" for one in found["tables"] for alarm in one["alarms"] if alarm["checked"]
    ]
    return found


def _recall() -> list[Found]:
    planted: Counter[tuple[str, str]] = Counter()
    hit: Counter[tuple[str, str]] = Counter()
    for seed in _SEEDS:
        for case in people.cases(seed):
            kind = people.kind_of(case)
            found = sum(one.matches for one in scan(pl.DataFrame({case.name: case.values})) if one.kind == kind)
            planted[kind, case.placed] += case.planted
            hit[kind, case.placed] += min(found, case.planted)
    rows = []
    for kind in dict.fromkeys(kind for kind, _ in planted):
        both = [(hit[kind, one], planted[kind, one]) for one in ("rare", "whole")]
        right, of = sum(one for one, _ in both), sum(one for _, one in both)
        rows.append(
            {
                "kind": kind,
                "checked": kind in people.CHECKED,
                "planted": of,
                "recall": right / of,
                "at_least": _wilson(right, of),
                **{one: hit[kind, one] / planted[kind, one] for one in ("rare", "whole", "single")},
            }
        )
        print(f"{kind:28} {right:5} of {of:5}  single {rows[-1]['single']:.2f}")
    return rows


def _wilson(right: int, of: int, z: float = 1.645) -> float:
    """The lower end of Wilson's interval, at 95% on one side."""
    share = right / of
    middle = share + z * z / (2 * of)
    return (middle - z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))) / (1 + z * z / of)


def _alarms() -> list[Found]:
    rows = []
    for name in tables.names():
        frame = tables.load(name)
        alarms = [
            {"column": one.column, "kind": one.kind, "share": one.share, "checked": one.kind in people.CHECKED}
            for one in scan(frame)
        ]
        rows.append({"table": name, "rows": frame.height, "columns": frame.width, "alarms": alarms})
        print(name, frame.shape, alarms)
    return rows


def _cost(rows: int) -> Found:
    frame = made.table(rows, 1)

    def batches() -> Any:
        return (frame.slice(at, _BATCH) for at in range(0, rows, _BATCH))

    def plain() -> None:
        for batch in batches():
            batch.select(
                pl.all().null_count().name.prefix("nulls "), pl.all().min().name.prefix("min "), pl.all().max()
            )

    looks: dict[str, Callable[[], object]] = {
        "plain scan (missing, least, most)": plain,
        "clew's look for personal data": lambda: in_batches(batches()),
    }
    taken = {}
    for name, look in looks.items():
        times = []
        for _ in range(3):
            began, cpu = time.perf_counter(), time.process_time()
            look()
            times.append((time.process_time() - cpu, time.perf_counter() - began))
        taken[name] = {"cpu": min(times)[0], "wall": min(one for _, one in times)}
        print(name, taken[name])
    return {"rows": rows, "columns": frame.width, "load": round(os.getloadavg()[0], 1), "taken": taken}


def _request() -> Found:
    """What a server adds to a prediction for it, in microseconds a row."""
    import tempfile
    from pathlib import Path

    from clew.serving.discretion import Discretion
    from clew.workspace import init, open_folder

    row = {f"f{number}": number / 7 for number in range(20)} | {
        "wall": "brick",
        "garage": "attached",
        "on": "2020-01-01",
    }
    note = row | {"note": "sold as seen by the heirs, roof is new and there is a well behind the barn"}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        init(Path(folder))
        with open_folder(folder) as workspace:
            one = Discretion(workspace, {})
            for name, sent in {"20 numbers, 3 short texts": row, "and a note of 16 words": note}.items():
                fields, best = [*sent], math.inf
                for _ in range(20):
                    began = time.perf_counter()
                    for _ in range(200):
                        one.inputs(sent, fields)
                    best = min(best, (time.perf_counter() - began) / 200)
                found[name] = best * 1e6
    print(found)
    return found


def _costs(found: Found) -> str:
    cost = found["cost"]
    size = f"{cost['rows']:,} rows × {cost['columns']} columns"
    return f"Cost on {size} ({found['machine']}, load {cost['load']}):\n"


def markdown(found: Found) -> str:
    """As tables."""
    checked = [one for one in found["kinds"] if one["checked"]]
    worst = min(checked, key=lambda one: one["recall"])
    told = (
        f"Kinds with a check digit: {len(checked)}, {sum(one['planted'] for one in checked):,} values; the least found "
        f"is {worst['kind']} with {worst['recall']:.3f}. *Rare*: ten in 10,000 rows of other texts; *whole*: a column "
        "of nothing else, named `x`; *single*: one in 1,000 rows, where a number that any eleventh passes proves "
        "nothing without its label. *At least*: the lower end of Wilson's interval at 95%. Three seeds.\n"
    )
    lines = [
        "## Personal data found\n",
        told,
        "| kind | check digit | values, rare and whole | found | at least | rare | whole | single |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {one['kind']} | {'yes' if one['checked'] else 'no'} | {one['planted']:,} | {one['recall']:.3f} "
        f"| {one['at_least']:.3f} | {one['rare']:.2f} | {one['whole']:.2f} | {one['single']:.2f} |"
        for one in found["kinds"]
    ]
    lines += ["", "On five real tables:\n", "| table | rows | columns | alarms |", "|---|---:|---:|---|"]
    for one in found["tables"]:
        alarms = ", ".join(f"{alarm['column']}: {alarm['kind']}" for alarm in one["alarms"]) or "none"
        lines.append(f"| {one['table']} | {one['rows']:,} | {one['columns']} | {alarms} |")
    lines += [
        "",
        _JUDGED,
        _costs(found),
        "| | CPU s | s |",
        "|---|---:|---:|",
    ]
    lines += [f"| {name} | {one['cpu']:.2f} | {one['wall']:.2f} |" for name, one in found["cost"]["taken"].items()]
    lines += ["", "What a server adds to a prediction before it is journalled:\n", "| a row of | µs |", "|---|---:|"]
    lines += [f"| {name} | {one:.1f} |" for name, one in found["request"].items()]
    return "\n".join(lines)
