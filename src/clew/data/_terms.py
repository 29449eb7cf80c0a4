"""What a contract consists of, and the refusal of one that contradicts itself."""

import datetime as dt
import io
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal

import msgspec
import polars as pl

from clew.data._logical import dtype_of
from clew.data._separable import holds_code
from clew.errors import DataError, UsageError

Severity = Literal["error", "warning"]
_NO_PYTHON: Final = "say it without Python functions (map_elements, map_batches)"


class Column(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a column must be like; what isn't said isn't checked. One that isn't `required` may be missing as a whole.

    A value is missing when it is null or NaN, and with `zero_means_unknown` also when it is 0. `nullable` speaks of
    null and NaN, `max_missing_share` of all that is missing. Bounds, `allowed` and `pattern` speak of values that
    are not missing. `pattern` is a regular expression that a text must contain: anchor it with ^ and $.
    """

    type: str
    required: bool = True
    nullable: bool = True
    max_missing_share: float | None = None
    zero_means_unknown: bool = False
    min: Any = None
    max: Any = None
    allowed: tuple[Any, ...] | None = None
    pattern: str | None = None
    unique: bool = False
    severity: Severity = "error"
    note: str = ""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A named condition over a row (or, with aggregates, over the table): SQL, or an expression of polars.

    `expr` is SQL; `polars` is what `pl.Expr.meta.serialize(format="json")` gives, which `Rule.of` writes. As with
    CHECK in SQL, a rule fails where it is false, not where it is unknown because a value is null.
    """

    name: str
    expr: str | None = None
    polars: str | None = None
    severity: Severity = "error"
    note: str = ""

    @classmethod
    def of(cls, name: str, expr: pl.Expr, *, severity: Severity = "error") -> "Rule":
        """A rule from an expression that is true in good rows. Raises UsageError for one with Python inside."""
        try:
            text = expr.meta.serialize(format="json")
        except pl.exceptions.PolarsError as error:
            raise UsageError(f"rule {name!r} can't be kept: {first_line(error)}", mend=_NO_PYTHON) from error
        if holds_code(text):
            raise UsageError(f"rule {name!r} can't be kept: it holds a Python function", mend=_NO_PYTHON)
        return cls(name=name, polars=text, severity=severity, note=str(expr))

    def condition(self) -> pl.Expr:
        """What is true in good rows. Raises polars' errors, and ValueError, for what can't be read.

        Python inside is never loaded: a contract may come from elsewhere.
        """
        if self.expr is not None:
            return pl.sql_expr(self.expr)
        if holds_code(self.polars or ""):
            raise ValueError("it holds a Python function")
        return pl.Expr.deserialize(io.StringIO(self.polars or ""), format="json")

    @property
    def said(self) -> str:
        """The condition as people read it."""
        return self.expr if self.expr is not None else self.note or "an expression of polars"


class TermsError(Exception):
    """A contract that contradicts itself; `path` leads to the place (`("columns", "price", "min")`)."""

    def __init__(self, path: tuple[str, ...], problem: str, mend: str) -> None:
        super().__init__(problem)
        self.path = path
        self.problem = problem
        self.mend = mend

    def usage(self, line: int | None = None) -> UsageError:
        """The error for people, with the line where it is known."""
        where = f"contract, line {line}" if line else "contract"
        return UsageError(f"{where}, {'.'.join(self.path)}: {self.problem}", mend=self.mend)


def check_column(name: str, column: Column) -> None:
    """Raise TermsError where a column's terms contradict each other or its type."""
    at = ("columns", name)
    try:
        dtype = dtype_of(column.type)
    except DataError as error:
        raise TermsError((*at, "type"), error.message, error.mend or "") from error
    _check_missing(at, column, dtype)
    for key, value in (("min", column.min), ("max", column.max)):
        if value is not None and not _bounds(dtype, value):
            raise TermsError(
                (*at, key), f"{value!r} is no bound for {column.type}", f"write a {column.type}, or leave it"
            )
    if column.min is not None and column.max is not None and column.min > column.max:
        raise TermsError((*at, "min"), f"min {column.min} is above max {column.max}", "swap or correct them")
    if column.allowed is not None:
        if not column.allowed:
            raise TermsError((*at, "allowed"), "no value at all is allowed", "list the values, or leave it out")
        for value in column.allowed:
            if not _fits(dtype, value):
                raise TermsError((*at, "allowed"), f"{value!r} is no {column.type}", "correct the value or the type")
    if column.pattern is not None:
        _check_pattern((*at, "pattern"), column.pattern, dtype)


def _check_missing(at: tuple[str, ...], column: Column, dtype: pl.DataType) -> None:
    share = column.max_missing_share
    if share is not None and not 0 <= share <= 1:
        raise TermsError((*at, "max_missing_share"), f"{share} is no share", "write a number from 0 to 1")
    if column.zero_means_unknown and not dtype.is_numeric():
        raise TermsError((*at, "zero_means_unknown"), f"{column.type} has no zero", "leave it out")
    if not column.nullable and share and not column.zero_means_unknown:
        raise TermsError((*at, "max_missing_share"), "nothing may be missing where nullable is false", "leave one out")


def _check_pattern(at: tuple[str, ...], pattern: str, dtype: pl.DataType) -> None:
    if not _is_text(dtype):
        raise TermsError(at, f"a pattern fits text, not {dtype}", "leave it out")
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.PolarsError as error:
        raise TermsError(
            at, f"no regular expression: {first_line(error)}", "correct it; look-around isn't known"
        ) from error


def check_rule(index: int, rule: Rule) -> None:
    """Raise TermsError for a rule without a name or whose SQL can't be parsed."""
    at = ("rules", str(index + 1))
    if not rule.name.strip():
        raise TermsError((*at, "name"), "a rule needs a name", "say what it holds")
    if (rule.expr is None) == (rule.polars is None):
        raise TermsError((*at, "expr"), "a rule is either SQL or polars", "give expr, or polars")
    if rule.expr is not None:
        check_sql((*at, "expr"), rule.expr)


def check_sql(at: tuple[str, ...], expr: str) -> None:
    """Raise TermsError for what is no SQL condition."""
    try:
        pl.sql_expr(expr)
    except pl.exceptions.PolarsError as error:
        raise TermsError(at, f"no SQL condition: {first_line(error)}", "write one such as price > 0") from error


def check_names(columns: dict[str, Column], at: tuple[str, ...], names: Iterable[str]) -> None:
    """Raise TermsError for a name that is no column of the contract."""
    for name in names:
        if name not in columns:
            raise TermsError(at, f"{name!r} is no column of the contract", f"add [columns.{name}] or leave it")


def duplicates(rules: tuple[Rule, ...]) -> Iterator[int]:
    """The places of rules whose name was taken by one before."""
    seen: set[str] = set()
    for index, rule in enumerate(rules):
        if rule.name in seen:
            yield index
        seen.add(rule.name)


def first_line(error: BaseException) -> str:
    """The first line of a library's error."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _is_text(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.String | pl.Enum | pl.Categorical)


def _bounds(dtype: pl.DataType, value: Any) -> bool:
    number = value == value  # noqa: PLR0124  NaN bounds nothing
    return number and not _is_text(dtype) and dtype != pl.Boolean and _fits(dtype, value)


def _fits(dtype: pl.DataType, value: Any) -> bool:
    """Whether a value of the contract can be compared with the column's."""
    if isinstance(value, bool):
        return dtype == pl.Boolean
    if isinstance(value, int | float):
        return (
            dtype.is_float()
            or dtype.is_decimal()
            or (dtype.is_integer() and (isinstance(value, int) or value.is_integer()))
        )
    if isinstance(value, dt.datetime):
        return isinstance(dtype, pl.Datetime) and (dtype.time_zone is None) == (value.tzinfo is None)
    if isinstance(value, dt.date):
        return dtype == pl.Date
    if isinstance(value, dt.time):
        return dtype == pl.Time
    return isinstance(value, str) and _is_text(dtype)
