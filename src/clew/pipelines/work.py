"""Doing one call of a step, in whatever process: hand over, call, watch, store."""

import contextlib
import io
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from clew.data import Snapshot
from clew.errors import ClewError
from clew.objects import ObjectStore
from clew.pipelines import handing, keys, sources, tracebacks, watch
from clew.pipelines._step import Step
from clew.pipelines.handing import Arguments
from clew.pipelines.project import Project
from clew.pipelines.secrets import Secret, hidden
from clew.pipelines.values import Stored


@dataclass(frozen=True)
class Place:
    """Where a step is found in a process that has loaded its code."""

    module: str
    name: str


@dataclass
class Task:
    """One call of a step; all that a process needs which has loaded the code."""

    name: str
    place: Place | None
    arguments: Arguments
    values: Mapping[str, str]
    """The hashes of what the code holds where the key was made; they must be the same where it runs."""
    declared: Mapping[str, Any]
    """The hashes of what the step declares to read, when the key was made."""
    env: Mapping[str, str | None]
    """The variables that it declares to read, as they are where the key was made."""
    allowed: tuple[Path, ...]
    timeout: float | None


@dataclass
class Failure:
    """Why a call gave nothing."""

    kind: str
    text: str
    own: ClewError | None = None
    """clew's own word, where the step wasn't to blame."""
    error: BaseException | None = None
    """What was raised, in the process that raised it."""
    final: bool = False
    """Whether trying again is no use."""


@dataclass
class Done:
    """What became of a call."""

    outputs: dict[str, Stored] = field(default_factory=dict)
    failure: Failure | None = None
    log: str = ""
    reads: dict[str, str] = field(default_factory=dict)
    """What it read without declaring it, and the mend."""
    touched: bool = False
    """Whether it read anything at all, declared or not."""
    changed: bool = False
    """Whether what it declares changed while it ran."""
    elsewhere: str = ""
    """Why it can't run in that process; nothing was called then."""


def call(
    task: Task, step: Step[..., Any], objects: ObjectStore, code: Project, snapshot: Callable[[str], Snapshot]
) -> Done:
    """Call a step in this process, once."""
    log = io.StringIO()
    watched = watch.Watch(code, task.allowed, step.env)
    done, secrets = Done(), []
    try:
        secrets = task.arguments.secrets
        loaded = task.arguments.load(step, objects, snapshot)
        arguments = handing.call_with(step, loaded)
        with (
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
            sources.loading(code.frozen),
            watch.watching(watched),
            _ended_after(task.timeout),
        ):
            value = handing.collected(step.function(**arguments))
        done.outputs = handing.store_outputs(step, task.name, value, objects, secrets)
        done.changed = keys.declared(step, code) != task.declared
    except (Exception, SystemExit, _TimedOut) as error:  # noqa: BLE001 - the user's own code may raise anything
        done.failure = _failure(error, secrets)
    done.log = hidden(log.getvalue(), secrets)
    done.reads, done.touched = watched.reads, watched.touched
    return done


def _failure(error: BaseException, secrets: list[tuple[Secret, str]]) -> Failure:
    kind = type(error).__name__
    if isinstance(error, _TimedOut):
        return Failure("TimeoutError", f"{error}\n")
    if isinstance(error, ClewError):
        if secrets:
            error = type(error)(
                hidden(error.message, secrets), mend=None if error.mend is None else hidden(error.mend, secrets)
            )
        return Failure(kind, str(error), own=error, error=error, final=True)
    text = hidden(tracebacks.of_step(error), secrets)
    # Where a secret was handed over, the exception may hold it: what is shown of it has been cleaned, it itself not.
    return Failure(kind, text, error=None if secrets else error, final=not isinstance(error, Exception))


class _TimedOut(BaseException):
    """Raised inside of a step whose time is over; no `except Exception` of the user's stops it."""


@contextlib.contextmanager
def _ended_after(seconds: float | None) -> Iterator[None]:
    """Raise inside of the block when its time is over: in the main thread, as soon as Python code runs again."""
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise _TimedOut(f"it took longer than {seconds:g} s, its timeout, and was ended")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
