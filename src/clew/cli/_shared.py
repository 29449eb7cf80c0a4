"""What all commands share: their options, the workspace, progress and tables."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clew._words import number
from clew.cli._edge import emit, finite, run_guarded, say, short
from clew.errors import UsageError

if TYPE_CHECKING:
    from clew.session import Session
    from clew.workspace import Workspace

__all__ = [
    "Json",
    "OccurredAt",
    "Settings",
    "emit",
    "finite",
    "opened",
    "parse_moment",
    "parse_settings",
    "progress",
    "run_guarded",
    "say",
    "session",
    "short",
    "table",
]

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="name=value; may be given several times.")]
OccurredAt = Annotated[
    str | None, typer.Option("--occurred-at", help="When this is, in the data's time (ISO); now, if not given.")
]


def session() -> "Session":
    """The workspace, open. `--workspace` has become CLEW_WORKSPACE already."""
    from clew.session import open_workspace

    return open_workspace()


def opened() -> "Workspace":
    """The workspace alone, for commands that need nothing of builds and models: it loads in a third of the time."""
    from clew.workspace import open_folder

    return open_folder()


@contextmanager
def progress() -> Iterator[Callable[[str, int, int | None], None] | None]:
    """A bar on stderr for long work, where a person looks; None elsewhere. Shown once the work has taken a second."""
    if not sys.stderr.isatty():
        yield None
        return
    started = time.monotonic()
    bar: Any = None
    tasks: dict[str, Any] = {}

    def report(stage: str, done: int, total: int | None) -> None:
        nonlocal bar
        if bar is None:
            if time.monotonic() - started < 1:
                return
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            bar = Progress(*columns, console=Console(stderr=True), transient=True)
            bar.start()
        if stage not in tasks:
            tasks[stage] = bar.add_task(stage, total=total)
        bar.update(tasks[stage], completed=done)

    try:
        yield report
    finally:
        if bar is not None:
            bar.stop()


def parse_settings(given: Sequence[str] | None) -> dict[str, str]:
    """`name=value` pairs. Raises UsageError."""
    found = {}
    for pair in given or ():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {pair!r} is no name=value")
        found[name.strip()] = value
    return found


def parse_moment(text: str | None) -> datetime | None:
    """An ISO date or time; without a zone it is UTC. Raises UsageError."""
    from datetime import UTC

    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no date or time", mend="write 1996-01-31 or 1996-01-31T12:00:00+00:00") from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str], *, empty: str) -> str:
    """Rows as aligned text, numbers to the right."""
    if not rows:
        return empty
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(column), *(len(line[at]) for line in cells)) for at, column in enumerate(columns)]
    right = [all(isinstance(row.get(column), int | float | None) for row in rows) for column in columns]

    def line(values: Sequence[str]) -> str:
        parts = [v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True)]
        return "  ".join(parts).rstrip()

    return "\n".join([line(columns), *(line(values) for values in cells)])


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list):
        return ", ".join(str(one) for one in value) or "–"
    return str(value)
