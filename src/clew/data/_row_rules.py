"""Rules that a row breaks by itself, or beside the row before it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from clew.data._asked import AskedOfRows
from clew.data._results import RuleResult, shown
from clew.data._separable import is_separable
from clew.data._terms import Column, Rule, first_line


@dataclass
class Probe(AskedOfRows):
    """A condition that is true in failing rows; with `tolerated` the rule fails when more than this share of rows is.

    Rows alone are what it must speak of: see `Aside` for others.
    """

    fails: pl.Expr = field(default_factory=lambda: pl.lit(value=False))
    tolerated: float = 0.0

    def wanted(self) -> list[pl.Expr]:
        """How many rows fail: a sum leaves out what is unknown."""
        return [self.fails.sum()]

    def take(self, batch: pl.DataFrame, start: int, values: Sequence[Any]) -> None:
        """Add them up; the first ones are looked at while they are at hand."""
        if not values[0]:
            return
        self.count += int(values[0])
        if self.lacks_examples:
            self.look(batch, start, self.failing(batch, start))

    def failing(self, batch: pl.DataFrame, start: int) -> pl.Series:
        """The rows where it is true."""
        del start
        found = batch.select(self.fails.fill_null(value=False).alias("")).to_series()
        return found if len(found) == batch.height else found.new_from_index(0, batch.height)

    @property
    def names_rows(self) -> bool:
        """Not where some are tolerated."""
        return self.tolerated == 0

    def passes(self, share: float) -> bool:
        """Whether no more fail than tolerated."""
        return share <= self.tolerated


@dataclass
class Order(AskedOfRows):
    """A column that never goes down from one known value to the next."""

    last: pl.Series | None = None

    def take(self, batch: pl.DataFrame, start: int, values: Sequence[Any]) -> None:
        """Compare the batch with itself and with the last value before it."""
        del values
        failing = self.failing(batch, start)
        found = int(failing.sum())
        if found:
            self.count += found
            self.look(batch, start, failing)

    def failing(self, batch: pl.DataFrame, start: int) -> pl.Series:
        """The rows whose value is below the known one before."""
        del start
        series = batch[self.roots[0]]
        ahead = series if self.last is None else pl.concat([self.last, series])
        if series.null_count() < len(series):
            self.last = series.drop_nulls().tail(1)
        before = ahead.forward_fill().shift(1)
        return (ahead < before).fill_null(value=False).tail(len(series))

    def rewind(self) -> None:
        """No value came before."""
        self.last = None


@dataclass
class Aside(AskedOfRows):
    """A condition over rows that needs other rows too (`x > mean(x)`): polars answers it over its columns at once."""

    fails: pl.Expr = field(default_factory=lambda: pl.lit(value=False))
    mask: pl.Series | None = None

    def ask(self, frame: pl.LazyFrame) -> None:
        """Find the failing rows of the whole table; a bit for each is kept."""
        try:
            fails = self.fails.fill_null(value=False).alias("")
            self.mask = frame.select(self.roots).select(fails).collect(engine="streaming").to_series()
            self.count = int(self.mask.sum())
        except pl.exceptions.PolarsError as error:
            self.error = first_line(error)

    def failing(self, batch: pl.DataFrame, start: int) -> pl.Series:
        """The rows of this stretch."""
        assert self.mask is not None
        return self.mask.slice(start, batch.height)


@dataclass
class Whole(AskedOfRows):
    """A condition over the table: aggregates, answered by polars' streaming engine."""

    fails: pl.Expr = field(default_factory=lambda: pl.lit(value=False))
    broken: bool = False

    @property
    def names_rows(self) -> bool:
        """No row more than another."""
        return False

    def take_answer(self, answer: object) -> None:
        """Take whether it is false."""
        self.broken = bool(answer)

    def failing(self, batch: pl.DataFrame, start: int) -> pl.Series:
        """No row more than another."""
        del start
        return pl.Series([False]).new_from_index(0, batch.height)

    def result(self, rows: int) -> RuleResult:
        """True or false."""
        del rows
        if self.error is not None:
            return self.failed(self.error)
        detail = "false over the table" if self.broken else ""
        return RuleResult(self.rule, self.column, self.severity, passed=not self.broken, detail=detail)


