"""Two runs or model versions side by side: data, code, libraries, parameters, steps, metrics; what of each differs."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from clew.catalog.tables import builds, data, models
from clew.errors import ClewError
from clew.models import find as find_version
from clew.models.registry import ModelVersion
from clew.pipelines.history import find_run
from clew.pipelines.keys import difference
from clew.thread import texts
from clew.thread.texts import differing
from clew.workspace import Workspace

Fact = dict[str, Any]

_MOST_VERSIONS = 200  # of a dataset, between two snapshots that are compared
_s, _c, _d = data.snapshots.c, data.contents.c, data.datasets.c


def compare_runs(workspace: Workspace, first: str, second: str) -> Fact:
    """What differs between two runs, from what is recorded of them; no data are read.

    `data` names snapshots by role, `data_diff` the rows added, removed and changed between them (see `data_diff`);
    `code_diff` is a unified diff of each file, `libraries` are versions, `settings` threads and variables; `steps` are
    those whose keys differ, each with the reasons; `parameters` and `metrics` are the two values by name. What can't
    be had any more is said in `notes`.

    Raises NotFoundError, UsageError: there is no such run.
    """
    a, b = find_run(workspace, first), find_run(workspace, second)
    with workspace.catalog.read() as connection:
        sides = [_side(connection, row) for row in (a, b)]
        snapshots = differing(sides[0]["snapshots"], sides[1]["snapshots"])
        data_diffs = {role: data_diff(connection, *ids) for role, ids in snapshots.items() if None not in ids}
        names = _snapshot_names(connection, [one for ids in snapshots.values() for one in ids if one is not None])
    left, right = sides
    notes: list[str] = []
    return {
        "runs": [left["run"], right["run"]],
        "names": [a.name, b.name],
        "data": {
            role: [None if one is None else names[one]["reference"] for one in ids] for role, ids in snapshots.items()
        },
        "data_diff": data_diffs,
        "code": None if left["code"] == right["code"] else [_told(one["code"], _CODE) for one in sides],
        "code_diff": _from_objects(workspace, "code", texts.code_diff, left["code"], right["code"], notes) or [],
        "environment": None
        if left["environment"] == right["environment"]
        else [_told(one["environment"], _ENVIRONMENT) for one in sides],
        "libraries": _from_objects(
            workspace, "environment", texts.lock_diff, left["environment"], right["environment"], notes
        )
        or {},
        "settings": differing(*(_settings(one["environment"]) for one in sides)),
        "parameters": differing(left["parameters"], right["parameters"]),
        "steps": _steps(left["steps"], right["steps"]),
        "metrics": differing(left["metrics"], right["metrics"]),
        "models": [left["models"], right["models"]],
        "notes": notes,
    }


_CODE = ("content_id", "git_commit", "git_dirty")
_ENVIRONMENT = ("content_id", "python", "platform")


def _told(row: Fact | None, names: tuple[str, ...]) -> Fact | None:
    return None if row is None else {"id" if name == "content_id" else name: row[name] for name in names}


def _side(connection: sa.Connection, run: sa.Row[Any]) -> Fact:
    """All that is recorded of one run and may differ."""
    i, x, s = builds.run_inputs.c, builds.run_metrics.c, builds.steps.c
    inputs = connection.execute(sa.select(i.role, i.snapshot_id).where(i.run_id == run.id))
    metrics = connection.execute(sa.select(x.name, x.value).where(x.run_id == run.id).order_by(x.step, x.id))
    steps = connection.execute(
        sa.select(s.name, s.state, s.cache_key, s.key_parts).where(s.run_id == run.id).order_by(s.ordinal)
    )
    m, v = models.run_models.c, models.model_versions.c
    made = connection.execute(
        sa.select(models.models.c.name, v.version)
        .select_from(models.run_models)
        .join(models.model_versions, v.id == m.model_version_id)
        .join(models.models, models.models.c.id == v.model_id)
        .where(m.run_id == run.id)
        .order_by(models.models.c.name, v.version)
    )
    return {
        "run": str(run.id),
        "snapshots": {row.role: str(row.snapshot_id) for row in inputs},
        "metrics": {row.name: None if row.value is None else float(row.value) for row in metrics},
        "steps": {row.name: row._asdict() for row in steps},
        "parameters": run.parameters if isinstance(run.parameters, dict) else {},
        "code": _row(connection, builds.codes, run.code_id),
        "environment": _row(connection, builds.environments, run.environment_id),
        "models": [f"{row.name}@{row.version}" for row in made],
    }


def _row(connection: sa.Connection, table: sa.Table, row_id: Any) -> Fact | None:
    if row_id is None:
        return None
    row = connection.execute(sa.select(table).where(table.c.id == row_id)).first()
    return None if row is None else row._asdict()


def _settings(environment: Fact | None) -> Mapping[str, Any]:
    """What beside the libraries tells two environments apart; the hashes of files follow from their versions."""
    if environment is None:
        return {}
    settings = environment["settings"] if isinstance(environment["settings"], dict) else {}
    plain = {name: value for name, value in settings.items() if name not in ("files", "origins")}
    return {"python": environment["python"], "platform": environment["platform"], **plain}


def _from_objects(
    workspace: Workspace, what: str, diff: Any, left: Fact | None, right: Fact | None, notes: list[str]
) -> Any:
    if left is None or right is None:
        if left is not right:
            notes.append(f"one of the runs recorded no {what}")
        return None
    if left["digest"] == right["digest"]:
        return None
    try:
        return diff(workspace.objects, left["digest"], right["digest"])
    except ClewError as error:
        notes.append(f"the {what} can't be compared: {error.message}")
        return None


def _steps(left: Mapping[str, Fact], right: Mapping[str, Fact]) -> list[Fact]:
    """The steps whose keys differ, in the order of the second run, with what of their keys does."""
    found = []
    for name in [*right, *(name for name in left if name not in right)]:
        a, b = left.get(name), right.get(name)
        if a is None or b is None:
            found.append({"step": name, "why": [f"only in the {'second' if a is None else 'first'} run"]})
        elif a["cache_key"] != b["cache_key"]:
            before, after = (one if isinstance(one, dict) else {} for one in (a["key_parts"], b["key_parts"]))
            why = difference(before, after) if before and after else ["their keys differ; their parts are not recorded"]
            found.append({"step": name, "why": why})
    return found


def _snapshot_names(connection: sa.Connection, ids: list[str]) -> dict[str, Fact]:
    rows = connection.execute(
        sa.select(_s.id, _s.version, _d.name, _s.state)
        .join(data.datasets, _d.id == _s.dataset_id)
        .where(_s.id.in_(ids))
    )
    return {str(row.id): {"reference": f"{row.name}@{row.version}", "state": row.state} for row in rows}


def data_diff(connection: sa.Connection, before: str, after: str) -> Fact:
    """What was recorded of the way from one snapshot to another, when each version was added; no row is read.

    Between neighbours it is exact. Further apart the changes of each version are added up (`versions` of them): a row
    that was added and taken out again counts in both. `added` is None where that isn't known, and `mend` says how to
    find out.
    """
    rows = {
        str(row.id): row
        for row in connection.execute(
            sa.select(_s.id, _s.dataset_id, _s.version, _d.name, _c.rows, _c.content_id)
            .join(data.contents, _c.id == _s.content_pk)
            .join(data.datasets, _d.id == _s.dataset_id)
            .where(_s.id.in_([before, after]))
        )
    }
    a, b = rows[before], rows[after]
    found: Fact = {
        "from": f"{a.name}@{a.version}",
        "to": f"{b.name}@{b.version}",
        "rows": [a.rows, b.rows],
        "same": a.content_id == b.content_id,
        "versions": 0,
        "added": 0 if a.content_id == b.content_id else None,
        "removed": 0 if a.content_id == b.content_id else None,
        "changed": 0 if a.content_id == b.content_id else None,
        "mend": f"clew data diff {a.name}@{a.version} {b.name}@{b.version}",
    }
    if found["same"] or a.dataset_id != b.dataset_id:
        return found
    low, high = sorted((int(a.version), int(b.version)))
    if high - low > _MOST_VERSIONS:
        return found
    between = connection.execute(
        sa.select(_s.version, _s.changes).where(_s.dataset_id == a.dataset_id, _s.version > low, _s.version <= high)
    ).all()
    found["versions"] = len(between)
    if len(between) < high - low or any(not isinstance(row.changes, dict) for row in between):
        return found
    for name in ("added", "removed", "changed"):
        found[name] = sum(int(row.changes.get(name) or 0) for row in between)
    if a.version > b.version:
        found["added"], found["removed"] = found["removed"], found["added"]
    return found


def compare_versions(workspace: Workspace, first: str, second: str) -> Fact:
    """Two model versions side by side: `compare_runs` of the runs that made them, and how each did.

    `versions` says what the two are; `metrics` holds both values of each metric, equal ones too; `slices` has a row
    for each slice that either was measured on, with both values of each metric. `same_test` is whether both were
    tested on the very same rows; when not, their metrics don't compare.

    Raises NotFoundError, UsageError: there is no such version.
    """
    a, b = find_version(workspace, first), find_version(workspace, second)
    runs = compare_runs(workspace, a.run_id, b.run_id)
    evaluations = [_evaluation(workspace, one) for one in (a, b)]
    return {
        **runs,
        "versions": [
            {
                "reference": one.reference,
                "model": one.model,
                "state": one.state,
                "provenance": one.provenance,
                "id": one.content_id,
                "run": one.run_id,
                "refused_because": one.refused_because,
                "aliases": one.aliases(),
                "occurred_at": one.occurred_at.isoformat(),
            }
            for one in (a, b)
        ],
        "metrics": {name: [a.metrics.get(name), b.metrics.get(name)] for name in sorted({*a.metrics, *b.metrics})},
        "slices": _slices(evaluations[0]["slices"], evaluations[1]["slices"]),
        "same_test": evaluations[0]["test"] is not None and evaluations[0]["test"] == evaluations[1]["test"],
    }


def _evaluation(workspace: Workspace, version: ModelVersion) -> Fact:
    e, artifacts = models.model_evaluations.c, builds.artifacts.c
    row = workspace.catalog.first(
        sa.select(e.slices, artifacts.content_id)
        .outerjoin(builds.artifacts, artifacts.id == e.test_artifact_id)
        .where(e.model_version_id == version.id)
        .order_by(e.name != "test", e.id)
        .limit(1)
    )
    return {"slices": None if row is None else row.slices, "test": None if row is None else row.content_id}


def _slices(left: Any, right: Any) -> list[Fact]:
    """A row for each slice, in the order of the first version, with both values of each number."""
    sides = [_by_slice(one) for one in (left, right)]
    found = []
    for key in dict.fromkeys([*sides[0], *sides[1]]):
        a, b = sides[0].get(key, {}), sides[1].get(key, {})
        numbers = [
            name
            for name in dict.fromkeys([*a, *b])
            if name not in ("slice", "value", "rows") and isinstance(a.get(name, b.get(name)), int | float)
        ]
        found.append(
            {
                "slice": key[0],
                "value": key[1],
                "rows": [a.get("rows"), b.get("rows")],
                "metrics": {name: [a.get(name), b.get(name)] for name in numbers},
            }
        )
    return found


def _by_slice(slices: Any) -> dict[tuple[str, str], Fact]:
    rows = slices if isinstance(slices, list) else []
    return {
        (str(one.get("slice")), str(one.get("value"))): one for one in rows if isinstance(one, dict) and "slice" in one
    }
