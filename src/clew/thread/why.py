"""`why`: from one prediction back to the rows, code, parameters and environment behind it, and on to its outcomes."""

import re
from typing import Any, TypeGuard

import sqlalchemy as sa

from clew.catalog.tables import models, serving
from clew.errors import NotFoundError
from clew.serving.journal import Outcome, Prediction, find_prediction, outcomes_of
from clew.thread import built, served, sourced
from clew.thread.times import from_micros, iso
from clew.workspace import Workspace

Fact = dict[str, Any]

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MICROS_A_DAY = 86_400_000_000
_MEND = (
    "use the id from the header clew-prediction-id of an answer; "
    "predictions that are past the journal's retention are gone for good"
)


def why(workspace: Workspace, prediction_id: str) -> Fact:
    """The thread of one prediction, as JSON-able facts.

    The keys are always the same: `prediction`, `endpoint`, `route`, `model`, `run`, `code`, `environment`, `steps`,
    `rows`, `snapshots`, `outcomes`, `notes`. A part that isn't known is None (or an empty list), and `notes` says in
    words what is missing or erased. Times are ISO 8601 in UTC; `delay_days` counts from when the prediction occurred
    to when its outcome did; `error` is output − value where both are numbers.

    Raises:
        NotFoundError: the journal has no prediction of this id.
        IntegrityError: the part of the journal that can hold it is damaged.
    """
    found = find_prediction(workspace.journal, prediction_id) if _ID.fullmatch(prediction_id) else None
    if found is None:
        _say_when_it_went(workspace, prediction_id)
        raise NotFoundError(f"no prediction {prediction_id!r} in the journal of this workspace", mend=_MEND)
    notes: list[str] = []
    thread: Fact = {"prediction": prediction(found), "endpoint": None, "route": None, "model": None}
    thread |= {"run": None, "code": None, "environment": None, "steps": [], "rows": [], "snapshots": []}
    with workspace.catalog.read() as connection:
        endpoint = served.endpoint(connection, found.endpoint)
        if endpoint is None:
            notes.append(f"the catalog doesn't know the endpoint {found.endpoint}")
        else:
            thread["endpoint"] = endpoint
            thread["route"] = served.route(connection, endpoint["id"], found.route_revision)
            if thread["route"] is None:
                notes.append(f"the catalog doesn't know revision {found.route_revision} of the route")
        version_id = _version_id(connection, found)
        if version_id is None:
            notes.append(f"the catalog doesn't know {found.model_version}: it was not registered in this workspace")
        else:
            thread |= lineage(connection, version_id)
    thread["outcomes"] = [outcome(found, one) for one in outcomes_of(workspace.journal, prediction_id)]
    thread["notes"] = notes + _losses(thread)
    return thread


def _say_when_it_went(workspace: Workspace, prediction_id: str) -> None:
    """Raise NotFoundError, which says so, when a segment that may have held a prediction expired."""
    if not _ID.fullmatch(prediction_id):
        return
    j = serving.journal_segments.c
    row = workspace.catalog.first(
        sa.select(j.writer, j.expires_at)
        .where(j.state == "expired", j.first_id <= prediction_id, j.last_id >= prediction_id)
        .limit(1)
    )
    if row is not None:
        raise NotFoundError(
            f"no prediction {prediction_id!r}: the journal's segments of its time expired on {row.expires_at:%Y-%m-%d}",
            mend="clew retention plan says what is kept; clew hold add ENDPOINT keeps all of an endpoint",
        )


def lineage(connection: sa.Connection, version_id: str) -> Fact:
    """What stands behind a model version: its run with code, environment and steps, its rows and snapshots."""
    model = built.model_version(connection, version_id)
    if model is None:
        return {}
    run_id = model["run"]
    wanted, rows = built.inputs(connection, version_id)
    known = {snapshot_id for _, snapshot_id in wanted}
    wanted += [(role, one) for role, one in built.run_inputs(connection, run_id) if one not in known]
    return {
        "model": model,
        "run": built.run(connection, run_id),
        "code": built.code(connection, run_id),
        "environment": built.environment(connection, run_id),
        "steps": built.steps(connection, run_id),
        "rows": rows,
        "snapshots": sourced.snapshots(connection, wanted),
    }


def _version_id(connection: sa.Connection, found: Prediction) -> str | None:
    """The key of the version that answered: by its id, which a name that was used anew can't mislead."""
    if not _ID.fullmatch(found.model_version_id):
        return None
    v = models.model_versions.c
    row = connection.execute(sa.select(v.id).where(v.id == found.model_version_id)).first()
    return None if row is None else str(row.id)


def prediction(found: Prediction) -> Fact:
    """A journalled prediction as facts."""
    return {
        "id": found.id,
        "endpoint": found.endpoint,
        "request_id": found.request_id,
        "row": found.row,
        "entity": found.entity,
        "inputs": found.inputs,
        "output": found.output,
        "error": found.error,
        "model_version": found.model_version,
        "role": found.role,
        "share": found.share,
        "reason": found.reason,
        "route_revision": found.route_revision,
        "rollout_id": found.rollout_id,
        "occurred_at": iso(from_micros(found.occurred_at)),
        "recorded_at": iso(from_micros(found.recorded_at)),
        "latency_us": found.latency_us,
        "shadow": [
            {
                "model_version": other.model_version,
                "role": other.role,
                "output": other.output,
                "error": other.error,
                "latency_us": other.latency_us,
            }
            for other in found.others
        ],
    }


def outcome(found: Prediction, one: Outcome) -> Fact:
    """An outcome of a prediction as facts: how late it came, and how far off the answer was."""
    return {
        "id": one.id,
        "name": one.name,
        "kind": one.kind,
        "value": one.value,
        "error": found.output - one.value if _is_number(found.output) and _is_number(one.value) else None,
        "delay_days": round((one.occurred_at - found.occurred_at) / _MICROS_A_DAY, 6),
        "occurred_at": iso(from_micros(one.occurred_at)),
        "recorded_at": iso(from_micros(one.recorded_at)),
        "source": one.source,
    }


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _losses(thread: Fact) -> list[str]:
    """What can't be had any more, in words."""
    notes = []
    model = thread["model"]
    if model is not None and model["state"] in ("erased", "expired"):
        notes.append(f"{model['reference']} was {_gone(model['state'])}: what it was is known, its bytes are gone")
    elif model is not None and model["artifact_state"] != "live":
        notes.append(f"the bytes of {model['reference']} were {_gone(model['artifact_state'])}")
    lost = [rows for rows in thread["rows"] if rows["state"] != "live"]
    notes += [f"the {rows['role']} rows were {_gone(rows['state'])}" for rows in lost]
    for snapshot in thread["snapshots"]:
        if snapshot["state"] != "live":
            what = f"{snapshot['reference']} was {_gone(snapshot['state'])}"
            notes.append(f"{what} in part: {snapshot['erased_rows']} rows" if snapshot["erased_rows"] else what)
        elif snapshot["erased_rows"]:
            notes.append(f"{snapshot['erased_rows']} rows of {snapshot['reference']} were erased since")
    return notes


def _gone(state: str) -> str:
    return "removed when its time was over" if state == "expired" else state
