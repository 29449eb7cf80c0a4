"""What there is: datasets with their newest version, and where a snapshot came from."""

from typing import Any

import sqlalchemy as sa

from clew.catalog.tables import data
from clew.data.snapshot import Snapshot
from clew.workspace import Workspace


def datasets(workspace: Workspace) -> list[dict[str, Any]]:
    """Every dataset that has a version, with its newest one, by name."""
    newest = (
        sa.select(data.snapshots.c.dataset_id, sa.func.max(data.snapshots.c.version).label("version"))
        .group_by(data.snapshots.c.dataset_id)
        .subquery()
    )
    query = (
        sa.select(
            data.datasets.c.name,
            newest.c.version,
            data.contents.c.kind,
            data.contents.c.rows,
            data.contents.c.content_id,
            data.snapshots.c.occurred_at,
        )
        .join(newest, newest.c.dataset_id == data.datasets.c.id)
        .join(
            data.snapshots,
            (data.snapshots.c.dataset_id == data.datasets.c.id) & (data.snapshots.c.version == newest.c.version),
        )
        .join(data.contents, data.contents.c.id == data.snapshots.c.content_pk)
        .order_by(data.datasets.c.name)
    )
    return [
        {
            "dataset": row.name,
            "version": int(row.version),
            "kind": row.kind,
            "rows": row.rows,
            "id": row.content_id,
            "occurred_at": row.occurred_at.isoformat(),
        }
        for row in workspace.catalog.rows(query)
    ]


def sources(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Where a snapshot came from."""
    table = data.sources
    rows = snapshot.workspace.catalog.rows(sa.select(table).where(table.c.snapshot_id == snapshot.id))
    return [{"uri": row.uri, "kind": row.kind, "bytes": row.bytes, "sha256": row.sha256} for row in rows]
