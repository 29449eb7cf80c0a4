"""Runs: a table that the database sorts, filters and cuts into pages, and one run with all it used and made."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import sqlalchemy as sa

from clew.catalog.tables import builds, data, governance, models
from clew.data import run_contracts
from clew.errors import NotFoundError, UsageError
from clew.models.bisection.bisect import kept as found_by
from clew.pipelines import history
from clew.thread import built
from clew.thread.times import iso
from clew.workspace import Workspace

Fact = dict[str, Any]

PAGE: Final = 50
STATES: Final = ("running", "done", "failed", "interrupted", "cancelled")
_MOST_PAGES: Final = 1_000_000
_MOST_POINTS: Final = 5000
_MOST_TRIALS: Final = 2000
_MOST_RANKED: Final = 20
_MOST_SAID: Final = 200_000  # characters of a log
_METRIC: Final = "metric:"

_r, _k = builds.runs.c, builds.run_metrics.c


@dataclass(frozen=True)
class RunQuery:
    """Which runs, in which order. `sort` is started, name, state, duration or metric:NAME."""

    state: str | None = None
    name: str | None = None
    text: str | None = None
    sort: str = "started"
    order: str = "desc"
    page: int = 1

    def __post_init__(self) -> None:
        """Raise UsageError for what can't be asked."""
        if self.state is not None and self.state not in STATES:
            raise UsageError(f"no run has the state {self.state!r}", mend=f"choose one of {', '.join(STATES)}")
        if self.order not in ("asc", "desc"):
            raise UsageError(f"{self.order!r} is no order", mend="choose asc or desc")
        if self.sort not in _SORTS and not self.metric:
            raise UsageError(f"runs can't be sorted by {self.sort!r}", mend=f"choose {', '.join(_SORTS)}, metric:NAME")
        if not 1 <= self.page <= _MOST_PAGES:
            raise UsageError(f"there is no page {self.page}", mend="begin with page=1")

    @property
    def metric(self) -> str | None:
        """The metric that is sorted by, if any."""
        return self.sort.removeprefix(_METRIC) or None if self.sort.startswith(_METRIC) else None


# Ids grow with time, so the newest are found by the key alone.
_SORTS: Final[dict[str, sa.ColumnElement[Any]]] = {
    "started": _r.id,
    "name": _r.name,
    "state": _r.state,
    "duration": sa.type_coerce(_r.ended_at, sa.BigInteger) - sa.type_coerce(_r.recorded_at, sa.BigInteger),
}


