"""Datasets, their versions, and one snapshot with all that is known of it."""

from typing import Any

import sqlalchemy as sa

from clew.catalog.tables import data, governance
from clew.data import diff, find, listing
from clew.data.snapshot import VERSIONS, from_row
from clew.errors import IntegrityError, NotFoundError
from clew.hub.queries import kept_out, odd
from clew.thread import sourced
from clew.thread.erasure import receipts
from clew.thread.times import iso
from clew.thread.used_by import snapshot_used_by
from clew.workspace import Workspace

Fact = dict[str, Any]

MOST = 500
"""Rows of a list on one page."""


def datasets(workspace: Workspace) -> Fact:
    """Every dataset with its newest version."""
    return {"datasets": listing.datasets(workspace)}


def dataset(workspace: Workspace, name: str) -> Fact:
    """One dataset: its columns that matter, its contracts and policies, its versions, the newest first.

    Raises NotFoundError.
    """
    d, s, c = data.datasets.c, data.snapshots.c, data.contents.c
    with workspace.catalog.read() as connection:
        found = connection.execute(sa.select(data.datasets).where(d.name == name)).first()
        if found is None:
            raise NotFoundError(f"no dataset is called {name!r}", mend="clew data list")
        versions = connection.execute(
            sa.select(data.snapshots, c.content_id, c.kind, c.rows, governance.actors.c.name.label("actor"))
            .join(data.contents, c.id == s.content_pk)
            .join(governance.actors, governance.actors.c.id == s.actor_id)
            .where(s.dataset_id == found.id)
            .order_by(s.version.desc())
            .limit(MOST)
        ).all()
        k, p = data.contracts.c, data.policies.c
        contracts = connection.execute(
            sa.select(k.version, k.toml, k.recorded_at).where(k.dataset_id == found.id).order_by(k.version.desc())
        ).all()
        policies = connection.execute(
            sa.select(data.policies).where(p.dataset_id == found.id).order_by(p.column_name, p.id)
        ).all()
    return {
        "name": found.name,
        "key_columns": found.key_columns,
        "subject_column": found.subject_column,
        "recorded_at": iso(found.recorded_at),
        "versions": [
            {
                "version": int(row.version),
                "content_id": row.content_id,
                "kind": row.kind,
                "rows": row.rows,
                "new_bytes": int(row.new_bytes),
                "state": row.state,
                "message": row.message,
                "actor": row.actor,
                "occurred_at": iso(row.occurred_at),
                "recorded_at": iso(row.recorded_at),
            }
            for row in versions
        ],
        "findings": odd.findings_of(workspace, f"{name}@{versions[0].version}") if versions else None,
        "contracts": [
            {"version": int(row.version), "toml": row.toml, "recorded_at": iso(row.recorded_at)} for row in contracts
        ],
        "checks": kept_out.checks(workspace, name),
        "quarantines": kept_out.quarantines(workspace, name),
        "erasures": [one for one in receipts(workspace) if one["dataset"] == name],
        "policies": [
            {
                "column": row.column_name,
                "action": row.action if row.details is None else f"{row.action} to {row.details['generalise']}",
                "reason": row.reason,
                "recorded_at": iso(row.recorded_at),
                "superseded_at": iso(row.superseded_at),
            }
            for row in policies
        ],
    }


def snapshot(workspace: Workspace, name: str, version: int) -> Fact:
    """One snapshot: schema, sources, contract checks, policies, and what used it. Raises NotFoundError."""
    row = VERSIONS.resolve(workspace.catalog, f"{name}@{version}")
    found = from_row(workspace, row)
    with workspace.catalog.read() as connection:
        facts = sourced.snapshot(connection, found.id)
        neighbours = connection.execute(
            sa.select(data.snapshots.c.version)
            .where(
                data.snapshots.c.dataset_id == row.dataset_id, data.snapshots.c.version.in_([version - 1, version + 1])
            )
            .order_by(data.snapshots.c.version)
        ).scalars()
    if facts is None:
        raise IntegrityError(f"{found.reference} is gone from the catalog", mend="clew data verify")
    return {
        **facts,
        "schema": found.schema,
        "new_bytes": found.new_bytes,
        "key_columns": list(found.key_columns),
        "subject_column": found.subject_column,
        "neighbours": [int(one) for one in neighbours],
        "findings": odd.findings_of(workspace, found.reference),
        "used_by": snapshot_used_by(workspace, found.reference),
    }


def changes(workspace: Workspace, name: str, version: int, since: str | None) -> Fact:
    """What changed in a version, since the one before it or another. Raises NotFoundError."""
    new = find(workspace, f"{name}@{version}")
    if since is None and version == 1:
        raise NotFoundError(f"{new.reference} is the first version", mend="compare it with another: ?since=2")
    old = find(workspace, f"{name}@{version - 1 if since is None else since}")
    found = diff(old, new)
    listed = found.get("files", found if "rows" not in found else {})
    return {
        "dataset": name,
        **found,
        "files": {what: listed[what][:MOST] for what in ("added", "removed", "changed") if what in listed},
        "counts": {what: len(listed[what]) for what in ("added", "removed", "changed") if what in listed},
    }
