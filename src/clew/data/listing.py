"""What there is: datasets with their newest version, and what used a snapshot."""

from typing import Any

import sqlalchemy as sa

from clew.catalog.tables import builds, data, models
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


def used_by(snapshot: Snapshot) -> dict[str, list[dict[str, Any]]]:
    """The runs that read a snapshot, and the model versions that it trained."""
    runs = snapshot.workspace.catalog.rows(
        sa.select(builds.runs.c.id, builds.runs.c.name, builds.runs.c.state, builds.run_inputs.c.role)
        .join(builds.run_inputs, builds.run_inputs.c.run_id == builds.runs.c.id)
        .where(builds.run_inputs.c.snapshot_id == snapshot.id)
        .order_by(builds.runs.c.id)
    )
    versions = snapshot.workspace.catalog.rows(
        sa.select(models.models.c.name, models.model_versions.c.version, models.model_versions.c.state)
        .join(models.model_versions, models.model_versions.c.model_id == models.models.c.id)
        .join(models.model_inputs, models.model_inputs.c.model_version_id == models.model_versions.c.id)
        .where(models.model_inputs.c.snapshot_id == snapshot.id)
        .order_by(models.models.c.name, models.model_versions.c.version)
    )
    return {
        "runs": [{"run": str(row.id), "name": row.name, "state": row.state, "as": row.role} for row in runs],
        "models": [{"model": f"{row.name}@{row.version}", "state": row.state} for row in versions],
    }


def sources(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Where a snapshot came from."""
    table = data.sources
    rows = snapshot.workspace.catalog.rows(sa.select(table).where(table.c.snapshot_id == snapshot.id))
    return [{"uri": row.uri, "kind": row.kind, "bytes": row.bytes, "sha256": row.sha256} for row in rows]
