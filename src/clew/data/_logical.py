"""Logical types: one name for what a column holds, whatever library or encoding carries it.

The names are used in content ids, contracts and messages:

    null bool int8 … int128 uint8 … uint128 float16 float32 float64 string binary date
    binary[16]  time[ns]  timestamp[us]  timestamp[us, Europe/Zurich]  duration[ms]  decimal[10, 2]
    enum["low", "high"]  list[T]  array[T, 3]  struct["a": T, "b": T]  map[K, V]
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import polars as pl
import pyarrow as pa
from polars.datatypes import DataTypeClass

from clew.errors import DataError

Kind = Literal["null", "bool", "fixed", "bytes", "list", "array", "struct"]

_ENUM_KEY: Final = b"_PL_ENUM_VALUES2"
_ENUM_KEY_BEFORE_2: Final = b"_PL_ENUM_VALUES"
_CAST_MEND: Final = "cast or drop the column before adding the table"


@dataclass(frozen=True, slots=True)
class LogicalType:
    """A type as content ids see it: its name, the shape of its canonical form, its children.

    `width` is bytes per value for "fixed", values per row for "array", else 0.
    """

    name: str
    kind: Kind
    width: int = 0
    children: tuple["LogicalType", ...] = ()


def _refused(column: str, shown: object, why: str) -> DataError:
    return DataError(f"column {column!r} of type {shown} can't be represented: {why}", mend=_CAST_MEND)


# --- from Arrow ------------------------------------------------------------------------------------------------


def logical_of_field(field: pa.Field, column: str | None = None) -> LogicalType:
    """The logical type of an Arrow field; polars' enums are recognised by the field's metadata.

    Raises DataError naming the column and the type for unions, intervals and extension types.
    """
    column = field.name if column is None else column
    kind: pa.DataType = field.type
    if isinstance(kind, pa.BaseExtensionType):
        raise _refused(column, kind, "what an extension type's bytes mean is known to its library only")
    if pa.types.is_dictionary(kind):
        categories = _enum_categories(field)
        if categories is not None:
            return _enum(categories)
        return logical_of_field(pa.field(field.name, kind.value_type), column)
    if pa.types.is_run_end_encoded(kind):
        return logical_of_field(pa.field(field.name, kind.value_type), column)
    return _nested(kind, column) or _flat(kind, column)


def _nested(kind: pa.DataType, column: str) -> LogicalType | None:
    types = pa.types
    if types.is_map(kind):
        key = logical_of_field(kind.key_field, column)
        item = logical_of_field(kind.item_field, column)
        entry = LogicalType("", "struct", children=(key, item))
        return LogicalType(f"map[{key.name}, {item.name}]", "list", children=(entry,))
    if types.is_fixed_size_list(kind):
        child = logical_of_field(kind.value_field, column)
        return LogicalType(f"array[{child.name}, {kind.list_size}]", "array", kind.list_size, (child,))
    if types.is_list(kind) or types.is_large_list(kind) or isinstance(kind, pa.ListViewType | pa.LargeListViewType):
        child = logical_of_field(kind.value_field, column)
        return LogicalType(f"list[{child.name}]", "list", children=(child,))
    if types.is_struct(kind):
        children = tuple(logical_of_field(kind.field(i), column) for i in range(kind.num_fields))
        inner = ", ".join(f"{_quoted(kind.field(i).name)}: {child.name}" for i, child in enumerate(children))
        return LogicalType(f"struct[{inner}]", "struct", children=children)
    return None


_FLAT: Final[dict[pa.DataType, LogicalType]] = {
    pa.null(): LogicalType("null", "null"),
    pa.bool_(): LogicalType("bool", "bool"),
    pa.float16(): LogicalType("float16", "fixed", 2),
    pa.float32(): LogicalType("float32", "fixed", 4),
    pa.float64(): LogicalType("float64", "fixed", 8),
    pa.date32(): LogicalType("date", "fixed", 4),
    pa.date64(): LogicalType("date64", "fixed", 8),
    **{
        getattr(pa, f"{sign}int{n}")(): LogicalType(f"{sign}int{n}", "fixed", n // 8)
        for sign in ("", "u")
        for n in (8, 16, 32, 64)
    },
    **{kind: LogicalType("string", "bytes") for kind in (pa.string(), pa.large_string(), pa.string_view())},
    **{kind: LogicalType("binary", "bytes") for kind in (pa.binary(), pa.large_binary(), pa.binary_view())},
}


def _flat(kind: pa.DataType, column: str) -> LogicalType:
    types = pa.types
    if kind in _FLAT:
        return _FLAT[kind]
    if types.is_fixed_size_binary(kind):
        return LogicalType(f"binary[{kind.byte_width}]", "fixed", kind.byte_width)
    if types.is_timestamp(kind):
        return LogicalType(f"timestamp[{kind.unit}{f', {kind.tz}' if kind.tz else ''}]", "fixed", 8)
    if types.is_duration(kind):
        return LogicalType(f"duration[{kind.unit}]", "fixed", 8)
    if types.is_time(kind):
        return LogicalType(f"time[{kind.unit}]", "fixed", kind.bit_width // 8)
    if types.is_decimal(kind):
        return LogicalType(f"decimal[{kind.precision}, {kind.scale}]", "fixed", 16 if kind.precision <= 38 else 32)
    raise _refused(column, kind, "no stored format keeps this type")


def _enum_categories(field: pa.Field) -> tuple[str, ...] | None:
    """The categories polars wrote into an enum's field: one after the other, each as `length in bytes;text`."""
    metadata = field.metadata or {}
    if _ENUM_KEY_BEFORE_2 in metadata and _ENUM_KEY not in metadata:
        raise _refused(field.name, "enum", "its categories were written by a polars older than 1.32")
    raw = metadata.get(_ENUM_KEY)
    if raw is None:
        return None
    categories: list[str] = []
    at = 0
    try:
        while at < len(raw):
            start = raw.index(b";", at) + 1
            at = start + int(raw[at : start - 1])
            categories.append(raw[start:at].decode())
    except ValueError as error:
        raise _refused(field.name, "enum", "its categories in the field's metadata can't be read") from error
    return tuple(categories)


