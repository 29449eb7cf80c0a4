"""Endpoints: who is live, how that came to be, what the monitors see."""

from typing import Any

import sqlalchemy as sa

from clew.catalog.tables import models, serving
from clew.errors import NotFoundError
from clew.thread import served
from clew.thread.times import iso
from clew.workspace import Workspace

Fact = dict[str, Any]

_MOST_ROUTES = 50
_MOST_ROLLOUTS = 10
_MOST_DECISIONS = 500
_MOST_ALERTS = 100

_e, _o, _a = serving.endpoints.c, serving.rollouts.c, serving.alerts.c


def live(connection: sa.Connection) -> list[Fact]:
    """Every endpoint by name, with its newest route: the truth about what is live."""
    found = connection.execute(
        sa.select(_e.id, _e.name, _e.state, models.models.c.name.label("model"))
        .join(models.models, models.models.c.id == _e.model_id)
        .order_by(_e.name)
    ).all()
    answer = []
    for row in found:
        newest = served.routes(connection, str(row.id), limit=1)
        route = newest[0] if newest else None
        answer.append(
            {
                "name": row.name,
                "state": row.state,
                "model": row.model,
                "revision": route["revision"] if route else None,
                "since": route["occurred_at"] if route else None,
                "shares": route["shares"] if route else [],
            }
        )
    return answer


def endpoints(workspace: Workspace) -> Fact:
    """All endpoints with who is live."""
    with workspace.catalog.read() as connection:
        return {"endpoints": live(connection)}


def endpoint(workspace: Workspace, name: str) -> Fact:
    """One endpoint: routes, rollouts with their decisions, monitors, alerts. Raises NotFoundError."""
    with workspace.catalog.read() as connection:
        found = served.endpoint(connection, name)
        if found is None:
            raise NotFoundError(
                f"no endpoint is called {name!r}", mend=f"clew endpoint create {name} --model MODEL@VERSION"
            )
        routes = served.routes(connection, found["id"], limit=_MOST_ROUTES)
        ids = (
            connection.execute(
                sa.select(_o.id).where(_o.endpoint_id == found["id"]).order_by(_o.id.desc()).limit(_MOST_ROLLOUTS)
            )
            .scalars()
            .all()
        )
        return {
            **found,
            "live": routes[0] if routes else None,
            "routes": routes,
            "rollouts": [_rollout(connection, str(one)) for one in ids],
            "monitors": _monitors(connection, found["id"]),
            "alerts": alerts(connection, found["id"]),
        }


def _rollout(connection: sa.Connection, rollout_id: str) -> Fact:
    d = serving.rollout_decisions.c
    plan = connection.execute(sa.select(_o.plan).where(_o.id == rollout_id)).scalar_one()
    rows = connection.execute(
        sa.select(serving.rollout_decisions)
        .where(d.rollout_id == rollout_id)
        .order_by(d.ordinal.desc())
        .limit(_MOST_DECISIONS)
    ).all()
    total = connection.execute(sa.select(sa.func.count()).where(d.rollout_id == rollout_id)).scalar_one()
    return {
        **(served.rollout(connection, rollout_id) or {}),
        "plan": plan,
        "shares": _shares(connection, rollout_id),
        "decisions_in_all": int(total),
        "decisions": [
            {
                "at": iso(row.occurred_at),
                "recorded_at": iso(row.recorded_at),
                "ordinal": int(row.ordinal),
                "verdict": row.verdict,
                "reason": row.reason,
                "stage_before": row.stage_before,
                "stage_after": row.stage_after,
                "requests": int(row.requests),
                "outcomes": int(row.outcomes),
                "evidence": row.evidence,
            }
            for row in rows
        ],
    }


def _shares(connection: sa.Connection, rollout_id: str) -> list[Fact]:
    """The candidate's share from each moment on, oldest first."""
    r, t = serving.routes.c, serving.route_targets.c
    rows = connection.execute(
        sa.select(r.occurred_at, sa.func.coalesce(t.share, 0.0).label("share"))
        .join(serving.rollouts, _o.id == r.rollout_id)
        .outerjoin(serving.route_targets, (t.route_id == r.id) & (t.model_version_id == _o.candidate_id))
        .where(r.rollout_id == rollout_id)
        .order_by(r.revision)
        .limit(_MOST_DECISIONS)
    )
    return [{"at": iso(row.occurred_at), "share": float(row.share)} for row in rows]


def _monitors(connection: sa.Connection, endpoint_id: str) -> list[Fact]:
    m, p, v = serving.monitors.c, serving.monitor_reports.c, models.model_versions.c
    rows = connection.execute(
        sa.select(
            m.name, m.state, p.report, p.occurred_at, p.recorded_at, models.models.c.name.label("model"), v.version
        )
        .select_from(serving.monitors)
        .outerjoin(serving.monitor_reports, p.monitor_id == m.id)
        .outerjoin(models.model_versions, v.id == p.model_version_id)
        .outerjoin(models.models, models.models.c.id == v.model_id)
        .where(m.endpoint_id == endpoint_id)
        .order_by(m.name, p.recorded_at.desc())
        .limit(20)
    )
    return [
        {
            "name": row.name,
            "state": row.state,
            "model_version": None if row.model is None else f"{row.model}@{row.version}",
            "report": row.report,
            "occurred_at": iso(row.occurred_at),
            "recorded_at": iso(row.recorded_at),
        }
        for row in rows
    ]


def alerts(connection: sa.Connection, endpoint_id: str | None = None, *, state: str | None = None) -> list[Fact]:
    """Alerts, the newest first: of one endpoint or of all, in one state or any."""
    m, v = serving.monitors.c, models.model_versions.c
    query = (
        sa.select(serving.alerts, _e.name.label("endpoint"), models.models.c.name.label("model"), v.version)
        .join(serving.monitors, m.id == _a.monitor_id)
        .join(serving.endpoints, _e.id == m.endpoint_id)
        .join(models.model_versions, v.id == _a.model_version_id)
        .join(models.models, models.models.c.id == v.model_id)
        .order_by(_a.id.desc())
        .limit(_MOST_ALERTS)
    )
    if endpoint_id is not None:
        query = query.where(m.endpoint_id == endpoint_id)
    if state is not None:
        query = query.where(_a.state == state)
    return [
        {
            "endpoint": row.endpoint,
            "model_version": f"{row.model}@{row.version}",
            "kind": row.kind,
            "subject": row.subject,
            "message": row.message,
            "state": row.state,
            "evidence": row.evidence,
            "occurred_at": iso(row.occurred_at),
            "recorded_at": iso(row.recorded_at),
        }
        for row in connection.execute(query)
    ]
