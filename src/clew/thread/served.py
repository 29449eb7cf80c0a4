"""Endpoints, routes and rollouts as the thread shows them."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from clew.catalog.tables import governance, models, serving
from clew.thread.times import iso

Fact = dict[str, Any]

_champion = models.model_versions.alias("champion")
_candidate = models.model_versions.alias("candidate")


def endpoint(connection: sa.Connection, name: str) -> Fact | None:
    """One endpoint by name, or None."""
    row = connection.execute(
        sa.select(serving.endpoints, models.models.c.name.label("model"))
        .join(models.models, models.models.c.id == serving.endpoints.c.model_id)
        .where(serving.endpoints.c.name == name)
    ).first()
    if row is None:
        return None
    return {
        "id": str(row.id),
        "name": row.name,
        "model": row.model,
        "entity_column": row.entity_column,
        "settings": row.settings,
        "state": row.state,
        "recorded_at": iso(row.recorded_at),
    }


def route(connection: sa.Connection, endpoint_id: str, revision: int) -> Fact | None:
    """One revision of an endpoint's routing: its shares, its reason, the rollout that made it."""
    query = _routes(endpoint_id).where(serving.routes.c.revision == revision)
    found = _with_shares(connection, connection.execute(query).all())
    return found[0] if found else None


def routes(connection: sa.Connection, endpoint_id: str, *, limit: int) -> list[Fact]:
    """The newest revisions of an endpoint's routing; the first is who is live."""
    query = _routes(endpoint_id).order_by(serving.routes.c.revision.desc()).limit(limit)
    return _with_shares(connection, connection.execute(query).all())


def _routes(endpoint_id: str) -> sa.Select[Any]:
    return (
        sa.select(serving.routes, governance.actors.c.name.label("actor"))
        .join(governance.actors, governance.actors.c.id == serving.routes.c.actor_id)
        .where(serving.routes.c.endpoint_id == endpoint_id)
    )


def _with_shares(connection: sa.Connection, rows: Sequence[sa.Row[Any]]) -> list[Fact]:
    t = serving.route_targets.c
    shares: dict[str, list[Fact]] = {str(row.id): [] for row in rows}
    if shares:
        found = connection.execute(
            sa.select(t.route_id, t.role, t.share, models.models.c.name, models.model_versions.c.version)
            .join(models.model_versions, models.model_versions.c.id == t.model_version_id)
            .join(models.models, models.models.c.id == models.model_versions.c.model_id)
            .where(t.route_id.in_(shares))
            .order_by(t.role.desc(), t.share.desc())
        )
        for one in found:
            shares[str(one.route_id)].append(
                {"model_version": f"{one.name}@{one.version}", "role": one.role, "share": float(one.share)}
            )
    return [
        {
            "revision": int(row.revision),
            "reason": row.reason,
            "actor": row.actor,
            "occurred_at": iso(row.occurred_at),
            "recorded_at": iso(row.recorded_at),
            "shares": shares[str(row.id)],
            "rollout": None if row.rollout_id is None else rollout(connection, str(row.rollout_id)),
        }
        for row in rows
    ]


def rollout(connection: sa.Connection, rollout_id: str) -> Fact | None:
    """One rollout, or None: from which version to which, and how it stands."""
    row = connection.execute(
        sa.select(
            serving.rollouts,
            serving.endpoints.c.name.label("endpoint"),
            models.models.c.name.label("model"),
            _champion.c.version.label("champion"),
            _candidate.c.version.label("candidate"),
        )
        .select_from(serving.rollouts)
        .join(serving.endpoints, serving.endpoints.c.id == serving.rollouts.c.endpoint_id)
        .join(_champion, _champion.c.id == serving.rollouts.c.champion_id)
        .join(_candidate, _candidate.c.id == serving.rollouts.c.candidate_id)
        .join(models.models, models.models.c.id == _candidate.c.model_id)
        .where(serving.rollouts.c.id == rollout_id)
    ).first()
    if row is None:
        return None
    return {
        "id": str(row.id),
        "endpoint": row.endpoint,
        "state": row.state,
        "champion": f"{row.model}@{row.champion}",
        "candidate": f"{row.model}@{row.candidate}",
        "occurred_at": iso(row.occurred_at),
        "ended_at": iso(row.ended_at),
    }
