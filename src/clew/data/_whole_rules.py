"""Rules about a table as a whole that its batches add up to: its age, its slices, its distributions, its rows."""

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl

from clew.data._asked import Asked
from clew.data._results import RuleResult
from clew.data.profile import ColumnProfile, Profile, counted

WRONG: Final = 0.001
"""Of checks of a column that is within its bound, at most so many say that it drifted."""


@dataclass
class Newest(Asked):
    """The newest value of a column is not older than a span before a moment."""

    moment: dt.datetime
    within: dt.timedelta
    newest: Any = None

    def wanted(self) -> list[pl.Expr]:
        """The newest of the batch."""
        return [pl.col(self.roots[0]).max()]

    def take(self, batch: pl.DataFrame, start: int, values: Sequence[Any]) -> None:
        """Keep the newest of all."""
        del batch, start
        (value,) = values
        if value is not None and (self.newest is None or value > self.newest):
            self.newest = value

    def result(self, rows: int) -> RuleResult:
        """How old the newest value is."""
        del rows
        if self.error is not None:
            return self.failed(self.error)
        if self.newest is None:
            return RuleResult(self.rule, self.column, self.severity, passed=False, detail="there is no value")
        age = self.moment - _moment(self.newest)
        detail = f"the newest is {self.newest}, {_span(age)} before {self.moment:%Y-%m-%d %H:%M}"
        return RuleResult(self.rule, self.column, self.severity, passed=age <= self.within, detail=detail)


def _moment(value: dt.date) -> dt.datetime:
    if not isinstance(value, dt.datetime):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    return value if value.tzinfo else value.replace(tzinfo=dt.UTC)


def _span(age: dt.timedelta) -> str:
    hours = age.total_seconds() / 3600
    return f"{hours / 24:,.1f} days" if abs(hours) >= 48 else f"{hours:,.1f} hours"


@dataclass
class Cover(Asked):
    """A slice has so many rows, or such a share of them."""

    where: pl.Expr
    min_rows: int | None
    min_share: float | None
    count: int = field(default=0, init=False)

    def wanted(self) -> list[pl.Expr]:
        """The slice's rows."""
        return [self.where.sum()]

    def take(self, batch: pl.DataFrame, start: int, values: Sequence[Any]) -> None:
        """Add them up."""
        del batch, start
        self.count += int(values[0] or 0)

    def result(self, rows: int) -> RuleResult:
        """Whether there are enough."""
        if self.error is not None:
            return self.failed(self.error)
        share = self.count / rows if rows else 0.0
        enough = self.count >= (self.min_rows or 0) and share >= (self.min_share or 0.0)
        wanted = [f"{self.min_rows:,} rows"] if self.min_rows is not None else []
        wanted += [f"{self.min_share:.2%}"] if self.min_share is not None else []
        detail = f"{self.count:,} rows ({share:.2%}), at least {' and '.join(wanted)} wanted"
        return RuleResult(self.rule, self.column, self.severity, passed=enough, detail=detail)


@dataclass
class Moved(Asked):
    """A column's distribution over the bins of a snapshot is near that of the snapshot: see `drift_of`."""

    before: ColumnProfile
    most: float
    after: ColumnProfile = field(init=False)

    def __post_init__(self) -> None:
        self.after = self.before.plus(self.before, -1)

    def take(self, batch: pl.DataFrame, start: int, values: Sequence[Any]) -> None:
        """Count the batch."""
        del start, values
        name = self.roots[0]
        empty = self.before.plus(self.before, -1)
        self.after = self.after.plus(counted(Profile(0, {name: empty}), [batch]).columns[name])

    def result(self, rows: int) -> RuleResult:
        """How far it moved, at least."""
        if self.error is not None:
            return self.failed(self.error)
        if not rows or not sum(self.before.counts):
            return RuleResult(self.rule, self.column, self.severity, passed=True, detail="one of both has no row")
        distance, surely = drift_of(self.before.counts, self.after.counts)
        detail = f"{distance:.3f} apart, surely {surely:.3f}; at most {self.most:g} wanted"
        return RuleResult(self.rule, self.column, self.severity, passed=surely <= self.most, detail=detail)


def drift_of(before: Sequence[int], after: Sequence[int]) -> tuple[float, float]:
    """The total variation between two counts over the same bins, and what it surely is, for all the chance in both.

    The observed shares of k bins in n independent rows are farther than e from the true ones with a chance of at
    most 2**k exp(-2 n e**2) (Bretagnolle, Huber and Carol; van der Vaart and Wellner 1996, A.6.6). Both samples'
    e, at half of `WRONG` each, are taken off.
    """
    a, b = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    distance = float(np.abs(a / a.sum() - b / b.sum()).sum() / 2)
    chance = sum(math.sqrt((len(a) * math.log(2) + math.log(2 / WRONG)) / (2 * n)) for n in (a.sum(), b.sum()))
    return distance, max(0.0, distance - chance)
