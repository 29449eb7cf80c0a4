"""Stamps of files: what tells, without reading it, that a file is the one that was read."""

import os
import time
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from clew.catalog.tables import data
from clew.workspace import Workspace

RACY_NS: Final = 2_000_000_000
"""A file modified so shortly before it was looked at may be modified again within the same tick of its clock."""


def stamp(path: Path, place: str = "0/1") -> str | None:
    """Inode, size and both times of a file; None when it was modified too shortly ago to tell (git's rule).

    `place` says which of how many files of one source it is, so that a part is never taken for the whole.
    """
    found = path.stat()
    if max(found.st_mtime_ns, found.st_ctime_ns) > time.time_ns() - RACY_NS:
        return None
    times = f"{found.st_mtime_ns}:{found.st_ctime_ns}"
    return f"{place}:{found.st_dev}:{found.st_ino}:{found.st_size}:{times}"


def unchanged(workspace: Workspace, snapshot_id: str, paths: list[Path]) -> bool:
    """Whether the files are those that a snapshot was read from, by their stamps alone."""
    table = data.sources.c
    query = sa.select(table.uri, table.stamp).where(table.snapshot_id == snapshot_id, table.stamp.is_not(None))
    known = {row.uri: row.stamp for row in workspace.catalog.rows(query)}
    try:
        now = {os.path.realpath(path): stamp(path, f"{i}/{len(paths)}") for i, path in enumerate(paths)}
        return bool(now) and all(seen is not None and known.get(uri) == seen for uri, seen in now.items())
    except OSError:
        return False
