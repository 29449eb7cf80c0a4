"""Runs that were: listed, shown, explained."""

import uuid
from typing import Any

import sqlalchemy as sa

from clew.catalog.commands import ArtifactSpec
from clew.catalog.tables import builds, data, governance, models
from clew.data import run_contracts
from clew.errors import IntegrityError, NotFoundError, UsageError
from clew.pipelines.values import Stored
from clew.workspace import Workspace

_r = builds.runs.c


def list_runs(workspace: Workspace, *, most: int = 50) -> list[dict[str, Any]]:
    """The newest runs, without the trials of sweeps."""
    rows = workspace.catalog.rows(
        sa.select(_r.id, _r.name, _r.state, _r.provenance, _r.recorded_at, _r.ended_at)
        .where(_r.parent_run_id.is_(None))  # trials belong to their sweep
        .order_by(_r.id.desc())
        .limit(most)
    )
    made = _models(workspace, [str(row.id) for row in rows])
    return [
        {
            "run": str(row.id),
            "name": row.name,
            "state": row.state,
            "provenance": row.provenance,
            "started": row.recorded_at.isoformat(),
            "seconds": None if row.ended_at is None else round((row.ended_at - row.recorded_at).total_seconds(), 3),
            "models": made.get(str(row.id), []),
        }
        for row in rows
    ]


def _models(workspace: Workspace, run_ids: list[str]) -> dict[str, list[str]]:
    rm, v, m = models.run_models.c, models.model_versions.c, models.models.c
    found: dict[str, list[str]] = {}
    for row in workspace.catalog.rows(
        sa.select(rm.run_id, m.name, v.version)
        .join(models.model_versions, v.id == rm.model_version_id)
        .join(models.models, m.id == v.model_id)
        .where(rm.run_id.in_(run_ids))
        .order_by(m.name, v.version)
    ):
        found.setdefault(str(row.run_id), []).append(f"{row.name}@{row.version}")
    return found


def find_run(workspace: Workspace, run: str) -> sa.Row[Any]:
    """A run by its id, by at least six characters of it, or "latest". Raises NotFoundError."""
    query = sa.select(builds.runs).order_by(_r.id.desc())
    if run == "latest":
        row = workspace.catalog.first(
            query.where(_r.parent_run_id.is_(None)).limit(1)
        )  # a sweep, not one of its trials
        if row is None:
            raise NotFoundError("nothing has run yet", mend="clew run FILE.py")
        return row
    text = run.lower().replace("-", "")
    if len(text) < _SHORTEST:
        raise UsageError(f"{run!r} is too short for a run's id", mend="give at least six characters; clew runs list")
    rows = _fitting(workspace, text) if set(text) <= _HEX else []
    if len(rows) > 1:
        some = ", ".join(str(row.id) for row in rows[:_SHOWN])
        more = ", …" if len(rows) > _SHOWN else ""
        raise NotFoundError(f"several runs fit {run!r}: {some}{more}", mend="give more characters")
    if not rows:
        raise NotFoundError(f"no run fits {run!r}", mend="clew runs list")
    return rows[0]


_SHORTEST, _SHOWN = 6, 5
_HEX = frozenset("0123456789abcdef")


def _fitting(workspace: Workspace, text: str) -> list[sa.Row[Any]]:
    """The runs whose id begins with this text, found by the key; if there are none, those that have it elsewhere.

    Ids begin with the time, so who wants few characters takes them from the end: the database looks through its ids.
    """
    query = sa.select(builds.runs).order_by(_r.id.desc()).limit(_SHOWN + 1)
    if len(text) <= _ID_LENGTH:
        low, high = (str(uuid.UUID(text.ljust(_ID_LENGTH, filler))) for filler in "0f")
        rows = workspace.catalog.rows(query.where(_r.id.between(low, high)))
        if rows or len(text) == _ID_LENGTH:
            return rows
        plain = sa.func.replace(sa.cast(_r.id, sa.String), "-", "")
        return workspace.catalog.rows(query.where(plain.contains(text)))
    return []


_ID_LENGTH = 32


