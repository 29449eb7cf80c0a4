"""What a rule of retention keeps, and what goes: a function of the catalog, asked by the dry run and by the command.

Kept are: what is held; what is live (named by the newest route of an endpoint, or by a rollout that runs); what an
alias points to; the newest of each dataset and model; what is newer than the rule says; and what any of these need:
the run of a kept version with what it read and made, and the rows that trained and tested it. Everything else goes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from clew.catalog.tables import builds, data, governance, models, serving

GONE: Final = ("erased", "expired")
_AT_ONCE: Final = 500

_v, _s, _a, _r = models.model_versions.c, data.snapshots.c, builds.artifacts.c, builds.runs.c


@dataclass(frozen=True)
class Rule:
    """Keep what was recorded since `newer_than`, and the newest `keep_last` versions of each dataset and model."""

    newer_than: datetime
    keep_last: int = 1


@dataclass
class Plan:
    """Ids of what goes, and of what stays although it is old: id → why."""

    versions: list[str] = field(default_factory=list)
    snapshots: list[str] = field(default_factory=list)
    contents: list[str] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)
    kept_versions: dict[str, str] = field(default_factory=dict)
    kept_snapshots: dict[str, str] = field(default_factory=dict)


@dataclass
class _Held:
    """What is on hold, by kind."""

    snapshots: set[str] = field(default_factory=set)
    versions: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    endpoints: set[str] = field(default_factory=set)


def plan(connection: sa.Connection, rule: Rule) -> Plan:
    """What goes by a rule, and what stays and why."""
    held = on_hold(connection)
    found = Plan()
    found.kept_versions, found.versions = _versions(connection, rule, held)
    runs = {str(row.id): row.recorded_at for row in connection.execute(_kept_runs(rule))}
    kept_runs = set(runs) | held.runs
    for some in parts(sorted(found.kept_versions)):
        kept_runs |= {str(one) for one in connection.execute(sa.select(_v.run_id).where(_v.id.in_(some))).scalars()}
    found.kept_snapshots, found.snapshots = _snapshots(connection, rule, held, found.kept_versions, kept_runs)
    found.contents = _contents(connection, found.snapshots)
    found.artifacts = _artifacts(connection, rule, set(found.kept_versions), kept_runs)
    return found


def parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Some values at a time: one statement can't hold any number of them."""
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))


def on_hold(connection: sa.Connection) -> _Held:
    """What is on hold; a dataset, a model or an endpoint stands for all versions of it."""
    h = governance.holds.c
    found = _Held()
    wide: dict[str, set[str]] = {"dataset": set(), "model": set()}
    exact = {"snapshot": found.snapshots, "version": found.versions, "run": found.runs, "endpoint": found.endpoints}
    for row in connection.execute(sa.select(h.kind, h.target_id).where(h.released_at.is_(None))):
        (exact | wide)[row.kind].add(str(row.target_id))
    routed = (
        sa.select(serving.route_targets.c.model_version_id)
        .join(serving.routes, serving.routes.c.id == serving.route_targets.c.route_id)
        .where(serving.routes.c.endpoint_id.in_(sorted(found.endpoints)))
    )
    found.snapshots |= _ids(connection, sa.select(_s.id).where(_s.dataset_id.in_(sorted(wide["dataset"]))))
    found.versions |= _ids(connection, sa.select(_v.id).where(_v.model_id.in_(sorted(wide["model"]))))
    found.versions |= _ids(connection, routed)
    return found


def live_versions(connection: sa.Connection) -> set[str]:
    """The versions that the newest route of any endpoint names, and those of rollouts that run."""
    newest = (
        sa.select(serving.routes.c.endpoint_id, sa.func.max(serving.routes.c.revision).label("revision"))
        .group_by(serving.routes.c.endpoint_id)
        .subquery()
    )
    t, r, o = serving.route_targets.c, serving.routes.c, serving.rollouts.c
    routed = (
        sa.select(t.model_version_id)
        .join(serving.routes, r.id == t.route_id)
        .join(newest, (newest.c.endpoint_id == r.endpoint_id) & (newest.c.revision == r.revision))
        .join(serving.endpoints, serving.endpoints.c.id == r.endpoint_id)
        .where(serving.endpoints.c.state == "live")
    )
    running = [sa.select(column).where(o.state == "running") for column in (o.champion_id, o.candidate_id)]
    return _ids(connection, routed) | _ids(connection, running[0]) | _ids(connection, running[1])


def _ids(connection: sa.Connection, query: sa.Select[Any]) -> set[str]:
    return {str(one) for one in connection.execute(query).scalars()}


def _aliased(connection: sa.Connection, kind: str) -> set[str]:
    table = governance.aliases.c
    return _ids(connection, sa.select(table.target_id).where(table.owner_kind == kind))


