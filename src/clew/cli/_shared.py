"""What all commands share: the workspace, JSON or words, and errors at the process's edge."""

import errno
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clew._words import number
from clew.errors import ClewError, NotFoundError, OutsideError, UsageError

if TYPE_CHECKING:
    from clew.session import Session
    from clew.workspace import Workspace

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


def emit(value: Any, as_json: bool, words: Callable[[], str]) -> None:
    """The result, to stdout. In JSON, numbers that are not finite are null: it has no others."""
    if as_json:
        sys.stdout.write(json.dumps(finite(value), indent=2, default=str, allow_nan=False) + "\n")
    else:
        text = words()
        sys.stdout.write(text if text.endswith("\n") else text + "\n")


def finite(value: Any) -> Any:
    """A value with null where a number isn't finite: JSON has no others."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return value


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


def say(text: str) -> None:
    """A message, to stderr."""
    sys.stderr.write(text + "\n")


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


def short(content_id: str) -> str:
    """A content id as people read it."""
    scheme, _, digest = content_id.partition(":")
    return f"{scheme}:{digest[:10]}"


def run_guarded(call: Callable[[], Any]) -> int:
    """Run a command; every error that is meant for people ends here, with its exit code."""
    try:
        try:
            call()
        finally:
            sys.stdout.flush()  # here, where a full disk or a reader who left can still be told
    except ClewError as error:
        say(f"error: {error}")
        return error.exit_code
    except BrokenPipeError:
        # Nobody reads; what is still in the buffer has to go somewhere when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        say("cancelled")
        return 130
    except OSError as error:
        mended = _outside(error)
        say(f"error: {mended}")
        return mended.exit_code
    return 0


def _outside(error: OSError) -> ClewError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OutsideError(f"the disk is full: {error}", mend="free some space and run it again; nothing is half done")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return NotFoundError(f"there is no such place: {error}", mend="check the path")
    return OutsideError(f"the file system refuses: {error}", mend="check the path, rights and limits")
