"""Models, their versions, and one version with what made it and where it answers."""

from typing import Any

import sqlalchemy as sa

from clew.catalog.tables import governance, serving
from clew.catalog.tables import models as tables
from clew.errors import NotFoundError
from clew.hub.queries.datasets import MOST
from clew.hub.queries.endpoints import live
from clew.models.comparison import profile_of
from clew.models.registry import VERSIONS, find, from_row
from clew.thread import served
from clew.thread.card import card
from clew.thread.erasure import marked_versions
from clew.thread.times import iso
from clew.thread.why import lineage
from clew.workspace import Workspace

Fact = dict[str, Any]

_m, _v = tables.models.c, tables.model_versions.c


def models(workspace: Workspace) -> Fact:
    """Every model with its newest version, and who of it is live."""
    newest = (
        sa.select(_v.model_id, sa.func.max(_v.version).label("version"), sa.func.count().label("versions"))
        .group_by(_v.model_id)
        .subquery()
    )
    with workspace.catalog.read() as connection:
        rows = connection.execute(
            sa.select(tables.model_versions, _m.name.label("model"), newest.c.versions)
            .join(newest, (newest.c.model_id == _v.model_id) & (newest.c.version == _v.version))
            .join(tables.models, _m.id == _v.model_id)
            .order_by(_m.name)
        ).all()
        where = _live_by_version(connection)
        aliases = _aliases(connection)
    return {
        "models": [
            {
                "name": row.model,
                "versions": int(row.versions),
                "newest": _brief(row),
                "live": [one for one in where if one["model"] == row.model],
                "aliases": aliases.get(str(row.model_id), []),
            }
            for row in rows
        ]
    }


def model(workspace: Workspace, name: str) -> Fact:
    """One model: its versions, the newest first, and its aliases. Raises NotFoundError."""
    with workspace.catalog.read() as connection:
        found = connection.execute(sa.select(tables.models).where(_m.name == name)).first()
        if found is None:
            raise NotFoundError(f"no model is called {name!r}", mend="clew model list")
        rows = connection.execute(
            sa.select(tables.model_versions, _m.name.label("model"))
            .join(tables.models, _m.id == _v.model_id)
            .where(_v.model_id == found.id)
            .order_by(_v.version.desc())
            .limit(MOST)
        ).all()
        where = _live_by_version(connection)
        aliases = _aliases(connection).get(str(found.id), [])
    return {
        "name": name,
        "versions": [_brief(row) for row in rows],
        "live": [one for one in where if one["model"] == name],
        "aliases": aliases,
    }


def model_version(workspace: Workspace, name: str, version: int) -> Fact:
    """One version: how it did, what trained it, where it answers. Raises NotFoundError."""
    row = VERSIONS.resolve(workspace.catalog, f"{name}@{version}")
    version_id = str(row.id)
    e, o, g = tables.model_evaluations.c, serving.rollouts.c, governance.alias_moves.c
    with workspace.catalog.read() as connection:
        evaluations = connection.execute(
            sa.select(e.name, e.metrics, e.slices, e.recorded_at).where(e.model_version_id == version_id).order_by(e.id)
        ).all()
        rollouts = connection.execute(
            sa.select(o.id)
            .where(sa.or_(o.champion_id == version_id, o.candidate_id == version_id))
            .order_by(o.id.desc())
            .limit(20)
        ).scalars()
        moves = connection.execute(
            sa.select(g.alias, g.from_id, g.to_id, g.reason, g.recorded_at)
            .where(sa.or_(g.from_id == version_id, g.to_id == version_id), g.owner_kind == "model")
            .order_by(g.id.desc())
            .limit(50)
        ).all()
        return {
            **lineage(connection, version_id),
            "signature": row.signature,
            "evaluations": [
                {"name": one.name, "metrics": one.metrics, "slices": one.slices, "recorded_at": iso(one.recorded_at)}
                for one in evaluations
            ],
            "live": [one for one in _live_by_version(connection) if one["reference"] == f"{name}@{row.version}"],
            "rollouts": [served.rollout(connection, str(one)) for one in rollouts],
            "erasures": marked_versions(workspace, version_id).get(version_id, []),
            "leakage": (profile_of(from_row(workspace, row)) or {}).get("leakage"),
            "alias_moves": [
                {
                    "alias": one.alias,
                    "moved": "here" if str(one.to_id) == version_id else "away",
                    "reason": one.reason,
                    "recorded_at": iso(one.recorded_at),
                }
                for one in moves
            ],
        }


def model_card(workspace: Workspace, name: str, version: int) -> Fact:
    """The model card of one version. Raises NotFoundError."""
    return card(find(workspace, f"{name}@{version}"))


def _brief(row: sa.Row[Any]) -> Fact:
    return {
        "reference": f"{row.model}@{row.version}",
        "name": row.model,
        "version": int(row.version),
        "state": row.state,
        "provenance": row.provenance,
        "metrics": row.metrics,
        "refused_because": row.refused_because,
        "occurred_at": iso(row.occurred_at),
        "recorded_at": iso(row.recorded_at),
    }


def _live_by_version(connection: sa.Connection) -> list[Fact]:
    return [
        {
            "reference": one["model_version"],
            "model": one["model_version"].rpartition("@")[0],
            "endpoint": endpoint["name"],
            "role": one["role"],
            "share": one["share"],
        }
        for endpoint in live(connection)
        for one in endpoint["shares"]
    ]


def _aliases(connection: sa.Connection) -> dict[str, list[Fact]]:
    a = governance.aliases.c
    rows = connection.execute(
        sa.select(a.owner_id, a.alias, _v.version)
        .join(tables.model_versions, _v.id == a.target_id)
        .where(a.owner_kind == "model")
        .order_by(a.alias)
    )
    found: dict[str, list[Fact]] = {}
    for row in rows:
        found.setdefault(str(row.owner_id), []).append({"alias": row.alias, "version": int(row.version)})
    return found