def runs(workspace: Workspace, query: RunQuery) -> Fact:
    """One page of runs, with the metrics that they have."""
    where = _where(query)
    by = _last_value(query.metric) if query.metric else _SORTS[query.sort]
    direction = by.asc() if query.order == "asc" else by.desc()
    with workspace.catalog.read() as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(builds.runs).where(*where)).scalar_one()
        rows = connection.execute(
            sa.select(
                _r.id,
                _r.name,
                _r.entry,
                _r.state,
                _r.occurred_at,
                _r.recorded_at,
                _r.ended_at,
                governance.actors.c.name.label("actor"),
            )
            .join(governance.actors, governance.actors.c.id == _r.actor_id)
            .where(*where)
            .order_by(direction.nulls_last(), _r.id.desc())
            .limit(PAGE)
            .offset((query.page - 1) * PAGE)
        ).all()
        ids = [str(row.id) for row in rows]
        values = _values(connection, ids)
        made = _made(connection, ids)
        names = connection.execute(sa.select(_r.name).distinct().order_by(_r.name).limit(200)).scalars().all()
    metrics = {name for found in values.values() for name in found}
    if query.metric:
        metrics.add(query.metric)
    return {
        "query": asdict(query),
        "total": int(total),
        "pages": max(1, -(-int(total) // PAGE)),
        "names": list(names),
        "metrics": sorted(metrics),
        "runs": [
            {
                "id": str(row.id),
                "name": row.name,
                "entry": row.entry,
                "state": row.state,
                "actor": row.actor,
                "occurred_at": iso(row.occurred_at),
                "seconds": built.seconds(row),
                "metrics": values.get(str(row.id), {}),
                "models": made.get(str(row.id), []),
            }
            for row in rows
        ],
    }


def _where(query: RunQuery) -> list[sa.ColumnElement[bool]]:
    where: list[sa.ColumnElement[bool]] = [_r.parent_run_id.is_(None)]  # trials stand on the page of their sweep
    if query.state:
        where.append(_r.state == query.state)
    if query.name:
        where.append(_r.name == query.name)
    if query.text:
        # Parameters lie there as JSON, in SQLite with everything but ASCII escaped.
        forms = {query.text, json.dumps(query.text)[1:-1], json.dumps(query.text, ensure_ascii=False)[1:-1]}
        plain = [column.icontains(query.text, autoescape=True) for column in (_r.name, _r.entry, _r.error)]
        inside = [sa.cast(_r.parameters, sa.Text).icontains(form, autoescape=True) for form in sorted(forms)]
        by_id = sa.func.replace(sa.cast(_r.id, sa.String), "-", "").icontains(
            query.text.replace("-", ""), autoescape=True
        )
        where.append(sa.or_(*plain, *inside, by_id))
    return where


def _last_value(metric: str) -> sa.ColumnElement[Any]:
    return (
        sa.select(_k.value)
        .where(_k.run_id == _r.id, _k.name == metric)
        .order_by(_k.step.desc(), _k.id.desc())
        .limit(1)
        .correlate(builds.runs)
        .scalar_subquery()
    )


def _values(connection: sa.Connection, ids: list[str]) -> dict[str, dict[str, float | None]]:
    """The last value of each metric of these runs."""
    last = (
        sa.select(_k.run_id, _k.name, sa.func.max(_k.step).label("step"))
        .where(_k.run_id.in_(ids))
        .group_by(_k.run_id, _k.name)
        .subquery()
    )
    rows = connection.execute(
        sa.select(_k.run_id, _k.name, _k.value)
        .join(last, (last.c.run_id == _k.run_id) & (last.c.name == _k.name) & (last.c.step == _k.step))
        .order_by(_k.id)
    )
    found: dict[str, dict[str, float | None]] = {}
    for row in rows:
        found.setdefault(str(row.run_id), {})[row.name] = row.value
    return found


def _made(connection: sa.Connection, ids: list[str]) -> dict[str, list[str]]:
    """The model versions that these runs arrived at."""
    m = models.run_models.c
    rows = connection.execute(
        sa.select(m.run_id, models.models.c.name, models.model_versions.c.version)
        .join(models.model_versions, models.model_versions.c.id == m.model_version_id)
        .join(models.models, models.models.c.id == models.model_versions.c.model_id)
        .where(m.run_id.in_(ids))
        .order_by(models.models.c.name, models.model_versions.c.version)
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(str(row.run_id), []).append(f"{row.name}@{row.version}")
    return found


def run(workspace: Workspace, run_id: str) -> Fact:
    """One run: what it was given, what each step did and why, what came out. Raises NotFoundError."""
    i, s, c = builds.run_inputs.c, data.snapshots.c, data.contents.c
    with workspace.catalog.read() as connection:
        found = built.run(connection, run_id)
        if found is None:
            raise NotFoundError(f"no run {run_id}", mend="clew runs list")
        inputs = connection.execute(
            sa.select(i.role, i.reference, data.datasets.c.name, s.version, c.content_id, c.rows)
            .join(data.snapshots, s.id == i.snapshot_id)
            .join(data.contents, c.id == s.content_pk)
            .join(data.datasets, data.datasets.c.id == s.dataset_id)
            .where(i.run_id == run_id)
            .order_by(i.role)
        ).all()
        children = connection.execute(
            sa.select(_r.id, _r.name, _r.state, _r.parameters)
            .where(_r.parent_run_id == run_id)
            .order_by(_r.id.desc())
            .limit(_MOST_TRIALS)
        ).all()
        sweep = found["sweep"]
        trials = _trials(connection, sweep, children) if sweep else None
        points = connection.execute(
            sa.select(_k.name, _k.step, _k.value)
            .where(_k.run_id == run_id)
            .order_by(_k.step.desc(), _k.id.desc())
            .limit(_MOST_POINTS)
        ).all()
        contracts = run_contracts.passed_by(connection, run_id)
        return {
            **found,
            "bisection": found_by(workspace, run_id) if found["name"].startswith("bisect ") else None,
            "inputs": [
                {
                    "role": row.role,
                    "asked": row.reference,
                    "snapshot": f"{row.name}@{row.version}",
                    "dataset": row.name,
                    "version": int(row.version),
                    "content_id": row.content_id,
                    "rows": row.rows,
                    "contract": contracts.get(row.content_id),
                }
                for row in inputs
            ],
            "steps": built.steps(connection, run_id),
            "calls": _calls(found["plan"]),
            "metrics": _histories(points),
            "models": _made(connection, [run_id]).get(run_id, []),
            "code": built.code(connection, run_id),
            "environment": built.environment(connection, run_id),
            "sweep": trials,
            "children": [
                {"id": str(row.id), "name": row.name, "state": row.state} for row in ([] if trials else children[:PAGE])
            ],
        }


def _calls(plan: Sequence[Fact]) -> int | None:
    """How many steps a plan has; None where steps decide that."""
    counts = [entry["calls"] for entry in plan]
    return None if None in counts else sum(counts)


def log(workspace: Workspace, run_id: str, step: str) -> Fact:
    """What a step of a run printed; of very much the end. Raises NotFoundError."""
    text = history.log(workspace, run_id, step)
    left = max(0, len(text) - _MOST_SAID)
    return {"run": run_id, "step": step, "text": text[left:], "left_out": left}


def _trials(connection: sa.Connection, sweep: Fact, children: Sequence[Any]) -> Fact:
    """The trials of a sweep, oldest first, each with its value of the metric; and the best of them first."""
    metric, values = sweep["metric"], _values(connection, [str(row.id) for row in children])
    trials = [
        {
            "id": str(row.id),
            "state": row.state,
            "parameters": {name: row.parameters.get(name) for name in sweep["varied"]},
            "value": values.get(str(row.id), {}).get(metric),
        }
        for row in reversed(children)
    ]
    sign = 1 if sweep["direction"] == "minimize" else -1
    valued = [trial for trial in trials if trial["value"] is not None]
    return {
        "metric": metric,
        "direction": sweep["direction"],
        "varied": sweep["varied"],
        "trials": trials,
        "ranked": sorted(valued, key=lambda trial: sign * trial["value"])[:_MOST_RANKED],
        "failed": sum(trial["state"] == "failed" for trial in trials),
    }


def _histories(newest_first: Sequence[Any]) -> list[Fact]:
    """Each metric with its last value, and its values over steps."""
    found: dict[str, list[list[float | None]]] = {}
    for point in reversed(newest_first):
        found.setdefault(point.name, []).append([point.step, point.value])
    return [{"name": name, "value": history[-1][1], "history": history} for name, history in sorted(found.items())]