def show(workspace: Workspace, run: str) -> dict[str, Any]:
    """One run with all that it used and made."""
    row = find_run(workspace, run)
    run_id = str(row.id)
    s, i, d = builds.steps.c, builds.run_inputs.c, data.snapshots.c
    steps = workspace.catalog.rows(sa.select(builds.steps).where(s.run_id == run_id).order_by(s.ordinal))
    inputs = workspace.catalog.rows(
        sa.select(i.role, i.reference, data.datasets.c.name, d.version, data.contents.c.content_id)
        .join(data.snapshots, d.id == i.snapshot_id)
        .join(data.datasets, data.datasets.c.id == d.dataset_id)
        .join(data.contents, data.contents.c.id == d.content_pk)
        .where(i.run_id == run_id)
        .order_by(i.role)
    )
    with workspace.catalog.read() as connection:
        contracts = run_contracts.passed_by(connection, run_id)
    x = builds.run_metrics.c
    metrics = workspace.catalog.rows(sa.select(x.name, x.value).where(x.run_id == run_id).order_by(x.name))
    actor = workspace.catalog.get(governance.actors, str(row.actor_id))
    code = None if row.code_id is None else workspace.catalog.get(builds.codes, str(row.code_id))
    environment = (
        None if row.environment_id is None else workspace.catalog.get(builds.environments, str(row.environment_id))
    )
    return {
        "run": run_id,
        "name": row.name,
        "status": row.state,
        "provenance": row.provenance,
        "entry": row.entry,
        "by": actor.name,
        "started": row.recorded_at.isoformat(),
        "ended": None if row.ended_at is None else row.ended_at.isoformat(),
        "error": row.error,
        "parameters": row.parameters,
        "criteria": row.criteria,
        "inputs": [
            {
                "role": one.role,
                "reference": one.reference,
                "snapshot": f"{one.name}@{one.version}",
                "id": one.content_id,
                "contract": contracts.get(one.content_id),
            }
            for one in inputs
        ],
        "code": code and {"id": code.content_id, "git_commit": code.git_commit, "git_dirty": code.git_dirty},
        "environment": environment
        and {"id": environment.content_id, "python": environment.python, "platform": environment.platform},
        "steps": [{"name": one.name, "status": one.state, "why": one.why, "error": one.error} for one in steps],
        "metrics": {one.name: one.value if one.value is None else float(one.value) for one in metrics},
        "models": _models(workspace, [run_id]).get(run_id, []),
        "trials": _trials(workspace, row),
    }


def _trials(workspace: Workspace, sweep: sa.Row[Any]) -> list[dict[str, Any]]:
    """The trials of a sweep, in the order in which they began; of other runs none."""
    if not isinstance(sweep.plan, dict) or "sweep" not in sweep.plan:
        return []
    x = builds.run_metrics.c
    rows = workspace.catalog.rows(
        sa.select(_r.id, _r.state, _r.error, _r.parameters, x.value)
        .outerjoin(builds.run_metrics, (x.run_id == _r.id) & (x.name == sweep.plan["metric"]))
        .where(_r.parent_run_id == sweep.id)
        .order_by(_r.id)
    )
    return [
        {
            "run": str(row.id),
            "state": row.state,
            "value": row.value,
            "parameters": {name: row.parameters.get(name) for name in sweep.plan["varied"]},
            "error": row.error,
        }
        for row in rows
    ]


def explain(workspace: Workspace, run: str, step: str) -> dict[str, Any]:
    """Why a step ran or didn't, with the parts of its key. Raises NotFoundError."""
    found = _step(workspace, run, step)
    return {
        "run": str(found.run_id),
        "step": step,
        "status": found.state,
        "why": found.why,
        "key": found.cache_key,
        "parts": found.key_parts,
    }


def log(workspace: Workspace, run: str, step: str) -> str:
    """What a step printed, and the tracebacks of attempts that were tried again. Raises NotFoundError.

    Empty for a step that printed nothing, or was taken from the cache: then it is in the run that made it.
    """
    found = _step(workspace, run, step)
    return "" if found.log is None else workspace.objects.get(found.log).decode(errors="backslashreplace")


def output(workspace: Workspace, run: str, step: str, name: str = "result", *, hint: Any = None) -> Any:
    """What a step gave, or was taken from the cache for it.

    Args:
        workspace: where the run is.
        run: its id, six characters of it, or "latest".
        step: the step's name, as the run shows it.
        name: of several outputs "0", "1", …
        hint: the type to give it as, such as pl.LazyFrame or a dataclass; a step's own hint would be that.

    Raises:
        NotFoundError: no such run, step or output; or a step that gave nothing, since it failed or was skipped.
        IntegrityError: what it gave was erased, or is damaged.
    """
    found = _step(workspace, run, step)
    x, a = builds.step_artifacts.c, builds.artifacts.c
    rows = workspace.catalog.rows(
        sa.select(x.name.label("output"), a.kind, a.content_id, a.digest, a.bytes, a.rows, a.body, a.state)
        .join(builds.artifacts, a.id == x.artifact_id)
        .where(x.step_id == found.id, x.direction == "out")
        .order_by(x.name)
    )
    given = {row.output: row for row in rows}
    if name not in given:
        known = ", ".join(given) or f"nothing: it is {found.state}"
        raise NotFoundError(f"step {step} gave no {name!r}; it gave {known}", mend=f"clew runs show {found.run_id}")
    row = given[name]
    if row.state != "live":
        raise IntegrityError(f"what {step} gave is {row.state}", mend="run the pipeline again")
    kept = {field: getattr(row, field) for field in ("kind", "content_id", "digest", "bytes", "rows", "body")}
    return Stored(ArtifactSpec(**kept)).load(workspace.objects, hint)


def _step(workspace: Workspace, run: str, step: str) -> sa.Row[Any]:
    row = find_run(workspace, run)
    s = builds.steps.c
    found = workspace.catalog.first(sa.select(builds.steps).where(s.run_id == row.id, s.name == step))
    if found is None:
        names = [one.name for one in workspace.catalog.rows(sa.select(s.name).where(s.run_id == row.id))]
        raise NotFoundError(f"that run has no step {step!r}; it has: {', '.join(names) or 'none'}")
    return found
