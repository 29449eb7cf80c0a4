"""Reading what clients send: rows to predict, and outcomes. Every refusal names the field."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from clew.catalog import new_id
from clew.errors import UsageError
from clew.serving.journal import Outcome

MOST_ROWS = 10_000
_FORM = 'send {"dataframe_records": [{"FIELD": value, …}, …]}'
_OUTCOME_FORM = (
    'send {"prediction_id": "…", "name": "price_usd", "kind": "label", "value": 61000, "occurred_at": "1996-02-03"}'
)
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_YEARS = range(2, 9999)  # so that no zone leads out of what a calendar can hold


def rows(body: bytes) -> list[dict[str, Any]]:
    """The rows of a request: `dataframe_records`, `dataframe_split`, `instances`, or `inputs` by column.

    Raises UsageError.
    """
    records = _in_form(_json(body))
    if not records:
        raise UsageError("the request holds no row", mend=_FORM)
    if len(records) > MOST_ROWS:
        raise UsageError(f"the request holds {len(records)} rows, and {MOST_ROWS} is the most", mend="send it in parts")
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise UsageError(f"row {number} must be an object with a value for each field", mend=_FORM)
        for name, given in record.items():
            if type(given) is int and not _SMALLEST <= given <= _LARGEST:
                raise UsageError(
                    f"row {number}: field {name[:100]!r} is a whole number of more than 64 bits",
                    mend="send it as a text, or rounded, as 1e30",
                )
    return records


def _in_form(value: Any) -> list[Any]:
    match value:
        case {"dataframe_records": list() as found} | {"instances": list() as found}:
            return found
        case {"dataframe_split": {"columns": list() as columns, "data": list() as lines}}:
            return _from_lines(columns, lines)
        case {"inputs": dict() as by_column}:
            return _from_columns(by_column)
    raise UsageError(
        "the body must be an object with one of dataframe_records, dataframe_split, instances, inputs", mend=_FORM
    )


def _from_lines(columns: list[Any], lines: list[Any]) -> list[dict[str, Any]]:
    if not all(isinstance(name, str) for name in columns) or len(set(columns)) < len(columns):
        raise UsageError("dataframe_split: columns must be names, each once", mend="name each column once")
    for number, line in enumerate(lines):
        if not isinstance(line, list) or len(line) != len(columns):
            raise UsageError(
                f"dataframe_split: row {number} of data must be a list of {len(columns)} values",
                mend="send a value for each of the columns",
            )
    return [dict(zip(columns, line, strict=True)) for line in lines]


def _from_columns(columns: dict[str, Any]) -> list[dict[str, Any]]:
    lengths = {len(values) if isinstance(values, list) else -1 for values in columns.values()}
    if -1 in lengths or len(lengths) != 1:
        raise UsageError(
            "inputs: every field must be a list, and all of the same length",
            mend='send {"inputs": {"FIELD": [value of row 0, value of row 1], …}}',
        )
    return [dict(zip(columns, line, strict=True)) for line in zip(*columns.values(), strict=True)]


class _Outcome(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    kind: str
    value: float | str | bool | None
    prediction_id: str | None = None
    endpoint: str | None = None
    entity: str | int | float | None = None
    occurred_at: str | None = None


def outcomes(body: bytes, now: datetime | None, source: str | None = None) -> list[Outcome]:
    """One outcome or a list of them; those without `occurred_at` happened `now`, and are refused if that is None.

    Raises UsageError, naming the field.
    """
    value = _json(body)
    listed = value if isinstance(value, list) else [value]
    if not listed or len(listed) > MOST_ROWS:
        raise UsageError(f"there are {len(listed)} outcomes", mend=f"send 1 to {MOST_ROWS} at once")
    return [_outcome(one, number, now, source) for number, one in enumerate(listed)]


def _outcome(value: Any, number: int, now: datetime | None, source: str | None) -> Outcome:
    def refused(what: str) -> UsageError:
        return UsageError(f"outcome {number}: {what}", mend=_OUTCOME_FORM)

    try:
        given = msgspec.convert(value, _Outcome)
    except (msgspec.ValidationError, OverflowError) as error:
        raise refused(str(error).replace("`", "'")) from error
    if not given.name:
        raise refused("field 'name' is empty")
    if given.kind not in ("label", "response"):
        raise refused(f"field 'kind' must be label or response, and is {given.kind[:50]!r}")
    if given.prediction_id is None and (given.endpoint is None or given.entity is None):
        raise refused("field 'prediction_id' is missing (or endpoint and entity)")
    if given.prediction_id is not None and not _is_id(given.prediction_id):
        raise refused(f"field 'prediction_id' is no prediction id: {given.prediction_id[:50]!r}")
    if given.occurred_at is None and now is None:
        raise refused("field 'occurred_at' is missing, and the data's clock has not been set")
    at = now if given.occurred_at is None else moment(given.occurred_at, f"outcome {number}: field 'occurred_at'")
    return Outcome(
        id=new_id(),
        prediction_id=given.prediction_id,
        endpoint=given.endpoint,
        entity=None if given.entity is None else str(given.entity)[:200],
        name=given.name,
        kind="label" if given.kind == "label" else "response",
        value=given.value,
        occurred_at=micros(at or datetime.now(UTC)),
        recorded_at=micros(datetime.now(UTC)),
        source=source,
    )


def moment(text: str, what: str) -> datetime:
    """An ISO date or time; without a zone it is UTC. Raises UsageError, saying what it was for."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        parsed = None
    if parsed is None or parsed.year not in _YEARS:
        raise UsageError(
            f"{what} must be a date or time, and is {text[:50]!r}", mend="send such as 1996-02-03T12:00:00+00:00"
        )
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def micros(when: datetime) -> int:
    """Microseconds since 1970, UTC."""
    return (when - _EPOCH) // _MICROSECOND


def from_micros(value: int) -> datetime:
    """The moment that `micros` gave."""
    return _EPOCH + value * _MICROSECOND


def _is_id(text: str) -> bool:
    return len(text) == 36 and all(c in "0123456789abcdef-" for c in text)


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"the body is no JSON: {error}", mend="send one JSON value, in UTF-8") from error
