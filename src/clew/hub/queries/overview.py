"""The first page: what there is, what is live, what needs someone."""

from typing import Any

import sqlalchemy as sa

from clew.catalog.tables import builds, data, models, serving
from clew.hub.queries.endpoints import alerts, live
from clew.hub.queries.runs import RunQuery, runs
from clew.thread import served
from clew.thread.times import iso
from clew.workspace import Workspace

Fact = dict[str, Any]

_FEW = 8


def overview(workspace: Workspace) -> Fact:
    """Counts, endpoints with who is live, running rollouts, open alerts, the newest runs and versions."""
    o, m, v = serving.rollouts.c, models.models.c, models.model_versions.c
    with workspace.catalog.read() as connection:
        running = connection.execute(
            sa.select(o.id).where(o.state == "running").order_by(o.id.desc()).limit(_FEW)
        ).scalars()
        newest = connection.execute(
            sa.select(models.model_versions, m.name.label("model"))
            .join(models.models, m.id == v.model_id)
            .order_by(v.id.desc())
            .limit(_FEW)
        ).all()
        facts: Fact = {
            "counts": {
                name: _count(connection, table)
                for name, table in (
                    ("datasets", data.datasets),
                    ("snapshots", data.snapshots),
                    ("runs", builds.runs),
                    ("model_versions", models.model_versions),
                    ("endpoints", serving.endpoints),
                )
            },
            "endpoints": live(connection),
            "rollouts": [_running(connection, str(one)) for one in running],
            "alerts": alerts(connection, state="open")[:_FEW],
            "model_versions": [
                {
                    "reference": f"{row.model}@{row.version}",
                    "name": row.model,
                    "version": int(row.version),
                    "state": row.state,
                    "metrics": row.metrics,
                    "occurred_at": iso(row.occurred_at),
                    "recorded_at": iso(row.recorded_at),
                }
                for row in newest
            ],
        }
        facts["counts"]["open_alerts"] = _count(connection, serving.alerts, serving.alerts.c.state == "open")
    facts["runs"] = runs(workspace, RunQuery())["runs"][:_FEW]
    return facts


def _count(connection: sa.Connection, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table).where(*where)).scalar_one())


def _running(connection: sa.Connection, rollout_id: str) -> Fact:
    """A rollout with its newest decision and the candidate's share now."""
    d, r, t = serving.rollout_decisions.c, serving.routes.c, serving.route_targets.c
    last = connection.execute(
        sa.select(d.verdict, d.reason, d.stage_after, d.occurred_at)
        .where(d.rollout_id == rollout_id)
        .order_by(d.ordinal.desc())
        .limit(1)
    ).first()
    share = connection.execute(
        sa.select(t.share)
        .join(serving.routes, r.id == t.route_id)
        .where(r.rollout_id == rollout_id, t.role == "candidate")
        .order_by(r.revision.desc())
        .limit(1)
    ).scalar()
    decision = None if last is None else {"verdict": last.verdict, "reason": last.reason, "stage": last.stage_after}
    return {
        **(served.rollout(connection, rollout_id) or {}),
        "share": share,
        "decision": decision if decision is None or last is None else {**decision, "at": iso(last.occurred_at)},
    }
