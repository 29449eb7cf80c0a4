"""A schema of pandera's polars side as a contract."""

import importlib.metadata
from collections.abc import Callable
from typing import Any, Final

import polars as pl

from clew.data._foreign import Place, refused
from clew.data._logical import type_name
from clew.data._table_terms import Code
from clew.data._terms import Column, Rule, Severity
from clew.data.contract import Contract
from clew.errors import UsageError

_FLAGS: Final = {
    "coerce": ("casting", "cast before; a contract only looks"),
    "ordered": ("the order of columns", "leave it out"),
    "parsers": ("parsers", "change the table before it is added"),
    "add_missing_columns": ("filling columns in", "fill them in before"),
}


def accepted(value: Any, place: Place, dataset: str, schema: pl.Schema | None) -> Contract:
    """Types, nullability, keys and known checks as terms and expressions; other checks are run as they are."""
    made = value.to_schema() if isinstance(value, type) else value  # type: ignore[attr-defined]
    for flag, (what, mend) in _FLAGS.items():
        if getattr(made, flag, None) or any(getattr(one, flag, None) for one in made.columns.values()):
            raise refused(place, what, mend)
    if made.strict == "filter":
        raise refused(place, "dropping columns (strict='filter')", "strict=True or strict=False")
    if made.unique and len(made.unique) == 1 and isinstance(made.unique[0], list | tuple):
        groups = tuple(tuple(one) for one in made.unique)
    else:
        groups = (tuple(made.unique),) if made.unique else ()
    columns: dict[str, Column] = {}
    rules: list[Rule] = []
    code: list[Code] = []
    for name, column in made.columns.items():
        columns[name] = _column(name, column, place, schema)
        for index, check in enumerate(column.checks):
            _keep(f"{name}: {_named(check, index)}", check, str(index), name, place, rules, code)
    for index, check in enumerate(made.checks):
        _keep(_named(check, index), check, str(index), None, place, rules, code)
    return Contract(
        dataset=dataset,
        made_from=f"pandera {importlib.metadata.version('pandera')}, {place.name} in {place.file}",
        unique=groups,
        extra_columns="error" if made.strict else "ignore",
        columns=columns,
        rules=tuple(rules),
        code=tuple(code),
    )


def _column(name: str, column: Any, place: Place, schema: pl.Schema | None) -> Column:
    if column.regex:
        raise refused(place, f"a pattern of column names ({name})", "name the columns")
    dtype = getattr(column.dtype, "type", None)
    if dtype is None and schema is not None:
        dtype = schema.get(name)  # any type is right: the one that is there
    if dtype is None:
        raise refused(place, f"{name} without a type", "give it one")
    return Column(
        type=type_name(dtype, name), nullable=bool(column.nullable), unique=bool(column.unique),
        required=bool(column.required), note=column.description or "",
    )  # fmt: skip


def _named(check: Any, index: int) -> str:
    name = check.name if check.name and "<" not in str(check.name) else f"check {index + 1}"
    values = ", ".join(f"{value}" for value in (check.statistics or {}).values() if value is not None)
    return f"{name}({values})" if values else str(name)


def _keep(
    name: str, check: Any, index: str, column: str | None, place: Place, rules: list[Rule], code: list[Code]
) -> None:
    """A check as an expression, where it is known, else as the code it is."""
    severity: Severity = "warning" if check.raise_warning else "error"
    taken = {one.name for one in rules} | {one.name for one in code}
    name = name if name not in taken else f"{name} ({index})"
    known = _KNOWN.get(check.name) if column is not None and check.statistics else None
    if known is not None and column is not None and not check.groupby and check.ignore_na:
        try:
            rules.append(Rule.of(name, known(pl.col(column), **check.statistics), severity=severity))
        except (UsageError, TypeError, pl.exceptions.PolarsError):
            pass  # run as it is, then
        else:
            return
    code.append(place.code("pandera", name, index, column, severity))


def _in_range(
    values: pl.Expr, min_value: Any, max_value: Any, include_min: bool = True, include_max: bool = True
) -> pl.Expr:
    low: pl.Expr = values >= min_value if include_min else values > min_value
    high: pl.Expr = values <= max_value if include_max else values < max_value
    return low & high


def _length(values: pl.Expr, **said: Any) -> pl.Expr:
    length = values.str.len_chars()
    exact, low, high = (said.get(name) for name in ("exact_value", "min_value", "max_value"))
    if exact is not None:
        low = high = exact
    fits = pl.lit(value=True) if low is None else length >= low
    return fits if high is None else fits & (length <= high)


def _anchored(pattern: Any) -> str:
    text = str(getattr(pattern, "pattern", pattern))
    return text if text.startswith("^") else f"^{text}"


_KNOWN: Final[dict[str, Callable[..., pl.Expr]]] = {
    "equal_to": lambda values, value: values == value,
    "not_equal_to": lambda values, value: values != value,
    "greater_than": lambda values, min_value: values > min_value,
    "greater_than_or_equal_to": lambda values, min_value: values >= min_value,
    "less_than": lambda values, max_value: values < max_value,
    "less_than_or_equal_to": lambda values, max_value: values <= max_value,
    "in_range": _in_range,
    "isin": lambda values, allowed_values: values.is_in(list(allowed_values)),
    "notin": lambda values, forbidden_values: values.is_in(list(forbidden_values)).not_(),
    "str_matches": lambda values, pattern: values.str.contains(_anchored(pattern)),
    "str_contains": lambda values, pattern: values.str.contains(str(getattr(pattern, "pattern", pattern))),
    "str_startswith": lambda values, string: values.str.starts_with(string),
    "str_endswith": lambda values, string: values.str.ends_with(string),
    "str_length": _length,
}
