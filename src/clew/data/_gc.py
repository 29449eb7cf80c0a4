"""Garbage collection: objects that nothing needs any more are removed, after a grace period."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from clew.catalog import now
from clew.catalog.commands import ForgetFragments
from clew.catalog.tables import data, metadata, object_columns
from clew.data import _leases, files
from clew.objects import ObjectStore
from clew.objects.base import REFRESH_AFTER
from clew.objects.folder import FolderStore
from clew.workspace import Workspace

GRACE: Final = timedelta(days=1)
"""Long enough for every add, compaction and reading that is under way."""
_GONE: Final = ("erased", "expired")


@dataclass(frozen=True)
class Collected:
    """What was removed (or would be): objects and their bytes; and what stays because it is needed, or too young."""

    objects: int
    bytes: int
    needed: int
    young: int


def collect(workspace: Workspace, *, grace: timedelta = GRACE, dry_run: bool = False) -> Collected:
    """Remove the objects that no version, run, model or journal names, and that were last put before the grace period.

    While somebody writes under a lease, what came since stays as well. Fragments that compaction freed count from
    the moment they were freed. A grace under an hour is for when nobody writes: a writer that begins meanwhile may
    count on bytes that are there already.

    Raises IntegrityError when a listing can't be read: then it isn't known what is needed, and nothing is removed.
    """
    before = now() - grace
    oldest = _leases.oldest(workspace)
    if oldest is not None:
        # A put of bytes that are there already may leave them as old as this.
        before = min(before, oldest - REFRESH_AFTER)
    if dry_run:
        wanted = needed(workspace) - _freed(workspace, before)
    else:
        workspace.catalog.execute(ForgetFragments(released_before=before))
        wanted = needed(workspace)
    found, size, young = 0, 0, 0
    for stored in workspace.objects.list():
        if stored.digest in wanted:
            continue
        if stored.modified >= before:
            young += 1
            continue
        if dry_run or workspace.objects.delete(stored.digest, older_than=before):
            found += 1
            size += stored.size
    if not dry_run:
        _sweep(workspace, before)
    return Collected(found, size, len(wanted), young)


def _sweep(workspace: Workspace, before: datetime) -> None:
    """Remove the files that killed writers left on their way, and copies that nobody opens any more."""
    if isinstance(workspace.objects, FolderStore):
        workspace.objects.sweep_temporary(now() - before)
    # Small files that were taken out of their packs to be opened, and weren't asked for since.
    for left in [*workspace.temporary().iterdir(), *(workspace.folder / "cache" / "files").glob("*/*")]:
        with contextlib.suppress(OSError):  # somebody else has just removed it
            if left.is_file() and left.stat().st_mtime < before.timestamp():
                left.unlink()


def _freed(workspace: Workspace, before: datetime) -> set[str]:
    fragments, used = data.fragments.c, data.group_fragments.c
    query = sa.select(fragments.digest).where(
        fragments.released_at < before, ~sa.exists().where(used.fragment_id == fragments.id)
    )
    return {row.digest for row in workspace.catalog.rows(query)}


def needed(workspace: Workspace) -> set[str]:
    """Every object that the catalog names, and those that listings of files name in turn."""
    wanted: set[str] = set()
    listings: list[str] = []
    with workspace.catalog.read() as connection:
        for table_name, column_name in object_columns():
            table = metadata.tables[table_name]
            query = sa.select(table.c[column_name]).where(table.c[column_name].is_not(None))
            if "state" in table.c:
                query = query.where(table.c.state.not_in(_GONE))
            found = [str(row[0]) for row in connection.execute(query)]
            wanted.update(found)
            if (table_name, column_name) == ("contents", "listing"):
                listings = found
    return wanted.union(*_in_listings(workspace.objects, listings))


def _in_listings(objects: ObjectStore, listings: list[str]) -> Iterator[set[str]]:
    for listing in dict.fromkeys(listings):
        yield files.objects_of(objects, listing)
