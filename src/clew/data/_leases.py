"""Leases: while a process writes bytes that no version names yet, garbage collection keeps off them."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from clew.catalog import now
from clew.catalog.commands import BeginErasing, EndLease, RenewLease, TakeLease
from clew.catalog.tables import governance
from clew.errors import RefusedError
from clew.workspace import Workspace

_SECONDS: Final = 86_400
_ERASING_SECONDS: Final = 900
_PATIENCE_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.2


@contextmanager
def lease(workspace: Workspace, target: str) -> Iterator[None]:
    """Hold a lease. It ends by itself after a day, and when its process is seen to be gone.

    While a person is being erased nobody writes: this waits. Raises RefusedError when that lasts too long.
    """
    _wait_for_erasure(workspace)
    lease_id = workspace.catalog.execute(TakeLease(holder=holder(), target=target, seconds=_SECONDS))
    try:
        yield
    finally:
        workspace.catalog.execute(EndLease(lease_id=lease_id))


def oldest(workspace: Workspace) -> datetime | None:
    """When the oldest lease that still holds was taken; what came after it may be about to be named."""
    table = governance.leases.c
    query = (
        sa.select(table.holder, table.recorded_at)
        .where(table.kind == "write", table.expires_at > now())
        .order_by(table.recorded_at)
    )
    for row in workspace.catalog.rows(query):
        if not _is_gone(row.holder):
            moment: datetime = row.recorded_at
            return moment
    return None


@contextmanager
def erasing(workspace: Workspace, *, patience: float = _PATIENCE_SECONDS) -> Iterator[Callable[[], None]]:
    """Keep all writers out, once those that are at work have ended; give what prolongs it, to be called now and then.

    Raises RefusedError when somebody writes, or a run runs, for longer than the patience (seconds).
    """
    _forget_dead_erasures(workspace)
    lease_id = workspace.catalog.execute(BeginErasing(holder=holder(), seconds=_ERASING_SECONDS))
    renewed = time.monotonic()

    def prolong() -> None:
        nonlocal renewed
        if time.monotonic() - renewed > _ERASING_SECONDS / 10:
            workspace.catalog.execute(RenewLease(lease_id=lease_id, seconds=_ERASING_SECONDS))
            renewed = time.monotonic()

    try:
        until = time.monotonic() + patience
        while oldest(workspace) is not None:
            if time.monotonic() > until:
                raise RefusedError(
                    "another process is storing data, and what it stores can't be told yet", mend="try again later"
                )
            time.sleep(_LOOK_SECONDS)
        yield prolong
    finally:
        workspace.catalog.execute(EndLease(lease_id=lease_id))


def _wait_for_erasure(workspace: Workspace) -> None:
    table = governance.leases.c
    query = sa.select(table.id).where(table.kind == "erase", table.expires_at > now()).limit(1)
    until = time.monotonic() + _PATIENCE_SECONDS
    while workspace.catalog.first(query) is not None and time.monotonic() < until:
        _forget_dead_erasures(workspace)
        time.sleep(_LOOK_SECONDS)


def _forget_dead_erasures(workspace: Workspace) -> None:
    table = governance.leases.c
    for row in workspace.catalog.rows(sa.select(table.id, table.holder).where(table.kind == "erase")):
        if _is_gone(row.holder):
            workspace.catalog.execute(EndLease(lease_id=str(row.id)))


def holder() -> str:
    return f"{_here()}|{os.getpid()}|{_started(os.getpid())}"


def _here() -> str:
    """This machine since its start, and the room of process ids that this process lives in."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()}|{boot}|{os.stat('/proc/self/ns/pid').st_ino}"  # noqa: PTH116 - no file
    except OSError:
        return f"{socket.gethostname()}||"


def _started(pid: int) -> str:
    """When a process began, in ticks since the machine did; ids are given again. Empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _is_gone(holder: str) -> bool:
    """Whether the process that took a lease has surely ended: only who lives beside it can tell."""
    place, _, rest = holder.rpartition("|")
    place, _, pid = place.rpartition("|")
    return bool(rest) and place == _here() and pid.isdigit() and _started(int(pid)) != rest
