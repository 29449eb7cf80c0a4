"""Reading what clients send: rows to predict, and outcomes. Every refusal names the field."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from clew.catalog import new_id
from clew.errors import UsageError
from clew.serving.journal import Outcome

MOST_ROWS = 10_000


def rows(body: bytes) -> list[dict[str, Any]]:  # noqa: C901 - one branch a form of request
    """The rows of a request: `dataframe_records`, `dataframe_split`, `instances`, or `inputs` by column.

    Raises UsageError.
    """
    value = _json(body)
    if not isinstance(value, dict):
        raise UsageError("the body must be a JSON object with dataframe_records, dataframe_split, instances or inputs")
    match value:
        case {"dataframe_records": list() as found} | {"instances": list() as found}:
            records = found
        case {"dataframe_split": {"columns": list() as columns, "data": list() as lines}}:
            for number, line in enumerate(lines):
                if not isinstance(line, list) or len(line) != len(columns):
                    raise UsageError(f"dataframe_split: row {number} of data must be a list of {len(columns)} values")
            records = [dict(zip(columns, line, strict=True)) for line in lines]
        case {"inputs": dict() as by_column}:
            records = _from_columns(by_column)
        case _:
            raise UsageError("the body has none of: dataframe_records, dataframe_split, instances, inputs")
    if not records:
        raise UsageError("the request holds no row")
    if len(records) > MOST_ROWS:
        raise UsageError(f"the request holds {len(records)} rows, and {MOST_ROWS} is the most", mend="send it in parts")
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise UsageError(f"row {number} must be an object with a value for each field")
    return records


def _from_columns(columns: dict[str, Any]) -> list[dict[str, Any]]:
    lengths = {len(values) if isinstance(values, list) else -1 for values in columns.values()}
    if -1 in lengths or len(lengths) != 1:
        raise UsageError("inputs: every field must be a list, and all of the same length")
    return [dict(zip(columns, line, strict=True)) for line in zip(*columns.values(), strict=True)]


class _Outcome(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    kind: str
    value: float | str | bool | None
    prediction_id: str | None = None
    endpoint: str | None = None
    entity: str | None = None
    occurred_at: str | None = None


def outcomes(body: bytes, now: datetime, source: str | None = None) -> list[Outcome]:
    """One outcome or a list of them. Raises UsageError, naming the field."""
    value = _json(body)
    listed = value if isinstance(value, list) else [value]
    if not listed or len(listed) > MOST_ROWS:
        raise UsageError(f"send 1 to {MOST_ROWS} outcomes at once")
    return [_outcome(one, number, now, source) for number, one in enumerate(listed)]


def _outcome(value: Any, number: int, now: datetime, source: str | None) -> Outcome:
    try:
        given = msgspec.convert(value, _Outcome)
    except msgspec.ValidationError as error:
        raise UsageError(f"outcome {number}: {error}") from error
    if given.kind not in ("label", "response"):
        raise UsageError(f"outcome {number}: field 'kind' must be label or response, and is {given.kind!r}")
    if given.prediction_id is None and (given.endpoint is None or given.entity is None):
        raise UsageError(f"outcome {number}: field 'prediction_id' is missing (or endpoint and entity)")
    if given.prediction_id is not None and not _is_id(given.prediction_id):
        raise UsageError(f"outcome {number}: field 'prediction_id' is no prediction id: {given.prediction_id[:50]!r}")
    at = now if given.occurred_at is None else moment(given.occurred_at, f"outcome {number}: field 'occurred_at'")
    return Outcome(
        id=new_id(),
        prediction_id=given.prediction_id,
        endpoint=given.endpoint,
        entity=given.entity,
        name=given.name,
        kind="label" if given.kind == "label" else "response",
        value=given.value,
        occurred_at=micros(at),
        recorded_at=micros(datetime.now(UTC)),
        source=source,
    )


def moment(text: str, what: str) -> datetime:
    """An ISO date or time; without a zone it is UTC. Raises UsageError, saying what it was for."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{what} must be a date or time such as 1996-02-03T12:00:00+00:00, and is {text[:50]!r}"
        ) from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def micros(when: datetime) -> int:
    """Microseconds since 1970, UTC."""
    return round(when.timestamp() * 1_000_000)


def from_micros(value: int) -> datetime:
    """The moment that `micros` gave."""
    return datetime.fromtimestamp(value / 1_000_000, UTC)


def _is_id(text: str) -> bool:
    return len(text) == 36 and all(c in "0123456789abcdef-" for c in text)


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"the body is no JSON: {error}") from error
