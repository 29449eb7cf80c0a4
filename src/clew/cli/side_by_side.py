"""`clew runs compare`: two runs side by side."""

from typing import Annotated, Any

import typer

from clew._words import number
from clew.cli._shared import Json, emit, opened, short

_MOST_LINES = 60  # of a file's diff in words; --json has more
Run = Annotated[str, typer.Argument(help="A run's id, six characters of it, or latest.")]


def runs(first: Run, second: Run, as_json: Json = False) -> None:
    """What differs between two runs: data, code, libraries, parameters, steps, metrics."""
    from clew.thread.compared import compare_runs

    with opened() as workspace:
        found = compare_runs(workspace, first, second)
    emit(found, as_json, lambda: "\n".join(_words(found)))


def _words(found: dict[str, Any]) -> list[str]:
    lines = [f"{found['runs'][0]} → {found['runs'][1]}"]
    for role, (a, b) in found["data"].items():
        lines.append(f"  data       {role}: {_or(a)} → {_or(b)}{_rows(found['data_diff'].get(role))}")
    if found["code"]:
        a, b = (short(one["id"]) if one else "none" for one in found["code"])
        lines.append(f"  code       {a} → {b}, {len(found['code_diff'])} file(s)")
    lines += [f"  library    {name} {_or(a)} → {_or(b)}" for name, (a, b) in found["libraries"].items()]
    lines += [f"  setting    {name}: {_or(a)} → {_or(b)}" for name, (a, b) in found["settings"].items()]
    lines += [f"  parameter  {name}: {_or(a)} → {_or(b)}" for name, (a, b) in found["parameters"].items()]
    lines += [f"  step       {one['step']}: {'; '.join(one['why'])}" for one in found["steps"]]
    lines += [f"  metric     {name}: {_number(a)} → {_number(b)}" for name, (a, b) in found["metrics"].items()]
    lines += [f"  model      {', '.join(a) or '–'} → {', '.join(b) or '–'}" for a, b in [found["models"]] if a != b]
    lines += [f"  note       {note}" for note in found["notes"]]
    if len(lines) == 1:
        lines.append("  nothing differs")
    for one in found["code_diff"]:
        shown = one["lines"][:_MOST_LINES]
        left = len(one["lines"]) + one["cut"] - len(shown)
        lines += ["", *shown, *([f"… {left:,} more lines of {one['path']}"] if left else [])]
    return lines


def _rows(diff: dict[str, Any] | None) -> str:
    if diff is None:
        return ""
    if diff["added"] is None:
        return f" (rows: {diff['mend']})"
    counts = ", ".join(f"{diff[name]:,} {name}" for name in ("added", "removed", "changed"))
    over = f" over {diff['versions']} versions" if diff["versions"] > 1 else ""
    return f" ({counts}{over})"


def _or(value: Any) -> str:
    return "–" if value is None else str(value)


def _number(value: Any) -> str:
    return "–" if value is None else number(value)
