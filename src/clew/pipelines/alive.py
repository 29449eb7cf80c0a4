"""Which runs are alive: each holds a lock while its process lives."""

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import sqlalchemy as sa

from clew.catalog.commands import EndRun
from clew.catalog.tables import builds
from clew.workspace import Workspace

_STARTING = "starting.lock"


@contextlib.contextmanager
def starting(workspace: Workspace) -> Iterator[Callable[[str], None]]:
    """While this lasts the run that is started in it is alive: call what it gives with the run's id at once.

    Others tell a run that died from one that runs by its lock. Until the run has one, a lock that all starting
    runs share says that some run may be without.
    """
    workspace.locks.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        begins = held.enter_context(_opened(workspace.locks / _STARTING))
        fcntl.flock(begins, fcntl.LOCK_SH)

        def hold(run_id: str) -> None:
            path = _lock_of(workspace, run_id)
            unfinished = path.with_suffix(".new")
            file = held.enter_context(unfinished.open("w"))
            held.callback(path.unlink, missing_ok=True)
            fcntl.flock(file, fcntl.LOCK_EX)
            unfinished.rename(path)  # under its name it is locked from the first moment
            fcntl.flock(begins, fcntl.LOCK_UN)

        yield hold


def mark_interrupted(workspace: Workspace) -> list[str]:
    """Mark the runs of this machine whose process is gone; give their ids.

    Only for a local workspace: with others, a run of another machine can't be told from a dead one by a lock.
    """
    if not workspace.is_local:
        return []
    workspace.locks.mkdir(parents=True, exist_ok=True)
    query = sa.select(builds.runs.c.id).where(builds.runs.c.state == "running", builds.runs.c.provenance != "imported")
    running = [str(row.id) for row in workspace.catalog.rows(query)]
    marked = [run_id for run_id in running if _is_dead(workspace, run_id) and _mark(workspace, run_id)]
    _sweep(workspace)
    return marked


def _sweep(workspace: Workspace) -> None:
    """Remove the locks of runs that had ended, but died before they could remove them."""
    for path in workspace.locks.glob("run-*.lock"):  # under this name a lock is held until its run is gone
        if _is_free(path):
            path.unlink(missing_ok=True)
    with _opened(workspace.locks / _STARTING) as begins:
        if _can_lock(begins):
            for path in workspace.locks.glob("run-*.new"):
                path.unlink(missing_ok=True)


def _is_dead(workspace: Workspace, run_id: str) -> bool:
    with _opened(workspace.locks / _STARTING) as begins:
        if not _can_lock(begins):  # some run is between its row and its lock: this one, perhaps
            return _lock_of(workspace, run_id).exists() and _is_free(_lock_of(workspace, run_id))
        return _is_free(_lock_of(workspace, run_id))


def _is_free(path: Path) -> bool:
    try:
        with path.open("r+") as file:
            return _can_lock(file)
    except FileNotFoundError:
        return True


def _can_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _mark(workspace: Workspace, run_id: str) -> bool:
    answer = workspace.catalog.execute(EndRun(run_id=run_id, state="interrupted", error="its process ended"))
    _lock_of(workspace, run_id).unlink(missing_ok=True)
    return bool(answer["ended"])


def _lock_of(workspace: Workspace, run_id: str) -> Path:
    return workspace.locks / f"run-{run_id}.lock"


def _opened(path: Path) -> IO[str]:
    return path.open("a+")
