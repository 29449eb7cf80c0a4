"""Verifying snapshots: every object hashed again, every table's content id computed anew."""

from collections.abc import Iterable
from dataclasses import dataclass

from clew.data import files
from clew.data._gone import gone
from clew.data.snapshot import Snapshot
from clew.errors import ClewError


@dataclass(frozen=True)
class Verdict:
    """Whether a snapshot is what its id says; if not, why."""

    reference: str
    content_id: str
    fault: str | None


def verify(snapshots: Iterable[Snapshot]) -> list[Verdict]:
    """Check snapshots one by one; a fault is named, and does not stop the others. Each object is read once.

    Those whose rows expired or were erased are left out: there is nothing to check.
    """
    checked: dict[str, str | None] = {}
    contents: dict[str, str | None] = {}
    verdicts = []
    for snapshot in snapshots:
        if gone(snapshot.workspace, snapshot.content_pk):
            continue
        if snapshot.content_pk not in contents:
            faults = _faults(snapshot, checked)
            contents[snapshot.content_pk] = "; ".join(faults) or None
        verdicts.append(Verdict(snapshot.reference, snapshot.content_id, contents[snapshot.content_pk]))
    return verdicts


def _faults(snapshot: Snapshot, checked: dict[str, str | None]) -> list[str]:
    faults = []
    if snapshot.kind != "table" and snapshot.listing is not None:
        faults += files.verify(snapshot.workspace.objects, snapshot.listing, checked)
    if snapshot.kind != "files":
        faults += table_faults(snapshot, checked)
    return faults


def table_faults(snapshot: Snapshot, checked: dict[str, str | None]) -> list[str]:
    """What is wrong with a table's objects, by name; its rows are read only when all of them are whole."""
    objects = snapshot.workspace.objects

    def fault(digest: str, what: str) -> list[str]:
        if digest not in checked:
            try:
                objects.verify(digest)
                checked[digest] = None
            except ClewError as error:
                checked[digest] = error.message
        said = checked[digest]
        return [] if said is None else [f"{what}: {said}"]

    try:
        faults = fault(snapshot.manifest, "its schema") if snapshot.manifest else []
        if snapshot.profile is not None:
            faults += fault(snapshot.profile, "its profile")
        for digest in snapshot.ropes():
            faults += fault(digest, "a list of extents")
        if faults:
            return faults
        for group in snapshot.groups():
            for index, fragment in enumerate(group.rope.fragments):
                columns = ", ".join(group.columns[:3]) + (", …" if len(group.columns) > 3 else "")
                faults += fault(fragment.digest, f"fragment {index} of columns {columns}")
        return faults or _content_faults(snapshot)
    except ClewError as error:
        return [error.message]


def _content_faults(snapshot: Snapshot) -> list[str]:
    import polars as pl

    from clew.data._gather import Table
    from clew.data._proof import read_back

    try:
        found = read_back(Table(snapshot.workspace.objects, snapshot.groups()), snapshot.empty().schema)
    except pl.exceptions.PolarsError as error:
        return [f"{snapshot.reference} can't be read: {error}"]
    if snapshot.kind == "table":
        return [] if found.id == snapshot.content_id else [f"{snapshot.reference} gives {found.id[:15]}…"]
    same = [column.id for column in found.columns] == snapshot.column_ids
    return [] if same else [f"the table of {snapshot.reference} gives {found.id[:15]}…"]
