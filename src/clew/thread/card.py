"""The card of a model version: what is recorded of it, for those who have to decide whether to rely on it."""

from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa

from clew.catalog.tables import governance, models, serving
from clew.errors import NotFoundError
from clew.models import comparison
from clew.models.evaluation import natural
from clew.models.losses import BETTER, row_metrics
from clew.models.registry import ModelVersion
from clew.stats import excess_p, holm, paired_difference
from clew.thread.times import iso
from clew.thread.why import lineage

Fact = dict[str, Any]

_SEED = 29
_LEVEL = 0.95
_PROMISES = {
    "recorded": "clew ran it: data, code, parameters and environment are captured; it can be restored and rebuilt",
    "declared": "a script or notebook said what it used; that it used nothing else is its word",
    "imported": "it came from elsewhere; nothing is promised about how it was made",
}


def card(version: ModelVersion) -> Fact:
    """The card as facts: intended use, data, metrics with intervals and by slice, limits, lineage, where it is live."""
    catalog = version.workspace.catalog
    with catalog.read() as connection:
        behind = lineage(connection, version.id)
        description = _description(connection, version)
        live = _live(connection, version.id)
    model, run = behind["model"], behind["run"]
    measured = _measured(version)
    profile = comparison.profile_of(version) or {}
    return {
        "model": version.reference,
        "name": version.model,
        "version": version.version,
        "state": version.state,
        "refused_because": version.refused_because,
        "provenance": version.provenance,
        "promise": _PROMISES[version.provenance],
        "id": version.content_id,
        "made": {"at": model["occurred_at"], "recorded_at": model["recorded_at"], "by": model["actor"]},
        "aliases": model["aliases"],
        "live": live,
        "intended_use": description["intended_use"],
        "limits": {"declared": description["limits"], "weak_slices": measured["weak"]},
        "described": description["by"],
        "takes": [dict(field) for field in version.signature["inputs"]],
        "predicts": profile.get("target"),
        "data": {
            "snapshots": [_snapshot(one) for one in behind["snapshots"]],
            "rows": [{**one, **_period(version, one["role"])} for one in behind["rows"]],
        },
        "metrics": measured["metrics"],
        "level": _LEVEL,
        "slices": measured["slices"],
        "verdicts": version.verdicts,
        "comparison": profile.get("comparison"),
        "leakage": profile.get("leakage"),
        "lineage": {
            "run": run["id"],
            "pipeline": run["pipeline"],
            "entry": run["entry"],
            "parameters": run["parameters"],
            "steps": [{"name": one["name"], "state": one["state"]} for one in behind["steps"]],
            "code": _some(behind["code"], "content_id", "git_commit", "git_dirty"),
            "environment": _some(behind["environment"], "content_id", "python", "platform"),
        },
    }


def _some(facts: Fact | None, *names: str) -> Fact | None:
    return None if facts is None else {name: facts[name] for name in names}


def _description(connection: sa.Connection, version: ModelVersion) -> Fact:
    """The newest words about this version, or the nearest before it."""
    d, v, a = models.model_descriptions.c, models.model_versions.c, governance.actors.c
    own = sa.select(v.model_id).where(v.id == version.id).scalar_subquery()
    row = connection.execute(
        sa.select(d.intended_use, d.limits, d.recorded_at, a.name, v.version)
        .join(models.model_versions, v.id == d.model_version_id)
        .join(governance.actors, a.id == d.actor_id)
        .where(v.model_id == own, v.version <= version.version)
        .order_by(v.version.desc(), d.id.desc())
        .limit(1)
    ).first()
    if row is None:
        return {"intended_use": None, "limits": None, "by": None}
    by = {"by": row.name, "at": iso(row.recorded_at), "of": f"{version.model}@{row.version}"}
    return {"intended_use": row.intended_use, "limits": row.limits, "by": by}


def _live(connection: sa.Connection, version_id: str) -> list[Fact]:
    e, r, t = serving.endpoints.c, serving.routes.c, serving.route_targets.c
    newest = sa.select(r.endpoint_id, sa.func.max(r.revision).label("revision")).group_by(r.endpoint_id).subquery()
    rows = connection.execute(
        sa.select(e.name, t.role, t.share, r.occurred_at)
        .select_from(serving.routes)
        .join(newest, (newest.c.endpoint_id == r.endpoint_id) & (newest.c.revision == r.revision))
        .join(serving.endpoints, e.id == r.endpoint_id)
        .join(serving.route_targets, t.route_id == r.id)
        .where(t.model_version_id == version_id, e.state == "live")
        .order_by(e.name)
    )
    return [{"endpoint": row.name, "role": row.role, "share": row.share, "since": iso(row.occurred_at)} for row in rows]