def _versions(connection: sa.Connection, rule: Rule, held: _Held) -> tuple[dict[str, str], list[str]]:
    """Versions that stay, with why, and those that go."""
    live, aliased = live_versions(connection), _aliased(connection, "model")
    rank = sa.func.row_number().over(partition_by=_v.model_id, order_by=_v.version.desc()).label("rank")
    kept: dict[str, str] = {}
    gone: list[str] = []
    for row in connection.execute(sa.select(_v.id, _v.recorded_at, rank).where(_v.state.not_in(GONE))):
        key = str(row.id)
        why = (
            "held"
            if key in held.versions
            else "live"
            if key in live
            else "aliased"
            if key in aliased
            else "newest"
            if row.rank <= rule.keep_last
            else "new"
            if row.recorded_at >= rule.newer_than
            else None
        )
        if why is None:
            gone.append(key)
        else:
            kept[key] = why
    return kept, gone


def _kept_runs(rule: Rule) -> sa.Select[Any]:
    return sa.select(_r.id, _r.recorded_at).where((_r.recorded_at >= rule.newer_than) | (_r.state == "running"))


def _snapshots(
    connection: sa.Connection, rule: Rule, held: _Held, versions: Iterable[str], runs: Iterable[str]
) -> tuple[dict[str, str], list[str]]:
    """Snapshots that stay, with why, and those that go."""
    aliased = _aliased(connection, "dataset")
    i, n = models.model_inputs.c, builds.run_inputs.c
    needed: dict[str, str] = {}
    for some in parts(sorted(runs)):
        for one in _ids(connection, sa.select(n.snapshot_id).where(n.run_id.in_(some))):
            needed[one] = "read by a run that stays"
    for some in parts(sorted(versions)):
        query = sa.select(i.snapshot_id).where(i.model_version_id.in_(some), i.snapshot_id.is_not(None))
        for one in _ids(connection, query):
            needed[one] = "trained a version that stays"
    rank = sa.func.row_number().over(partition_by=_s.dataset_id, order_by=_s.version.desc()).label("rank")
    kept: dict[str, str] = {}
    gone: list[str] = []
    for row in connection.execute(sa.select(_s.id, _s.recorded_at, rank).where(_s.state.not_in(GONE))):
        key = str(row.id)
        why = (
            "held"
            if key in held.snapshots
            else "aliased"
            if key in aliased
            else "newest"
            if row.rank <= rule.keep_last
            else "new"
            if row.recorded_at >= rule.newer_than
            else needed.get(key)
        )
        if why is None:
            gone.append(key)
        else:
            kept[key] = why
    return kept, gone


def _contents(connection: sa.Connection, snapshots: Sequence[str]) -> list[str]:
    """The contents that no snapshot shows any more once these are gone."""
    going = set(snapshots)
    touched: set[str] = set()
    for some in parts(snapshots):
        touched |= _ids(connection, sa.select(_s.content_pk).where(_s.id.in_(some)))
    shown: set[str] = set()
    for some in parts(sorted(touched)):
        rows = connection.execute(sa.select(_s.id, _s.content_pk).where(_s.content_pk.in_(some), _s.state.not_in(GONE)))
        shown |= {str(row.content_pk) for row in rows if str(row.id) not in going}
    live: set[str] = set()
    for some in parts(sorted(touched - shown)):
        query = sa.select(data.contents.c.id).where(data.contents.c.id.in_(some), data.contents.c.state == "live")
        live |= _ids(connection, query)
    return sorted(live)


def _artifacts(connection: sa.Connection, rule: Rule, versions: set[str], runs: set[str]) -> list[str]:
    """The artifacts that no kept run made or read, and that no kept version is, was trained or tested with."""
    old = _ids(connection, sa.select(_a.id).where(_a.state == "live", _a.recorded_at < rule.newer_than))
    if not old:
        return []
    k, t, i, e = builds.step_artifacts.c, builds.steps.c, models.model_inputs.c, models.model_evaluations.c
    for some in parts(sorted(runs)):
        used = sa.select(k.artifact_id).join(builds.steps, t.id == k.step_id).where(t.run_id.in_(some))
        old -= _ids(connection, used)
    for some in parts(sorted(versions)):
        old -= _ids(connection, sa.select(_v.artifact_id).where(_v.id.in_(some)))
        old -= _ids(
            connection, sa.select(i.artifact_id).where(i.model_version_id.in_(some), i.artifact_id.is_not(None))
        )
        for column in (e.test_artifact_id, e.predictions_artifact_id, e.profile_artifact_id):
            old -= _ids(connection, sa.select(column).where(e.model_version_id.in_(some), column.is_not(None)))
    return sorted(old)