def ask_whole(rules: Sequence[Whole], frame: pl.LazyFrame) -> None:
    """Answer aggregates: one query for all that read the same columns, so that no more of the table is held."""
    together: dict[tuple[str, ...], list[Whole]] = {}
    for one in rules:
        together.setdefault(tuple(sorted(one.roots)), []).append(one)
    for roots, some in together.items():
        if not _answered(some, frame.select(roots)):
            for one in some:
                _answered([one], frame.select(roots))


def _answered(rules: Sequence[Whole], frame: pl.LazyFrame) -> bool:
    """Whether polars had an answer; one rule alone keeps its error."""
    try:
        asked = [one.fails.alias(str(at)) for at, one in enumerate(rules)]
        answers = frame.select(asked).collect(engine="streaming").row(0)
    except pl.exceptions.PolarsError as error:
        if len(rules) == 1:
            rules[0].error = first_line(error)
        return False
    for one, answer in zip(rules, answers, strict=True):
        one.take_answer(answer)
    return True


def of_column(name: str, column: Column, dtype: pl.DataType) -> list[Probe]:
    """What a column's own terms ask of its rows.

    A comparison with a missing value is unknown, so it fails nowhere; NaN is above all numbers.
    """
    values = pl.col(name)
    floats = dtype.is_float()
    empty = values.is_null() | values.is_nan() if floats else values.is_null()
    zero = column.zero_means_unknown
    missing = empty | (values == 0) if zero else empty
    text = values.cast(pl.String) if isinstance(dtype, pl.Categorical | pl.Enum) else values
    made: list[tuple[str, pl.Expr]] = []
    if not column.nullable:
        made.append(("not null", empty))
    if column.min is not None:
        low = values < column.min
        made.append((f"min {shown(column.min)}", low & (values != 0) if zero else low))
    if column.max is not None:
        high = values > column.max
        high = high & values.is_not_nan() if floats else high
        made.append((f"max {shown(column.max)}", high & (values != 0) if zero else high))
    if column.allowed is not None:
        made.append(("allowed", missing.not_() & text.is_in(list(column.allowed)).not_()))
    if column.pattern is not None:
        made.append((f"pattern {column.pattern}", text.str.contains(column.pattern).not_()))
    probes = [Probe(rule, name, column.severity, (name,), (name,), fails) for rule, fails in made]
    if column.max_missing_share is not None:
        rule = f"max_missing_share {column.max_missing_share}"
        share = column.max_missing_share
        probes.append(Probe(rule, name, column.severity, (name,), (), missing, tolerated=share))
    return probes


def of_rule(rule: Rule, schema: pl.Schema) -> Probe | Aside | Whole | RuleResult:
    """A rule of the user's, or why it can't be evaluated; tried on a table without rows."""

    def lost(error: str) -> RuleResult:
        return RuleResult(rule.name, None, rule.severity, passed=False, error=f"{error} ({rule.said})")

    try:
        holds = rule.condition()
        tried = schema.to_frame().select(holds.alias("row"))
        names = tuple(name for name in dict.fromkeys(holds.meta.root_names()) if name in schema) or tuple(schema)
    except (pl.exceptions.PolarsError, ValueError) as error:
        return lost(first_line(error))
    if tried.schema["row"] != pl.Boolean:
        return lost(f"it gives {tried.schema['row']}, not true or false")
    if tried.height > 0:  # only an aggregate has a row where the table has none
        return Whole(rule.name, None, rule.severity, names, (), holds.not_())
    kind: Mapping[bool, type[Probe | Aside]] = {True: Probe, False: Aside}
    return kind[is_separable(holds)](rule.name, None, rule.severity, names, names, holds.not_())
