"""Model versions and runs as the thread shows them: what was built, from which code, where."""

from typing import Any

import sqlalchemy as sa

from clew.catalog.tables import builds, governance, models
from clew.thread.times import iso

Fact = dict[str, Any]

_v, _m, _a, _r = models.model_versions.c, models.models.c, builds.artifacts.c, builds.runs.c


def model_version(connection: sa.Connection, version_id: str) -> Fact | None:
    """One model version, or None when the catalog doesn't know it."""
    row = connection.execute(
        sa.select(
            models.model_versions,
            _m.name.label("model"),
            _a.content_id,
            _a.state.label("artifact_state"),
            _a.bytes,
            governance.actors.c.name.label("actor"),
        )
        .select_from(models.model_versions)
        .join(models.models, _m.id == _v.model_id)
        .join(builds.artifacts, _a.id == _v.artifact_id)
        .join(governance.actors, governance.actors.c.id == _v.actor_id)
        .where(_v.id == version_id)
    ).first()
    if row is None:
        return None
    table = governance.aliases.c
    aliases = connection.execute(
        sa.select(table.alias).where(table.owner_kind == "model", table.target_id == version_id).order_by(table.alias)
    ).scalars()
    return {
        "id": str(row.id),
        "reference": f"{row.model}@{row.version}",
        "name": row.model,
        "version": int(row.version),
        "state": row.state,
        "provenance": row.provenance,
        "run": str(row.run_id),
        "metrics": row.metrics,
        "verdicts": row.verdicts,
        "refused_because": row.refused_because,
        "aliases": list(aliases),
        "content_id": row.content_id,
        "bytes": int(row.bytes),
        "artifact_state": row.artifact_state,
        "occurred_at": iso(row.occurred_at),
        "recorded_at": iso(row.recorded_at),
        "actor": row.actor,
    }


def inputs(connection: sa.Connection, version_id: str) -> tuple[list[tuple[str, str]], list[Fact]]:
    """What a version came from: (role, snapshot id) of its snapshots, and the very rows that trained and tested it."""
    i = models.model_inputs.c
    rows = connection.execute(
        sa.select(i.role, i.snapshot_id, _a.content_id, _a.rows, _a.state)
        .select_from(models.model_inputs)
        .outerjoin(builds.artifacts, _a.id == i.artifact_id)
        .where(i.model_version_id == version_id)
        .order_by(i.id)
    ).all()
    snapshots = [(row.role, str(row.snapshot_id)) for row in rows if row.snapshot_id is not None]
    artifacts = [
        {"role": row.role, "content_id": row.content_id, "rows": row.rows, "state": row.state}
        for row in rows
        if row.snapshot_id is None
    ]
    return snapshots, artifacts


def run(connection: sa.Connection, run_id: str) -> Fact | None:
    """One run, or None: what was started, by whom, when, and how it ended."""
    row = connection.execute(
        sa.select(
            builds.runs,
            governance.actors.c.name.label("actor"),
            governance.actors.c.kind.label("actor_kind"),
            builds.codes.c.git_commit,
        )
        .join(governance.actors, governance.actors.c.id == _r.actor_id)
        .outerjoin(builds.codes, builds.codes.c.id == _r.code_id)
        .where(_r.id == run_id)
    ).first()
    if row is None:
        return None
    return {
        "id": str(row.id),
        "name": row.name,
        "pipeline": row.pipeline,
        "entry": row.entry,
        "state": row.state,
        "provenance": row.provenance,
        "parameters": row.parameters,
        "criteria": row.criteria,
        "plan": row.plan if isinstance(row.plan, list) else [],
        "sweep": row.plan if isinstance(row.plan, dict) and "sweep" in row.plan else None,
        "error": row.error,
        "parent": None if row.parent_run_id is None else str(row.parent_run_id),
        "actor": row.actor,
        "actor_kind": row.actor_kind,
        "git_commit": row.git_commit,
        "occurred_at": iso(row.occurred_at),
        "recorded_at": iso(row.recorded_at),
        "ended_at": iso(row.ended_at),
        "seconds": seconds(row),
    }


def run_inputs(connection: sa.Connection, run_id: str) -> list[tuple[str, str]]:
    """(role, snapshot id) of what a run read."""
    i = builds.run_inputs.c
    rows = connection.execute(sa.select(i.role, i.snapshot_id).where(i.run_id == run_id).order_by(i.role))
    return [(row.role, str(row.snapshot_id)) for row in rows]


def code(connection: sa.Connection, run_id: str) -> Fact | None:
    """The code of a run: its content id, its files with their SHA-256, the commit when there was one."""
    row = connection.execute(
        sa.select(builds.codes).join(builds.runs, _r.code_id == builds.codes.c.id).where(_r.id == run_id)
    ).first()
    if row is None:
        return None
    return {
        "content_id": row.content_id,
        "files": row.files,
        "git_commit": row.git_commit,
        "git_dirty": row.git_dirty,
    }


def environment(connection: sa.Connection, run_id: str) -> Fact | None:
    """The environment of a run."""
    row = connection.execute(
        sa.select(builds.environments)
        .join(builds.runs, _r.environment_id == builds.environments.c.id)
        .where(_r.id == run_id)
    ).first()
    if row is None:
        return None
    return {
        "python": row.python,
        "platform": row.platform,
        "content_id": row.content_id,
        "settings": row.settings,
    }


def steps(connection: sa.Connection, run_id: str) -> list[Fact]:
    """The steps of a run in order: each with its state and why it ran or didn't."""
    s = builds.steps.c
    rows = connection.execute(
        sa.select(s.ordinal, s.name, s.state, s.why, s.error, s.log, s.recorded_at, s.ended_at)
        .where(s.run_id == run_id)
        .order_by(s.ordinal)
    )
    return [
        {
            "name": row.name,
            "state": row.state,
            "why": row.why,
            "error": row.error,
            "has_log": row.log is not None,
            "started_at": iso(row.recorded_at),
            "ended_at": iso(row.ended_at),
            "seconds": seconds(row),
        }
        for row in rows
    ]


def seconds(row: Any) -> float | None:
    """How long a run or a step took on this machine's clock, None while it runs."""
    return None if row.ended_at is None else float((row.ended_at - row.recorded_at).total_seconds())
