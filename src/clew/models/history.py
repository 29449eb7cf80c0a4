"""Where a model's aliases pointed over time: who moved them, when, why, from what to what."""

from typing import Any

import sqlalchemy as sa

from clew.catalog.tables import governance, models
from clew.errors import NotFoundError
from clew.workspace import Workspace


def alias_history(workspace: Workspace, reference: str) -> list[dict[str, Any]]:
    """Every move of a model's aliases, or of the one that `name@alias` names, newest first. Raises NotFoundError."""
    name, _, alias = reference.partition("@")
    found = workspace.catalog.first(sa.select(models.models.c.id).where(models.models.c.name == name))
    if found is None:
        raise NotFoundError(f"no model is called {name!r}", mend="clew model list")
    g, a, v = governance.alias_moves.c, governance.actors.c, models.model_versions
    before, after = v.alias("before"), v.alias("after")
    query = (
        sa.select(
            g.alias,
            g.reason,
            g.recorded_at,
            a.kind,
            a.name,
            before.c.version.label("from"),
            after.c.version.label("to"),
        )
        .join(governance.actors, a.id == g.actor_id)
        .outerjoin(before, before.c.id == g.from_id)
        .outerjoin(after, after.c.id == g.to_id)
        .where(g.owner_kind == "model", g.owner_id == found.id)
        .order_by(g.id.desc())
    )
    if alias:
        query = query.where(g.alias == alias)
    rows = workspace.catalog.rows(query)
    if alias and not rows:
        raise NotFoundError(f"{name} never had the alias {alias!r}", mend=f"clew model history {name}")
    return [
        {
            "alias": f"{name}@{row.alias}",
            "from": None if row._mapping["from"] is None else f"{name}@{row._mapping['from']}",  # noqa: SLF001
            "to": None if row.to is None else f"{name}@{row.to}",
            "by": row.name,
            "kind": row.kind,
            "at": row.recorded_at,
            "why": row.reason,
        }
        for row in rows
    ]
