"""The thread forwards: what used a snapshot, and what became of a model version."""

from typing import Any

import sqlalchemy as sa

from clew.catalog.tables import builds, data, governance, models, serving
from clew.data import find as find_snapshot
from clew.models import find as find_version
from clew.serving.journal import answered
from clew.thread import served
from clew.thread.times import iso
from clew.workspace import Workspace

Fact = dict[str, Any]

MOST = 100
"""Runs and versions that are listed; all of them are counted."""

STEPS_OF = 20
"""How many of the newest runs are looked at for steps that were handed a snapshot."""

_v, _m, _i, _r = models.model_versions.c, models.models.c, models.model_inputs.c, builds.runs.c
_t, _o, _e = serving.route_targets.c, serving.routes.c, serving.endpoints.c


def snapshot_used_by(workspace: Workspace, reference: str, *, most: int = MOST) -> Fact:
    """What used a snapshot: runs and steps that read it, versions that it trained or tested, where these answered.

    Lists hold the newest `most`; `runs_in_all` and `models_in_all` count all. `steps` are those of the newest
    `STEPS_OF` runs, each with in how many of these it was handed the snapshot. `endpoints` are those whose routes ever
    named one of the versions. `predictions` are counted from the journal's seals; see `clew.serving.journal.answered`.

    Raises:
        NotFoundError, UsageError: there is no such snapshot.
        IntegrityError: a seal of the journal is damaged.
    """
    found = find_snapshot(workspace, reference)
    read = builds.run_inputs.c
    with workspace.catalog.read() as connection:
        state = connection.execute(sa.select(data.snapshots.c.state).where(data.snapshots.c.id == found.id)).scalar()
        runs = connection.execute(
            sa.select(_r.id, _r.name, _r.state, read.role, _r.occurred_at)
            .join(builds.run_inputs, read.run_id == _r.id)
            .where(read.snapshot_id == found.id)
            .order_by(read.run_id.desc(), read.role)
            .limit(most)
        ).all()
        runs_in_all = connection.execute(
            sa.select(sa.func.count(read.run_id.distinct())).where(read.snapshot_id == found.id)
        ).scalar_one()
        trained = sa.select(_i.model_version_id).where(_i.snapshot_id == found.id)
        versions = connection.execute(
            sa.select(_v.id, _m.name, _v.version, _v.state, _v.run_id)
            .join(models.models, _m.id == _v.model_id)
            .where(_v.id.in_(trained))
            .order_by(_v.id.desc())
            .limit(most)
        ).all()
        models_in_all = connection.execute(
            sa.select(sa.func.count(_i.model_version_id.distinct())).where(_i.snapshot_id == found.id)
        ).scalar_one()
        roles = _roles(connection, found.id, [str(row.id) for row in versions])
        routed = _routed(connection, trained)
        steps = _steps(connection, found.content_id, [str(row.id) for row in runs[:STEPS_OF]])
    counts = answered(workspace.journal)
    live = {row["id"] for one in routed for row in one["live"]}
    by_version: dict[str, int] = {}
    for (_, version_id), count in counts.by.items():
        by_version[version_id] = by_version.get(version_id, 0) + count
    of_these = {version_id: by_version.get(version_id, 0) for one in routed for version_id in one["versions"]}
    return {
        "snapshot": found.reference,
        "id": found.content_id,
        "state": state,
        "runs": [
            {
                "run": str(row.id),
                "name": row.name,
                "state": row.state,
                "as": row.role,
                "occurred_at": iso(row.occurred_at),
            }
            for row in runs
        ],
        "runs_in_all": int(runs_in_all),
        "steps": steps,
        "models": [
            {
                "model": f"{row.name}@{row.version}",
                "state": row.state,
                "as": roles.get(str(row.id), []),
                "run": str(row.run_id),
                "live": str(row.id) in live,
                "predictions": by_version.get(str(row.id), 0),
            }
            for row in versions
        ],
        "models_in_all": int(models_in_all),
        "endpoints": [
            {
                "endpoint": one["endpoint"],
                "live": [row["model"] for row in one["live"]],
                "versions": len(one["versions"]),
                "from": one["from"],
            }
            for one in routed
        ],
        "predictions": {
            "total": sum(of_these.values()),
            "uncounted": counts.uncounted,
            "open_bytes": counts.open_bytes,
        },
    }


