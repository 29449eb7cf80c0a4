"""Values made coarser, so that they no longer point at one person: a day of birth to its year, a place to a district.

A generalisation is a word and, but for dates, a number: `year`, `month`, `decade`, `decimals=2`, `first=3`, `step=500`.
Doing it twice is the same as doing it once, so that what comes back from a request fits what was stored.
"""

import datetime as dt
import math
import re
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import polars as pl

from clew.errors import UsageError

How = Literal["year", "month", "decade", "decimals", "first", "step"]
_DATES: Final = frozenset({"year", "month", "decade"})
_ZONE: Final = re.compile(r"(?:Z|[+-]\d\d:?\d\d)$")
_MEND: Final = "year, month, decade (dates), decimals=2, step=500 (numbers), or first=3 (text)"


@dataclass(frozen=True, slots=True)
class Generalisation:
    """How a column's values are made coarser; `by` is the decimals, letters or width of a step."""

    how: How
    by: float = 0

    def __str__(self) -> str:
        return self.how if self.how in _DATES else f"{self.how}={self.by:g}"

    def as_json(self) -> dict[str, Any]:
        """As the catalog keeps it."""
        return {"generalise": str(self)}


def parse(text: str) -> Generalisation:
    """What `year` or `decimals=2` means. Raises UsageError."""
    word, equals, number = text.strip().partition("=")
    if word in _DATES and not equals:
        return Generalisation(cast("How", word))
    try:
        by = float(number)
    except ValueError:
        by = math.nan
    whole = by.is_integer() if math.isfinite(by) else False
    right = {"decimals": whole and 0 <= by <= 12, "first": whole and by >= 1, "step": math.isfinite(by) and by > 0}
    if not equals or not right.get(word, False):
        raise UsageError(f"{text!r} is no way to generalise", mend=_MEND)
    return Generalisation(cast("How", word), by)


def apply(series: pl.Series, how: Generalisation) -> pl.Series:
    """The column, made coarser; its name and missing values stay. Raises UsageError when it doesn't fit the type.

    Dates: `year` and `decade` give whole numbers, `month` the first day of it. Numbers are rounded to decimals or down
    to a step. Texts keep their first letters.
    """
    dtype = series.dtype
    if how.how in _DATES and (isinstance(dtype, pl.Date | pl.Datetime) or dtype == pl.Null):
        dates = series.cast(pl.Date) if dtype == pl.Null else series.dt.date()
        if how.how == "month":
            return dates.dt.truncate("1mo")
        years = dates.dt.year()
        return years if how.how == "year" else (years // 10) * 10
    if how.how == "decimals" and (dtype.is_float() or dtype == pl.Null):
        return series.cast(pl.Float64).round(int(how.by)).cast(pl.Float64 if dtype == pl.Null else dtype)
    if how.how == "step" and (dtype.is_integer() or dtype.is_float()):
        return _stepped(series, how.by)
    if how.how == "first" and isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return series.cast(pl.String).str.slice(0, int(how.by))
    raise UsageError(
        f"column {series.name!r} of type {dtype} can't be generalised by {how}",
        mend=f"{_fits(dtype)}; clew data policy NAME {series.name} generalise --to … says it anew",
    )


def _stepped(series: pl.Series, step: float) -> pl.Series:
    if series.dtype.is_integer() and float(step).is_integer():
        if step > 2**31:
            return (series.cast(pl.Int64) // int(step)) * int(step)
        return (series.cast(pl.Int64) // int(step) * int(step)).cast(series.dtype)
    return (series.cast(pl.Float64) / step).floor() * step


def _fits(dtype: pl.DataType) -> str:
    if dtype.is_temporal():
        return "year, month or decade fit dates"
    if dtype.is_numeric():
        return "step=500 fits numbers, decimals=2 those with a fraction"
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return "first=3 fits text"
    return "drop it, or make a pseudonym of it"


def value(given: Any, how: Generalisation) -> Any:
    """One value as it came in a request, of the type that it has; numbers that don't fit are taken for coarse already.

    A date comes as text (ISO), and stays one: the first day of its year. Raises UsageError for a text that is no
    date, where a date is to be made coarser.
    """
    if given is None or isinstance(given, bool):
        return given
    if how.how in _DATES:
        return _date(given, how.how)
    if isinstance(given, int | float):
        if how.how == "decimals":
            return round(given, int(how.by))
        return _step(given, how.by) if how.how == "step" else given
    if isinstance(given, str) and how.how == "first":
        return given[: int(how.by)]
    raise UsageError(f"a value of type {type(given).__name__} can't be generalised by {how}")


def _step(given: float, step: float) -> float:
    lower = math.floor(given / step) * step
    return int(lower) if isinstance(given, int) and float(step).is_integer() else lower


def _date(given: Any, how: str) -> Any:
    """In the form in which it came: a year as a number, a date or a moment as text, at the beginning of its span."""
    if isinstance(given, int | float):
        return given if how != "decade" else math.floor(given / 10) * 10
    text = str(given)
    try:
        day = dt.date.fromisoformat(text[:10])
    except ValueError:
        raise UsageError(f"a text that is no date can't be generalised by {how}") from None
    if how == "month":
        day = day.replace(day=1)
    else:
        day = dt.date(day.year if how == "year" else max(day.year // 10 * 10, 1), 1, 1)
    zone = _ZONE.search(text)
    return day.isoformat() + (f"T00:00:00{zone[0] if zone else ''}" if len(text) > 10 else "")
