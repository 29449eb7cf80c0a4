"""Which runs are alive: each holds a lock while its process lives."""

import contextlib
import fcntl
from collections.abc import Iterator
from datetime import datetime

import sqlalchemy as sa

from clew.catalog import now
from clew.catalog.commands import EndRun
from clew.catalog.tables import builds
from clew.workspace import Workspace


@contextlib.contextmanager
def holding(workspace: Workspace, run_id: str) -> Iterator[None]:
    """While this process lives it holds a lock, so that others can tell a run that died from one that runs."""
    workspace.locks.mkdir(parents=True, exist_ok=True)
    path = workspace.locks / f"run-{run_id}.lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def mark_interrupted(workspace: Workspace) -> list[str]:
    """Mark the runs of this machine whose process is gone; give their ids.

    Only for a local workspace: with others, a run of another machine can't be told from a dead one by a lock.
    """
    if not workspace.is_local:
        return []
    dead = []
    query = sa.select(builds.runs.c.id).where(builds.runs.c.state == "running", builds.runs.c.provenance == "recorded")
    for row in workspace.catalog.rows(query):
        path = workspace.locks / f"run-{row.id}.lock"
        if path.exists():
            with path.open("r+") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    continue
        elif _young(workspace, str(row.id)):
            continue  # it began a moment ago, and takes its lock next
        workspace.catalog.execute(EndRun(run_id=str(row.id), state="interrupted", error="its process ended"))
        path.unlink(missing_ok=True)
        dead.append(str(row.id))
    return dead


def _young(workspace: Workspace, run_id: str) -> bool:
    started: datetime = workspace.catalog.get(builds.runs, run_id).recorded_at
    return (now() - started).total_seconds() < 5
