"""Receipts of erasures, and the model versions that they mark."""

from typing import Any

import sqlalchemy as sa

from clew.catalog.tables import data, governance, models
from clew.thread.times import iso
from clew.workspace import Workspace

Fact = dict[str, Any]


def receipts(workspace: Workspace, erasure_id: str | None = None) -> list[Fact]:
    """All receipts, the newest first; begun erasures are among them and say so."""
    e, d, a = governance.erasures.c, data.datasets.c, governance.actors.c
    query = (
        sa.select(governance.erasures, d.name.label("dataset"), a.name.label("actor"))
        .join(data.datasets, d.id == e.dataset_id)
        .join(governance.actors, a.id == e.actor_id)
        .order_by(e.id.desc())
    )
    found = []
    for row in workspace.catalog.rows(query):
        if erasure_id is not None and not str(row.id).startswith(erasure_id):
            continue
        receipt = {name: value for name, value in (row.receipt or {}).items() if name not in ("hashes", "work")}
        found.append(
            {
                "erasure": str(row.id),
                "dataset": row.dataset,
                "state": row.state,
                "subject_hmac": row.subject_hmac,
                "key": row.key_name,
                "by": row.actor,
                "begun": iso(row.recorded_at),
                "ended": iso(row.ended_at),
                **receipt,
            }
        )
    return found


def marked_versions(workspace: Workspace, version_id: str | None = None) -> dict[str, list[str]]:
    """The model versions, or one, that were trained on rows which were erased since: ids, with the erasures."""
    f = governance.erasure_effects.c
    found: dict[str, list[str]] = {}
    query = sa.select(f.target_id, f.erasure_id).where(f.kind == "model_version").order_by(f.id)
    query = query if version_id is None else query.where(f.target_id == version_id)
    for row in workspace.catalog.rows(query):
        found.setdefault(str(row.target_id), []).append(str(row.erasure_id))
    return found


def names_of(connection: sa.Connection, ids: list[str]) -> list[str]:
    """Model versions by what people call them."""
    v, m = models.model_versions.c, models.models.c
    rows = connection.execute(
        sa.select(m.name, v.version)
        .join(models.models, m.id == v.model_id)
        .where(v.id.in_(ids))
        .order_by(m.name, v.version)
    )
    return [f"{row.name}@{row.version}" for row in rows]
