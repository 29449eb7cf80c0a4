"""Journal records as Arrow columns, and back without loss.

Inputs and outputs become JSON text rather than structs: the endpoints of one journal have different features, the same
feature may come as 1, 1.0 or null, and a struct would have to widen or drop what was really sent. JSON keeps each row
as it came, and polars, DuckDB and pyarrow read it. JSON has no NaN and no infinities: they are written as
`{"float": "nan"}`, which no input can be mistaken for, since inputs hold no objects.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa

from clew.serving.journal.records import Outcome, Prediction, Record, Scalar, Shadow

_TAG: Final = '{"float":'
_TIME: Final = pa.timestamp("us", tz="UTC")
_SHADOW: Final = pa.struct(
    [
        ("model_version", pa.string()),
        ("model_version_id", pa.string()),
        ("role", pa.string()),
        ("output", pa.string()),
        ("error", pa.string()),
        ("latency_us", pa.int64()),
    ]
)
PREDICTIONS: Final = pa.schema(
    [
        ("id", pa.string()),
        ("endpoint", pa.string()),
        ("request_id", pa.string()),
        ("row", pa.int64()),
        ("model_version", pa.string()),
        ("model_version_id", pa.string()),
        ("role", pa.string()),
        ("share", pa.float64()),
        ("reason", pa.string()),
        ("route_revision", pa.int64()),
        ("rollout_id", pa.string()),
        ("entity", pa.string()),
        ("occurred_at", _TIME),
        ("recorded_at", _TIME),
        ("inputs", pa.string()),
        ("output", pa.string()),
        ("others", pa.list_(_SHADOW)),
        ("error", pa.string()),
        ("latency_us", pa.int64()),
        ("position", pa.int64()),
    ]
)
OUTCOMES: Final = pa.schema(
    [
        ("id", pa.string()),
        ("prediction_id", pa.string()),
        ("endpoint", pa.string()),
        ("entity", pa.string()),
        ("name", pa.string()),
        ("kind", pa.string()),
        ("value", pa.float64()),  # numbers, and booleans as 0 and 1
        ("value_text", pa.string()),
        ("value_type", pa.string()),  # number, boolean, text or null
        ("occurred_at", _TIME),
        ("recorded_at", _TIME),
        ("source", pa.string()),
        ("position", pa.int64()),
    ]
)


def predictions_table(rows: Sequence[tuple[int, Prediction]]) -> pa.Table:
    """(position, prediction) pairs as a table of the schema `PREDICTIONS`."""
    special: dict[str, Callable[[Prediction], object]] = {
        "inputs": lambda record: to_json(record.inputs),
        "output": lambda record: to_json(record.output),
        "others": lambda record: [
            {**msgspec.structs.asdict(other), "output": to_json(other.output)} for other in record.others
        ],
    }
    return _table(PREDICTIONS, rows, special)


def outcomes_table(rows: Sequence[tuple[int, Outcome]]) -> pa.Table:
    """(position, outcome) pairs as a table of the schema `OUTCOMES`."""
    special: dict[str, Callable[[Outcome], object]] = {
        "value": lambda record: None if isinstance(record.value, str | None) else float(record.value),
        "value_text": lambda record: record.value if isinstance(record.value, str) else None,
        "value_type": _value_type,
    }
    return _table(OUTCOMES, rows, special)


def predictions_of(table: pa.Table) -> list[tuple[int, Prediction]]:
    """What `predictions_table` was given."""
    rows = []
    for row in _rows(table):
        position = row.pop("position")
        row["inputs"] = inputs_of(row["inputs"])
        row["output"] = output_of(row["output"])
        row["others"] = [Shadow(**{**other, "output": output_of(other["output"])}) for other in row["others"]]
        rows.append((position, Prediction(**row)))
    return rows


def outcomes_from(table: pa.Table) -> list[tuple[int, Outcome]]:
    """What `outcomes_table` was given."""
    rows = []
    for row in _rows(table):
        position, text, kind = row.pop("position"), row.pop("value_text"), row.pop("value_type")
        if kind == "text":
            row["value"] = text
        elif kind == "boolean":
            row["value"] = row["value"] == 1.0
        rows.append((position, Outcome(**row)))
    return rows


def to_json(value: object) -> str:
    """Inputs or an output as JSON, exactly: floats in the shortest form that reads back the same."""
    text = msgspec.json.encode(value)
    # msgspec writes NaN and infinities as null, so only a text with a null in it needs the slow way
    return (msgspec.json.encode(_tag(value)) if b"null" in text else text).decode()


def inputs_of(text: str) -> dict[str, Scalar]:
    """The inputs that `to_json` was given."""
    inputs: dict[str, Any] = msgspec.json.decode(text)
    return {name: _untag(value) for name, value in inputs.items()} if _TAG in text else inputs


def output_of(text: str) -> Any:
    """The output that `to_json` was given."""
    value = msgspec.json.decode(text)
    return _untag(value) if _TAG in text else value


def _tag(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, dict):
        return {key: _tag(item) for key, item in value.items()}
    return [_tag(item) for item in value] if isinstance(value, list) else value


def _untag(value: Any) -> Any:
    if isinstance(value, dict):
        return float(value["float"])
    return [_untag(item) for item in value] if isinstance(value, list) else value


def _value_type(outcome: Outcome) -> str:
    if outcome.value is None:
        return "null"
    if isinstance(outcome.value, bool):
        return "boolean"
    return "text" if isinstance(outcome.value, str) else "number"


def _table(schema: pa.Schema, rows: Sequence[tuple[int, Any]], special: dict[str, Callable[[Any], object]]) -> pa.Table:
    columns = []
    for field in schema:
        name = field.name
        if name == "position":
            values: list[object] = [position for position, _ in rows]
        elif name in special:
            values = [special[name](record) for _, record in rows]
        else:
            values = [getattr(record, name) for _, record in rows]
        columns.append(pa.array(values, type=field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    columns = []
    for field in table.schema:
        column = table.column(field.name)
        columns.append((column.cast(pa.int64()) if field.type == _TIME else column).to_pylist())
    names = table.schema.names
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def split(rows: Sequence[tuple[int, Record]]) -> tuple[list[tuple[int, Prediction]], list[tuple[int, Outcome]]]:
    """(position, record) pairs by kind."""
    predictions, outcomes = [], []
    for position, record in rows:
        if isinstance(record, Prediction):
            predictions.append((position, record))
        else:
            outcomes.append((position, record))
    return predictions, outcomes
