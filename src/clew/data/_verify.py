"""Verifying snapshots: every object hashed again, every table's content id computed anew."""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from clew.data.identity import table_id
from clew.data.snapshot import Snapshot
from clew.errors import ClewError, IntegrityError


@dataclass(frozen=True)
class Verdict:
    """Whether a snapshot is what its id says; if not, why."""

    reference: str
    content_id: str
    fault: str | None


def verify(snapshots: Iterable[Snapshot]) -> list[Verdict]:
    """Check snapshots one by one; a fault is named, and does not stop the others."""
    checked: set[str] = set()
    verdicts = []
    for snapshot in snapshots:
        try:
            _verify(snapshot, checked)
            fault = None
        except ClewError as error:
            fault = error.message
        verdicts.append(Verdict(snapshot.reference, snapshot.content_id, fault))
    return verdicts


def _verify(snapshot: Snapshot, checked: set[str]) -> None:
    objects = snapshot.workspace.objects
    needed = [snapshot.manifest] if snapshot.manifest else []
    if snapshot.kind == "files":
        needed += snapshot.files().values()
    else:
        needed += [extent.fragment for extent in snapshot.extents()]
    for digest in dict.fromkeys(needed):
        if digest not in checked:
            objects.verify(digest)
            checked.add(digest)
    if snapshot.kind == "table":
        try:
            found = table_id(snapshot.collect()).id
        except pl.exceptions.PolarsError as error:
            raise IntegrityError(f"{snapshot.reference} can't be read: {error}") from error
        if found != snapshot.content_id:
            raise IntegrityError(f"{snapshot.reference} gives {found[:15]}…, and its id is {snapshot.content_id[:15]}…")
