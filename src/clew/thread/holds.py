"""Holds: what must not expire, and why; placed on anything that a reference can name."""

from typing import Any, Final

import sqlalchemy as sa

from clew.catalog.commands import HoldKind, PlaceHold, ReleaseHold
from clew.catalog.tables import data, governance, models, serving
from clew.data.snapshot import VERSIONS as SNAPSHOTS
from clew.errors import NotFoundError, UsageError
from clew.models.registry import VERSIONS as MODELS
from clew.pipelines.history import find_run
from clew.thread.times import iso
from clew.workspace import Workspace

Fact = dict[str, Any]

_NAMED: Final[dict[HoldKind, sa.Table]] = {
    "endpoint": serving.endpoints,
    "dataset": data.datasets,
    "model": models.models,
}


def hold(workspace: Workspace, reference: str, reason: str) -> Fact:
    """Hold a snapshot, a version, a run, or all of an endpoint, a dataset or a model.

    Raises:
        NotFoundError: nothing goes by this reference.
        UsageError: several things do, or there is no reason.
    """
    kind, target_id, name = resolve(workspace, reference)
    hold_id = workspace.catalog.execute(PlaceHold(kind=kind, target_id=target_id, reason=reason))
    return {"hold": hold_id, "kind": kind, "held": name, "reason": reason}


def release(workspace: Workspace, reference: str) -> Fact:
    """Release all holds of a thing. Raises NotFoundError when it isn't held."""
    kind, target_id, name = resolve(workspace, reference)
    count = workspace.catalog.execute(ReleaseHold(kind=kind, target_id=target_id))
    if not count:
        raise NotFoundError(f"{kind} {name} is not held", mend="clew hold list")
    return {"kind": kind, "released": name, "holds": count}


def holds(workspace: Workspace) -> list[Fact]:
    """All holds that hold, the newest first."""
    h = governance.holds.c
    rows = workspace.catalog.rows(
        sa.select(h.id, h.kind, h.target_id, h.reason, h.recorded_at, governance.actors.c.name)
        .join(governance.actors, governance.actors.c.id == h.actor_id)
        .where(h.released_at.is_(None))
        .order_by(h.id.desc())
    )
    with workspace.catalog.read() as connection:
        return [
            {
                "hold": str(row.id),
                "kind": row.kind,
                "held": name_of(connection, row.kind, str(row.target_id)),
                "reason": row.reason,
                "by": row.name,
                "since": iso(row.recorded_at),
            }
            for row in rows
        ]


def resolve(workspace: Workspace, reference: str) -> tuple[HoldKind, str, str]:
    """What a reference names: its kind, its key and its name. Raises NotFoundError, UsageError."""
    given, colon, rest = reference.partition(":")
    wanted = given if colon and given in ("snapshot", "version", "run", *_NAMED) else None
    found = [one for one in _candidates(workspace, rest if wanted else reference) if wanted in (None, one[0])]
    if not found:
        raise NotFoundError(
            f"nothing is called {reference!r}",
            mend="name a snapshot or version (name@3), a run's id, an endpoint, a dataset or a model",
        )
    if len(found) > 1:
        kinds = " or ".join(f"{kind}:{name}" for kind, _, name in found)
        raise UsageError(f"{reference!r} may be several things", mend=f"write {kinds}")
    return found[0]


def _candidates(workspace: Workspace, text: str) -> list[tuple[HoldKind, str, str]]:
    found: list[tuple[HoldKind, str, str]] = []
    if "@" in text:
        for kind, versions in (("snapshot", SNAPSHOTS), ("version", MODELS)):
            try:
                row = versions.resolve(workspace.catalog, text)
            except NotFoundError:
                continue
            name = f"{text.partition('@')[0]}@{row.version}"
            found.append(("snapshot" if kind == "snapshot" else "version", str(row.id), name))
        return found
    for named, table in _NAMED.items():
        owner = workspace.catalog.first(sa.select(table.c.id).where(table.c.name == text))
        if owner is not None:
            found.append((named, str(owner.id), text))
    if not found:
        try:
            run_id = str(find_run(workspace, text).id)
        except (NotFoundError, UsageError):
            return []
        found.append(("run", run_id, run_id))
    return found


def name_of(connection: sa.Connection, kind: str, target_id: str) -> str:
    """What people call a thing."""
    if kind in _NAMED:
        table = next(table for name, table in _NAMED.items() if name == kind)
        return str(connection.execute(sa.select(table.c.name).where(table.c.id == target_id)).scalar())
    if kind == "run":
        return target_id
    owner, version = (
        (data.datasets, data.snapshots.c) if kind == "snapshot" else (models.models, models.model_versions.c)
    )
    owner_id = version.dataset_id if kind == "snapshot" else version.model_id
    named = connection.execute(
        sa.select(owner.c.name, version.version).join(owner, owner.c.id == owner_id).where(version.id == target_id)
    ).one()
    return f"{named.name}@{named.version}"
