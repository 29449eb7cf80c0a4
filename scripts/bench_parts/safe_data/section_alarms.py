"""Contracts inferred from the earlier halves of five real tables, held against the later halves: each alarm, judged."""

import argparse
from typing import Any

from safe_data import held_out, tables
from safe_data.alarms import watch
from safe_data.judged import JUDGED


def options(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Each alarm with what a person says of it; `missed` are those that nobody judged."""
    del given
    found: dict[str, Any] = {"tables": {}, "alarms": []}
    for name in (*tables.names(), *held_out.ORDER):
        table = watch(name)
        alarms = table.says(table.later)
        found["tables"][name] = {
            "earlier": table.earlier.height,
            "later": table.later.height,
            "columns": table.earlier.width,
            "rules": table.rules,
            "alarms": len(alarms),
        }
        for alarm, text in sorted(alarms.items()):
            right, reason = JUDGED.get((name, alarm.column, alarm.rule), (None, "not judged yet"))
            found["alarms"].append({"table": name, "by": alarm.by, "says": text, "right": right, "reason": reason})
            print(f"{name}: {alarm.by}: {alarm.column!r} {alarm.rule!r}: {text}\n    right: {right}: {reason}")
    found["missed"] = [f"{one['table']}: {one['says']}" for one in found["alarms"] if one["right"] is None]
    return found


def markdown(found: dict[str, Any]) -> str:
    """As tables."""
    alarms = found["alarms"]
    wrong = [one["by"] for one in alarms if one["right"] is False]
    counts = ", ".join(f"{wrong.count(by)} {by}s" for by in ("error", "warning", "finding"))
    lines = [
        "## False alarms\n",
        f"{len(alarms)} alarms on five real tables, of which are wrong: {counts} (an error refuses the delivery).\n",
        "| table | rows inferred from | rows checked | columns | alarms |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, one in found["tables"].items():
        lines.append(f"| {name} | {one['earlier']:,} | {one['later']:,} | {one['columns']} | {one['alarms']} |")
    lines += ["", "| table | | alarm | right? | why |", "|---|---|---|---|---|"]
    for one in alarms:
        says = one["says"].split("; row ")[0].replace("|", "\\|")
        lines.append(f"| {one['table']} | {one['by']} | {says} | {'yes' if one['right'] else 'no'} | {one['reason']} |")
    return "\n".join(lines)
