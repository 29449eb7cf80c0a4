"""From what the versions said to the journal's predictions: who answers each row, and who answered in shadow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clew.catalog import new_id
from clew.errors import UsageError
from clew.serving.discretion import Discretion
from clew.serving.journal import Prediction, Role, Shadow
from clew.serving.routing import Route, Target
from clew.serving.runtime import Answer


@dataclass(frozen=True)
class Request:
    """What the rows of one request have in common; `said` is by the versions' ids."""

    route: Route
    discretion: Discretion
    fields: Sequence[str]
    said: Mapping[str, Answer]
    request_id: str
    occurred_at: int
    recorded_at: int


def entity_of(route: Route, values: Mapping[str, Any], row: int) -> str | None:
    """Whom a row is about; None without that field. Raises UsageError for what can't name anyone."""
    if route.entity_column is None:
        return None
    entity = values.get(route.entity_column)
    if isinstance(entity, dict | list):
        raise UsageError(
            f"row {row}: field {route.entity_column!r} names whom it is about, and is a list or an object",
            mend="send a text or a number",
        )
    return None if entity is None else str(entity)


def record(request: Request, values: Mapping[str, Any], row: int) -> Prediction:
    """The prediction of one row."""
    route = request.route
    prediction_id = new_id()
    entity = entity_of(route, values, row)
    chosen, reason = route.choose(prediction_id if entity is None else entity)
    answer = request.said[chosen.model_version_id]
    if answer.error is not None and chosen.role == "candidate":
        reason = f"the candidate failed ({answer.error}), so the champion answered"
        chosen = route.champion
        answer = request.said[chosen.model_version_id]
    return Prediction(
        id=prediction_id,
        endpoint=route.endpoint,
        request_id=request.request_id,
        row=row,
        model_version=chosen.model_version,
        model_version_id=chosen.model_version_id,
        role=_role(chosen),
        share=chosen.share,
        reason=reason,
        route_revision=route.revision,
        rollout_id=route.rollout_id,
        entity=request.discretion.entity(None if entity is None else entity[:200]),
        occurred_at=request.occurred_at,
        recorded_at=request.recorded_at,
        inputs=request.discretion.inputs(values, request.fields),
        output=_at(answer, row),
        others=[_shadow(target, request, row) for target in route.targets if target is not chosen],
        error=answer.error,
        latency_us=answer.latency_us,
    )


def _shadow(target: Target, request: Request, row: int) -> Shadow:
    answer = request.said[target.model_version_id]
    return Shadow(
        model_version=target.model_version,
        model_version_id=target.model_version_id,
        role=_role(target),
        output=_at(answer, row),
        error=answer.error,
        latency_us=answer.latency_us,
    )


def _role(target: Target) -> Role:
    return "candidate" if target.role == "candidate" else "champion"


def _at(answer: Answer, row: int) -> Any:
    return None if answer.values is None else answer.values[row]