def _roles(connection: sa.Connection, snapshot_id: str, ids: list[str]) -> dict[str, list[str]]:
    """The roles in which a snapshot went into versions."""
    found: dict[str, list[str]] = {}
    rows = connection.execute(
        sa.select(_i.model_version_id, _i.role)
        .where(_i.model_version_id.in_(ids), _i.snapshot_id == snapshot_id)
        .order_by(_i.id)
    )
    for row in rows:
        found.setdefault(str(row.model_version_id), []).append(row.role)
    return found


def _routed(connection: sa.Connection, versions: sa.Select[Any]) -> list[Fact]:
    """The endpoints whose routes named any of these versions, with those that are live now."""
    rows = connection.execute(
        sa.select(
            _e.id,
            _e.name,
            _t.model_version_id,
            sa.func.min(_o.occurred_at, type_=serving.routes.c.occurred_at.type).label("first"),
            sa.func.max(_o.revision).label("last"),
        )
        .select_from(serving.route_targets)
        .join(serving.routes, _o.id == _t.route_id)
        .join(serving.endpoints, _e.id == _o.endpoint_id)
        .where(_t.model_version_id.in_(versions))
        .group_by(_e.id, _e.name, _t.model_version_id)
        .order_by(_e.name)
    ).all()
    newest = _newest(connection, sorted({str(row.id) for row in rows}))
    names = _names(connection, [str(row.model_version_id) for row in rows if row.last == newest[str(row.id)]])
    found: dict[str, Fact] = {}
    for row in rows:
        one = found.setdefault(row.name, {"endpoint": row.name, "live": [], "versions": [], "from": iso(row.first)})
        version_id = str(row.model_version_id)
        one["versions"].append(version_id)
        one["from"] = min(one["from"], iso(row.first) or one["from"])
        if row.last == newest[str(row.id)]:
            one["live"].append({"id": version_id, "model": names[version_id]})
    return list(found.values())


def _newest(connection: sa.Connection, endpoint_ids: list[str]) -> dict[str, int]:
    """The newest revision of the routes of endpoints."""
    rows = connection.execute(
        sa.select(_o.endpoint_id, sa.func.max(_o.revision).label("revision"))
        .where(_o.endpoint_id.in_(endpoint_ids))
        .group_by(_o.endpoint_id)
    )
    return {str(row.endpoint_id): int(row.revision) for row in rows}


def _names(connection: sa.Connection, ids: list[str]) -> dict[str, str]:
    rows = connection.execute(
        sa.select(_v.id, _m.name, _v.version).join(models.models, _m.id == _v.model_id).where(_v.id.in_(ids))
    )
    return {str(row.id): f"{row.name}@{row.version}" for row in rows}


def _steps(connection: sa.Connection, content_id: str, runs: list[str]) -> list[Fact]:
    """The steps of these runs that were handed this content, as their keys say, each with in how many runs it was."""
    s = builds.steps.c
    rows = connection.execute(
        sa.select(s.name, s.run_id, s.key_parts).where(s.run_id.in_(runs), s.key_parts.is_not(None)).order_by(s.ordinal)
    )
    found: dict[str, set[str]] = {}
    for row in rows:
        handed = row.key_parts.get("inputs") if isinstance(row.key_parts, dict) else None
        if isinstance(handed, dict) and content_id in handed.values():
            found.setdefault(row.name, set()).add(str(row.run_id))
    return [{"step": name, "runs": len(ids)} for name, ids in found.items()]


