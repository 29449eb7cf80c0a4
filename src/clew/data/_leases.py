"""Leases: while a process writes bytes that no version names yet, garbage collection keeps off them."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from clew.catalog import now
from clew.catalog.commands import EndLease, TakeLease
from clew.catalog.tables import governance
from clew.workspace import Workspace

_SECONDS: Final = 86_400


@contextmanager
def lease(workspace: Workspace, target: str) -> Iterator[None]:
    """Hold a lease. It ends by itself after a day, and when its process is seen to be gone."""
    lease_id = workspace.catalog.execute(TakeLease(holder=_me(), target=target, seconds=_SECONDS))
    try:
        yield
    finally:
        workspace.catalog.execute(EndLease(lease_id=lease_id))


def oldest(workspace: Workspace) -> datetime | None:
    """When the oldest lease that still holds was taken; what came after it may be about to be named."""
    table = governance.leases.c
    query = sa.select(table.holder, table.recorded_at).where(table.expires_at > now()).order_by(table.recorded_at)
    for row in workspace.catalog.rows(query):
        if not _is_gone(row.holder):
            moment: datetime = row.recorded_at
            return moment
    return None


def _me() -> str:
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