def _enum(categories: tuple[str, ...]) -> LogicalType:
    return LogicalType(f"enum{json.dumps(list(categories), ensure_ascii=False)}", "bytes")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


# --- from polars -----------------------------------------------------------------------------------------------


def logical_of_dtype(dtype: pl.DataType | DataTypeClass, column: str = "") -> LogicalType:
    """The logical type of a polars type.

    Raises DataError naming the column and the type for Object, extension types and nested 128-bit integers.
    """
    if isinstance(dtype, (pl.Int128, pl.UInt128)) or dtype in (pl.Int128, pl.UInt128):
        return LogicalType("int128" if dtype == pl.Int128 else "uint128", "fixed", 16)
    for inner in _walk(dtype):
        if inner == pl.Object:
            raise _refused(column, dtype, "Object holds Python objects of this process")
        if isinstance(inner, pl.BaseExtension):
            raise _refused(column, dtype, "what an extension type's bytes mean is known to its library only")
        if inner in (pl.Int128, pl.UInt128):
            raise _refused(column, dtype, "a 128-bit integer inside a nested type has no Arrow form")
        if inner == pl.Unknown:
            raise _refused(column, dtype, "the type isn't known yet")
        if isinstance(inner, pl.Struct) and any("\0" in field.name for field in inner.fields):
            raise _refused(column, dtype, "a field's name holds a zero byte")
    if "\0" in column:
        raise _refused(column, dtype, "its name holds a zero byte")
    return logical_of_field(pl.DataFrame(schema={column: dtype}).to_arrow().schema.field(0), column)


def _walk(dtype: pl.DataType | DataTypeClass) -> Iterator[pl.DataType | DataTypeClass]:
    yield dtype
    if isinstance(dtype, (pl.List, pl.Array)):
        yield from _walk(dtype.inner)
    elif isinstance(dtype, pl.Struct):
        for field in dtype.fields:
            yield from _walk(field.dtype)
    elif isinstance(dtype, pl.Map):
        yield from _walk(dtype.key)
        yield from _walk(dtype.value)


