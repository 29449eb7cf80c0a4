"""What a model takes: names and types of its inputs, and tables made from requests."""

import math
from datetime import UTC, date, datetime
from typing import Any, Literal

import msgspec
import polars as pl

from clew.errors import UsageError

Kind = Literal["int", "float", "string", "bool", "date", "datetime"]
_DTYPES: dict[str, pl.DataType] = {
    "int": pl.Int64(),
    "float": pl.Float64(),
    "string": pl.String(),
    "bool": pl.Boolean(),
    "date": pl.Date(),
    "datetime": pl.Datetime("us"),
}


class Field(msgspec.Struct, frozen=True):
    """One input: its name, its type, and whether it may be missing."""

    name: str
    kind: Kind
    nullable: bool


class Signature(msgspec.Struct, frozen=True):
    """The inputs of a model, in order."""

    inputs: list[Field]

    @property
    def names(self) -> list[str]:
        """The inputs' names."""
        return [field.name for field in self.inputs]

    def select(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The inputs' columns of a table, in the signature's types. Raises UsageError, naming the column."""
        missing = [name for name in self.names if name not in frame.columns]
        if missing:
            raise UsageError(f"the table lacks columns that the model needs: {', '.join(missing)}")
        for field in self.inputs:
            if field.kind == "int" and frame.schema[field.name].is_float():
                column = frame[field.name]
                if (column.is_finite() & (column != column.floor())).any():
                    raise UsageError(
                        f"the table doesn't fit the model's signature: {field.name!r} holds no whole numbers"
                    )
        try:
            return frame.select(pl.col(field.name).cast(_DTYPES[field.kind]) for field in self.inputs)
        except pl.exceptions.PolarsError as error:
            raise UsageError(f"the table doesn't fit the model's signature: {str(error).splitlines()[0]}") from error

    def table(self, records: list[dict[str, Any]]) -> pl.DataFrame:
        """A table from a request's rows; what the model doesn't take is left aside. Raises UsageError (a field)."""
        return self.frame(self.rows(records))

    def rows(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A request's rows with the values as the table has them. Raises UsageError, naming row and field."""
        for row, record in enumerate(records):
            if not isinstance(record, dict):
                raise UsageError(f"row {row} must be an object of fields, and is {_shown(record)}")
        return [{field.name: _value(field, record, row) for field in self.inputs} for row, record in enumerate(records)]

    def frame(self, rows: list[dict[str, Any]]) -> pl.DataFrame:
        """A table of what `rows` gave; of several requests at once it is built in hardly more time than of one."""
        return pl.from_dicts(rows, schema={field.name: _DTYPES[field.kind] for field in self.inputs})


def infer(example: pl.DataFrame) -> Signature:
    """The signature of rows like these. Raises UsageError for a type that a request can't carry."""
    return Signature(
        [Field(name, _kind(name, dtype), bool(example[name].null_count())) for name, dtype in example.schema.items()]
    )


def _kind(name: str, dtype: pl.DataType) -> Kind:
    if dtype.is_integer():
        return "int"
    if dtype.is_float():
        return "float"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "string"
    if dtype == pl.Boolean:
        return "bool"
    if dtype == pl.Date:
        return "date"
    if dtype == pl.Datetime:
        return "datetime"
    raise UsageError(f"column {name!r} is {dtype}, which a request can't carry", mend="make it a number or text")


def _value(field: Field, record: dict[str, Any], row: int) -> Any:  # noqa: PLR0911, C901 - one return a type
    if field.name not in record:
        raise UsageError(f"row {row}: field {field.name!r} is missing")
    value = record[field.name]
    if value is None:
        if not field.nullable:
            raise UsageError(f"row {row}: field {field.name!r} is null, and the model was never shown a missing one")
        return None
    match field.kind:
        case "float" if isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value):
            return float(value)
        case "int" if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
            return value
        case "int" if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            return int(value)
        case "string" if isinstance(value, str):
            return value
        case "bool" if isinstance(value, bool):
            return value
        case "date" if isinstance(value, str):
            parsed = _parsed(date.fromisoformat, value)
        case "datetime" if isinstance(value, str):
            parsed = _parsed(_moment, value)
        case _:
            parsed = None
    if parsed is None:
        raise UsageError(f"row {row}: field {field.name!r} must be a {field.kind}, and is {_shown(value)}")
    return parsed


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def _moment(text: str) -> datetime:
    """A time as the tables have it: without a zone, in UTC when one was given."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)


def _parsed(parse: Any, text: str) -> Any:
    try:
        return parse(text)
    except (ValueError, OverflowError):
        return None


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text[:40]}…" if len(text) > 40 else text