def model_used_by(workspace: Workspace, reference: str, *, most: int = MOST) -> Fact:
    """What became of a version: runs that arrived at it, aliases, endpoints with periods, rollouts, predictions.

    Each of an endpoint's `periods` is a revision of its route that named the version, from when until when (None: it
    holds now); `compared_with` are the versions that rollouts compared it with.

    Raises:
        NotFoundError, UsageError: there is no such version.
        IntegrityError: a seal of the journal is damaged.
    """
    version = find_version(workspace, reference)
    counts = answered(workspace.journal)
    with workspace.catalog.read() as connection:
        arrived, arrived_in_all = _arrived(connection, version.id, most)
        periods = _periods(connection, version.id, most)
        rollouts = _rollouts(connection, version.id, most)
        aliases = _aliases(connection, version.id)
    endpoints: dict[str, Fact] = {}
    for one in periods:
        name = one.pop("endpoint")
        said = endpoints.setdefault(
            name, {"endpoint": name, "live": None, "predictions": counts.by.get((name, version.id), 0), "periods": []}
        )
        said["periods"].append(one)
        if one["to"] is None:
            said["live"] = {"role": one["role"], "share": one["share"]}
    others = {one["candidate"] if one["champion"] == version.reference else one["champion"] for one in rollouts}
    return {
        "model": version.reference,
        "id": version.content_id,
        "state": version.state,
        "runs": arrived,
        "runs_in_all": arrived_in_all,
        "aliases": aliases,
        "endpoints": [endpoints[name] for name in sorted(endpoints)],
        "rollouts": rollouts,
        "compared_with": sorted(others),
        "predictions": {
            "total": sum(count for (_, version_id), count in counts.by.items() if version_id == version.id),
            "uncounted": counts.uncounted,
            "open_bytes": counts.open_bytes,
        },
    }


def _arrived(connection: sa.Connection, version_id: str, most: int) -> tuple[list[Fact], int]:
    m = models.run_models.c
    rows = connection.execute(
        sa.select(_r.id, _r.name, _r.state, _r.occurred_at)
        .join(models.run_models, m.run_id == _r.id)
        .where(m.model_version_id == version_id)
        .order_by(m.run_id.desc())
        .limit(most)
    ).all()
    total = connection.execute(
        sa.select(sa.func.count()).select_from(models.run_models).where(m.model_version_id == version_id)
    ).scalar_one()
    runs = [
        {"run": str(row.id), "name": row.name, "state": row.state, "occurred_at": iso(row.occurred_at)} for row in rows
    ]
    return runs, int(total)


def _periods(connection: sa.Connection, version_id: str, most: int) -> list[Fact]:
    """The revisions of routes that named a version, the newest first, each until the next revision."""
    after = serving.routes.alias("after")
    rows = connection.execute(
        sa.select(
            _e.name,
            _o.revision,
            _o.reason,
            _o.occurred_at,
            _t.role,
            _t.share,
            after.c.occurred_at.label("until"),
        )
        .select_from(serving.route_targets)
        .join(serving.routes, _o.id == _t.route_id)
        .join(serving.endpoints, _e.id == _o.endpoint_id)
        .outerjoin(after, (after.c.endpoint_id == _o.endpoint_id) & (after.c.revision == _o.revision + 1))
        .where(_t.model_version_id == version_id)
        .order_by(_o.id.desc())
        .limit(most)
    )
    return [
        {
            "endpoint": row.name,
            "revision": int(row.revision),
            "role": row.role,
            "share": float(row.share),
            "from": iso(row.occurred_at),
            "to": iso(row.until),
            "reason": row.reason,
        }
        for row in rows
    ]


def _rollouts(connection: sa.Connection, version_id: str, most: int) -> list[Fact]:
    o = serving.rollouts.c
    ids = connection.execute(
        sa.select(o.id)
        .where(sa.or_(o.champion_id == version_id, o.candidate_id == version_id))
        .order_by(o.id.desc())
        .limit(most)
    ).scalars()
    found = [served.rollout(connection, str(one)) for one in ids]
    return [one for one in found if one is not None]


def _aliases(connection: sa.Connection, version_id: str) -> list[str]:
    a = governance.aliases.c
    return list(
        connection.execute(
            sa.select(a.alias).where(a.target_id == version_id, a.owner_kind == "model").order_by(a.alias)
        ).scalars()
    )
