"""What a workspace knows beyond the table that is checked."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from clew.data.profile import Profile
from clew.data.snapshot import Snapshot, find, latest
from clew.errors import DataError, NotFoundError, UsageError
from clew.workspace import Workspace


@dataclass(frozen=True)
class WorkspaceWorld:
    """The world of a delivery, or of a snapshot: `before` is the version before it, if there is one."""

    workspace: Workspace
    before: Snapshot | None
    occurred_at: dt.datetime
    now: dt.datetime

    def previous_rows(self) -> int | None:
        """The rows of the version before."""
        return None if self.before is None else self.before.rows

    def columns(self, reference: str, names: Sequence[str]) -> tuple[str, pl.LazyFrame]:
        """Columns of another dataset, or of an earlier version of the same. Raises NotFoundError, DataError."""
        found = find(self.workspace, reference)
        known = found.empty().columns
        lost = [name for name in names if name not in known]
        if lost:
            raise DataError(
                f"{found.reference} has no column {', '.join(lost)}; it has: {', '.join(known)}",
                mend="correct `to` in the contract",
            )
        return found.reference, found.scan().select(names)

    def profile(self, reference: str) -> tuple[str, Profile]:
        """The counts of a snapshot. Raises NotFoundError, UsageError."""
        found = find(self.workspace, reference)
        profile = found.column_profiles()
        if profile is None:
            raise UsageError(f"{found.reference} has no profile", mend="name a version that was added as a table")
        return found.reference, profile


def world_of(snapshot: Snapshot, now: dt.datetime) -> WorkspaceWorld:
    """The world of a snapshot that is there."""
    before: Snapshot | None = None
    if snapshot.version > 1:
        try:
            before = find(snapshot.workspace, f"{snapshot.dataset}@{snapshot.version - 1}")
        except NotFoundError:
            before = None
    return WorkspaceWorld(snapshot.workspace, before, snapshot.occurred_at, now)


def world_of_delivery(
    workspace: Workspace, dataset_id: str | None, occurred_at: dt.datetime, now: dt.datetime
) -> WorkspaceWorld:
    """The world of rows that are about to become the next version of a dataset, if there is one yet."""
    before = None if dataset_id is None else latest(workspace, dataset_id)
    return WorkspaceWorld(workspace, before, occurred_at, now)