def _snapshot(one: Fact) -> Fact:
    checks = one["checks"]
    return {
        "role": one["role"],
        "snapshot": one["reference"],
        "rows": one["rows"],
        "id": one["content_id"],
        "state": one["state"],
        "occurred_at": one["occurred_at"],
        "erased_rows": one["erased_rows"],
        "contract": {"passed": bool(checks[0]["passed"]), "findings": len(checks[0]["findings"])} if checks else None,
        "policies": [
            {"column": policy["column"], "action": policy["action"], "reason": policy["reason"]}
            for policy in one["policies"]
        ],
        "sources": [source["uri"] for source in one["sources"]],
    }


def _period(version: ModelVersion, role: str) -> Fact:
    """From when to when the rows are, by their first column of dates."""
    digest = next((one["digest"] for one in version.inputs() if one["role"] == role and one["digest"]), None)
    if digest is None or role not in ("train", "test"):
        return {"period": None}
    try:
        rows = pl.scan_ipc(version.workspace.objects.open_path(digest))
        name = next((key for key, kind in rows.collect_schema().items() if kind in (pl.Date, pl.Datetime)), None)
        if name is None:
            return {"period": None}
        ends = rows.select(pl.col(name).min().alias("first"), pl.col(name).max().alias("last")).collect().row(0)
    except (NotFoundError, pl.exceptions.PolarsError):  # erased, or gone
        return {"period": None}
    return {"period": {"column": name, "first": str(ends[0]), "last": str(ends[1])}}


def _measured(version: ModelVersion) -> Fact:
    """Metrics with intervals, by slice, and the slices that are weak; from the rows and predictions that were kept."""
    recorded: Fact = dict(version.metrics)
    metrics = [{"metric": name, "value": value, "low": None, "high": None} for name, value in recorded.items()]
    told = [{**one, "low": None, "high": None, "weak": False} for one in comparison.slices_of(version)]
    plain = {"metrics": metrics, "slices": told, "weak": []}
    profile = comparison.profile_of(version)
    if profile is None:
        return plain
    try:
        rows = comparison.test_rows(version)
        predicted = comparison.stored(version, "predictions")["prediction"].to_numpy()
    except NotFoundError:
        return plain
    by_row = row_metrics(predicted, rows[profile["target"]])
    found = {name: _interval(losses) for name, losses in by_row.items() if np.isfinite(losses).sum() >= 2}
    metrics = [
        {**one, **{key: found[one["metric"]][key] for key in ("low", "high")}}
        if one["metric"] in found and _close(one["value"], found[one["metric"]]["value"])
        else one
        for one in metrics
    ]
    metrics += [{"metric": name, **one} for name, one in found.items() if name not in recorded]
    slices = _slices(version, profile, rows, by_row)
    return {"metrics": metrics, "slices": slices or told, "weak": [one for one in slices if one["weak"]]}


def _interval(losses: np.ndarray) -> Fact:
    known = losses[np.isfinite(losses)]
    found = paired_difference(np.zeros_like(known), known, 1 - _LEVEL, _SEED)
    return {"value": found.estimate, "low": found.low, "high": found.high}


def _close(told: Any, measured: float) -> bool:
    """Whether a metric of this name is the one that is measured here: the same word may mean another thing."""
    return isinstance(told, int | float) and abs(told - measured) <= 1e-6 * max(abs(told), abs(measured), 1e-12)


def _slices(version: ModelVersion, profile: Fact, rows: pl.DataFrame, by_row: dict[str, np.ndarray]) -> list[Fact]:
    """The first metric of each slice, and whether it is worse than that of the others by more than chance (Holm)."""
    metric = next(iter(by_row))
    losses = by_row[metric]
    known = np.isfinite(losses)
    sign = 1.0 if BETTER[metric] == "lower" else -1.0
    names = list(dict.fromkeys(one["slice"] for one in comparison.slices_of(version)))
    groups = {**comparison.columns_of(rows, names), **profile.get("groups", {})}
    found: list[Fact] = []
    for name, labels in groups.items():
        marks = np.asarray(labels, dtype=str)
        for value in sorted(set(marks.tolist()), key=natural):
            member = (marks == value)[known]
            inside = losses[known][member]
            if not len(inside):
                continue
            ends = _interval(inside) if len(inside) >= comparison.FEWEST else {"low": None, "high": None}
            found.append(
                {
                    "slice": name,
                    "value": value,
                    "rows": len(inside),
                    "metric": metric,
                    metric: float(inside.mean()),
                    "low": ends["low"],
                    "high": ends["high"],
                    "p": excess_p(sign * losses[known], member, _SEED),
                }
            )
    weak = holm([one["p"] for one in found], 1 - _LEVEL)
    return [{**one, "weak": is_weak} for one, is_weak in zip(found, weak, strict=True)]
