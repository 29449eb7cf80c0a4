"""Defects planted into later halves of real tables, held against contracts inferred from the earlier halves."""

import argparse
from collections.abc import Callable
from typing import Any

import polars as pl

from safe_data.alarms import Alarm, Watched, watch
from safe_data.defects import DEFECTS, Defect

_HOW = """Defects as they happen, planted into the later halves of the tables above, each with a dose; the list was
settled before any was measured (then 14 were refused, 4 showed as findings and 30 were missed), and the rules were made
with it in sight. Found is what raises an alarm that the undamaged half doesn't raise: `refused` breaks an error,
`warned` a warning. The first alarm is shown.
"""


def options(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--defects", default="", help="words of the defects to plant; all, if none")


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Each defect: found or not, and by what that the undamaged rows don't break."""
    watched: dict[tuple[str, Callable[[pl.DataFrame], pl.DataFrame]], tuple[Watched, dict[Alarm, str]]] = {}
    rows = []
    for defect in DEFECTS:
        if given.defects not in defect.name:
            continue
        key = (defect.table, defect.prepare)
        if key not in watched:
            table = watch(*key)
            watched[key] = (table, table.says(table.later))
        rows.append(_planted(defect, *watched[key]))
    for row in rows:
        print(f"{row['found']:8} {row['defect']}, {row['dose']} ({row['table']}): {'; '.join(row['by'][:3])}")
    stopped, warned = (sum(row["found"] == how for row in rows) for how in ("refused", "warned"))
    print(f"{stopped} refused, {warned} warned of, of {len(rows)} planted")
    return {"defects": rows, "missed": []}


def _planted(defect: Defect, table: Watched, before: dict[Alarm, str]) -> dict[str, Any]:
    said = {alarm: text for alarm, text in table.says(defect.plant(table.later)).items() if alarm not in before}
    severities = {alarm.by for alarm in said}
    order = {"error": 0, "warning": 1, "finding": 2}
    how = {"error": "refused", "warning": "warned", "finding": "a finding"}
    return {
        "defect": defect.name,
        "dose": defect.dose,
        "table": defect.table,
        "found": how[min(severities, key=order.__getitem__)] if severities else "missed",
        "by": [said[alarm] for alarm in sorted(said, key=lambda one: (order[one.by], one))],
        "beyond": defect.beyond,
    }


def markdown(found: dict[str, Any]) -> str:
    """As a table."""
    rows = found["defects"]
    answers = [row["found"] for row in rows]
    counts = ", ".join(f"{answers.count(how)} {how}" for how in ("refused", "warned", "a finding", "missed"))
    lines = [
        "## Planted defects\n",
        _HOW,
        f"{len(rows)} planted: {counts}.\n",
        "| defect | dose | table | answer | by |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        by = row["by"][0].split(";")[0].replace("|", "\\|") if row["by"] else row["beyond"]
        lines.append(f"| {row['defect']} | {row['dose']} | {row['table']} | {row['found']} | {by} |")
    return "\n".join(lines)