def type_name(dtype: pl.DataType | DataTypeClass, column: str = "") -> str:
    """The logical name of a polars type, as contracts write it; errors as `logical_of_dtype`."""
    return logical_of_dtype(dtype, column).name


# --- back to polars --------------------------------------------------------------------------------------------

_SIMPLE: Final[dict[str, pl.DataType]] = {
    "null": pl.Null(),
    "bool": pl.Boolean(),
    "string": pl.String(),
    "binary": pl.Binary(),
    "date": pl.Date(),
    "time[ns]": pl.Time(),
    "float16": pl.Float16(),
    "float32": pl.Float32(),
    "float64": pl.Float64(),
    **{
        f"{sign}int{n}": getattr(pl, f"{'U' if sign else ''}Int{n}")()
        for sign in ("", "u")
        for n in (8, 16, 32, 64, 128)
    },
}


def dtype_of(name: str) -> pl.DataType:
    """The polars type that a logical name stands for.

    Raises DataError when the name is none, or names a type that polars doesn't have.
    """
    try:
        dtype, rest = _parse(name.strip())
    except (ValueError, KeyError, pl.exceptions.PolarsError) as error:
        raise _no_type(name) from error
    if rest:
        raise _no_type(name)
    return dtype


def _no_type(name: str) -> DataError:
    return DataError(
        f"{name!r} is not a type",
        mend='write one like int64, float64, string, date, timestamp[us, UTC], decimal[10, 2], enum["a", "b"], '
        "list[int64]",
    )


def _parse(text: str) -> tuple[pl.DataType, str]:
    """One type from the start of the text, and what follows it."""
    head = _head(text)
    if head in _SIMPLE and not text[len(head) :].startswith("["):
        return _SIMPLE[head], text[len(head) :]
    if text.startswith("time[ns]"):
        return _SIMPLE["time[ns]"], text[len("time[ns]") :]
    body = text[len(head) :]
    if not body.startswith("["):
        raise ValueError(text)
    if head == "enum":
        categories, end = json.JSONDecoder().raw_decode(body)
        return pl.Enum(categories), body[end:]
    return _parse_nested(head, body[1:]) if head in _NESTED else _parse_flat(head, body[1:])


def _head(text: str) -> str:
    end = 0
    while end < len(text) and text[end].isalnum():
        end += 1
    return text[:end]


_NESTED: Final = frozenset({"list", "array", "struct", "map"})


def _parse_nested(head: str, body: str) -> tuple[pl.DataType, str]:
    if head == "struct":
        return _parse_struct(body)
    first, rest = _parse(body)
    if head == "list":
        return pl.List(first), _after(rest, "]")
    rest = _after(rest, ",")
    if head == "map":
        second, rest = _parse(rest)
        return pl.Map(first, second), _after(rest, "]")
    size, _, rest = rest.partition("]")
    return pl.Array(first, int(size)), rest


def _parse_struct(body: str) -> tuple[pl.DataType, str]:
    fields: list[pl.Field] = []
    rest = body.lstrip()
    while not rest.startswith("]"):
        if fields:
            rest = _after(rest, ",")
        name, end = json.JSONDecoder().raw_decode(rest)
        dtype, rest = _parse(_after(rest[end:], ":"))
        fields.append(pl.Field(str(name), dtype))
        rest = rest.lstrip()
    return pl.Struct(fields), rest[1:]


def _after(text: str, sign: str) -> str:
    text = text.lstrip()
    if not text.startswith(sign):
        raise ValueError(text)
    return text[len(sign) :].lstrip() if sign != "]" else text[1:]


def _parse_flat(head: str, body: str) -> tuple[pl.DataType, str]:
    inside, closed, rest = body.partition("]")
    words = [word.strip() for word in inside.split(",")]
    if not closed:
        raise ValueError(body)
    unit: Any = words[0]
    if head == "timestamp" and unit in {"ms", "us", "ns"} and len(words) <= 2:
        return pl.Datetime(unit, words[1] if len(words) == 2 else None), rest
    if head == "duration" and unit in {"ms", "us", "ns"} and len(words) == 1:
        return pl.Duration(unit), rest
    if head == "decimal" and len(words) == 2:
        return pl.Decimal(int(words[0]), int(words[1])), rest
    raise ValueError(body)
