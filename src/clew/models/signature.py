"""What a model takes: names and types of its inputs, and tables made from requests."""

import math
from datetime import date, datetime
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
        try:
            return frame.select(pl.col(field.name).cast(_DTYPES[field.kind]) for field in self.inputs)
        except pl.exceptions.PolarsError as error:
            raise UsageError(f"the table doesn't fit the model's signature: {str(error).splitlines()[0]}") from error

    def table(self, records: list[dict[str, Any]]) -> pl.DataFrame:
        """A table from a request's rows; what the model doesn't take is left aside. Raises UsageError (a field)."""
        columns = {}
        for field in self.inputs:
            values = [_value(field, record, row) for row, record in enumerate(records)]
            columns[field.name] = pl.Series(field.name, values, _DTYPES[field.kind])
        return pl.DataFrame(columns)


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
        case "float" if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
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
            parsed = _parsed(datetime.fromisoformat, value)
        case _:
            parsed = None
    if parsed is None:
        raise UsageError(f"row {row}: field {field.name!r} must be a {field.kind}, and is {_shown(value)}")
    return parsed


def _parsed(parse: Any, text: str) -> Any:
    try:
        return parse(text)
    except ValueError:
        return None


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text[:40]}…" if len(text) > 40 else text
