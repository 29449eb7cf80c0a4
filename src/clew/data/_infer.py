"""A first contract from data: what a careful person would write, who knows that later data will differ.

Margins, so that an honest next delivery doesn't break it:
- what grows (prices, areas, counts) may grow tenfold, counts threefold; a strictly positive measure seen in 1,000
  rows or more may shrink tenfold, which still refuses zeros that stand for unknown (where some of its values are
  small already, this is a warning);
- what lies in a band far from zero (coordinates, temperatures) may leave the band by its width;
- what runs on (dates, years, ids) has no upper bound;
- missing values may triple in share, and be 1% more, but half of what was there must stay; a measure that was always
  there may be missing in a few rows;
- a list of categories is closed only where the first eighth of the rows had all of them, and none is rarer than 5:
  the other seven eighths brought nothing new;
- half the rows may be missing.

What is usual of the table as a whole (levels, relations between columns, shares) is said as warnings: `_usual`.
"""

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

import polars as pl

from clew.data._logical import type_name
from clew.data._natural_key import natural_key
from clew.data._numbers import is_count, is_running, is_year, known, odd_zeros, order_pairs, words, years_after
from clew.data._patterns import alphabet_pattern, code_pattern, id_pattern
from clew.data._sql import name_of, text_of
from clew.data._sums import sum_rules
from clew.data._table_terms import Slice
from clew.data._terms import Column, Rule
from clew.data._usual import usual_rules, usual_slices

_FEW_ROWS: Final = 30
_LOST: Final = 5.0  # rows of a delivery as large in which a measure may be missing that never was
_MANY_ROWS: Final = 1000
_CATEGORIES: Final = 30
_RARE: Final = 5
_STAND_INS: Final = (-99999, -9999, -999, 9999, 99999, 999999)
_KEY_WORDS: Final = frozenset({"id", "key", "uuid", "guid", "code", "number", "no", "nr", "ref"})


@dataclass
class Terms:
    """What `infer` found out of a table."""

    columns: dict[str, Column] = field(default_factory=dict)
    min_rows: int | None = None
    key: tuple[str, ...] = ()
    monotone: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    slices: tuple[Slice, ...] = ()


def infer_terms(data: pl.DataFrame | pl.LazyFrame) -> Terms:
    """The terms of a table; only types under 30 rows."""
    frame = data.collect() if isinstance(data, pl.LazyFrame) else data
    if frame.height < _FEW_ROWS:
        return Terms({name: Column(type=type_name(dtype, name)) for name, dtype in frame.schema.items()})
    ids = _key(frame)
    key = ids or natural_key(frame)
    columns = {name: _column(frame[name], frame, is_key=name in ids) for name in frame.columns}
    said = chain(
        _order_rules(frame),
        sum_rules(frame),
        _next_to_nothing(frame, columns),
        _stand_ins(frame, columns),
        _texts_rules(frame, columns),
        usual_rules(frame, frozenset(ids)),
    )
    return Terms(
        columns=columns,
        min_rows=_half(frame.height),
        key=key,
        monotone=tuple(name for name in frame.columns if _is_ordered(frame[name])),
        rules=tuple({rule.name: rule for rule in said}.values()),
        slices=tuple(usual_slices(frame, frozenset(ids))),
    )


def _half(rows: int) -> int:
    """Half of the rows, two digits of it."""
    step = int(10 ** max(0, len(str(rows // 2)) - 2))
    return rows // 2 // step * step


def _key(frame: pl.DataFrame) -> tuple[str, ...]:
    """The first column that identifies rows, by its values and by its name or place."""
    for place, (name, dtype) in enumerate(frame.schema.items()):
        fits = dtype.is_integer() or isinstance(dtype, pl.String | pl.Categorical)
        named = bool(words(name) & _KEY_WORDS) or (place == 0 and isinstance(dtype, pl.String))
        if fits and named and frame[name].null_count() == 0 and frame[name].is_unique().all():
            return (name,)
    return ()


def _is_ordered(series: pl.Series) -> bool:
    """A time by which the table is sorted, with enough steps that it can't be chance."""
    if not isinstance(series.dtype, pl.Date | pl.Datetime) or series.null_count():
        return False
    return series.n_unique() >= 10 and series.is_sorted()


def _column(series: pl.Series, frame: pl.DataFrame, *, is_key: bool) -> Column:
    said: dict[str, Any] = {"type": type_name(series.dtype, series.name)}
    zeros = odd_zeros(series, frame) if series.dtype.is_numeric() else 0
    if zeros:
        said["zero_means_unknown"] = True
        said["note"] = f"0 in {zeros:,} of {len(series):,} rows seems to stand for unknown"
    empty = series.null_count()
    if series.dtype.is_float():
        empty += int(series.is_nan().sum())
    said["nullable"] = empty > 0
    if not empty and series.dtype.is_float() and len(series) >= _MANY_ROWS:
        # a measure that was always there may be lost now and then
        said |= {"nullable": True, "max_missing_share": _nice(_LOST / len(series), up=True)}
    missing = (empty + zeros) / len(series)
    # a column of nulls may fill up or stay; one with some may not lose most of its values
    if missing and missing < 0.9 and series.dtype != pl.Null:
        said["max_missing_share"] = min(math.ceil(50 + 50 * missing) / 100, _nice(3 * missing + 0.01, up=True))
    if series.dtype.is_numeric():
        said |= _bounds(series, is_key=is_key, skip_zeros=zeros > 0)
    elif isinstance(series.dtype, pl.Date | pl.Datetime):
        said |= _earliest(series)
    elif isinstance(series.dtype, pl.String | pl.Categorical):
        said |= _texts(series, is_key=is_key)
    return Column(**said)


def _bounds(series: pl.Series, *, is_key: bool, skip_zeros: bool) -> dict[str, Any]:
    values = known(series)
    if not len(values) or (series.dtype.is_float() and series.is_infinite().any()):
        return {}
    if skip_zeros:
        values = values.filter(values != 0)
    whole = values.dtype.is_integer()
    low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
    bounds = _special(series, values, low, high)
    if bounds is None:
        if low >= 0 and (is_key or is_running(series)):
            bounds = {"min": 0}
        elif low * high > 0 and min(abs(low), abs(high)) > 0.4 * max(abs(low), abs(high)) and high > low:
            width = high - low
            bounds = {"min": _grid(low - width, width, up=False), "max": _grid(high + width, width, up=True)}
        else:
            bounds = _from_zero(values, low, high)
    return {key: int(value) if whole else float(value) for key, value in bounds.items()}


def _special(series: pl.Series, values: pl.Series, low: float, high: float) -> dict[str, float] | None:
    """Bounds that the meaning of the column gives, by name or by kind."""
    named = words(series.name)
    if is_year(series):
        return {"min": math.floor((low - (high - low) / 2) / 50) * 50}
    if named & {"lat", "latitude"} and low >= -90 and high <= 90:
        return {"min": -90, "max": 90}
    if named & {"lon", "lng", "longitude"} and low >= -180 and high <= 180:
        return {"min": -180, "max": 180}
    if named & {"pct", "percent", "percentage"} and low >= 0 and high <= 100:
        return {"min": 0, "max": 100}
    if low >= 0 and high <= 1 and (values.dtype.is_float() or values.n_unique() == 2):
        return {"min": 0, "max": 1}
    return None


def _from_zero(values: pl.Series, low: float, high: float) -> dict[str, float]:
    """Bounds of what is measured or counted from zero."""
    if low < 0:
        return {"min": -_nice(-10 * low, up=True), "max": _nice(10 * high, up=True) if high > 0 else 0}
    if is_count(values):
        return {"min": 0, "max": _nice(3 * max(high, 3), up=True)}
    solid = low > 0 and len(values) >= _MANY_ROWS
    if solid and _swings(values):
        return {"min": -_nice(high, up=True), "max": _nice(10 * high, up=True)}
    if solid and 10 * low < float(values.median()):  # type: ignore[arg-type]
        solid = False  # its lower end is thin: `_next_to_nothing` warns
    least = _nice(low / 10, up=False) if solid else 0
    if values.dtype.is_integer():
        least = math.floor(least)
    return {"min": least, "max": _nice(10 * high, up=True)} if high > 0 else {"min": 0}


def _swings(values: pl.Series) -> bool:
    """A number that lies evenly about its middle, which itself moves much: a temperature, for which 0 is no end."""
    if not values.dtype.is_float() or abs(float(values.skew() or 0)) > 1:
        return False
    tenth = len(values) // 10
    middles = [float(values.slice(i * tenth, tenth).median()) for i in range(10)]  # type: ignore[arg-type]
    spread = float(values.quantile(0.75)) - float(values.quantile(0.25))  # type: ignore[arg-type]
    return max(middles) - min(middles) > spread


def _earliest(series: pl.Series) -> dict[str, Any]:
    """The first of January, its own span and at least a year before the first date; no end."""
    days = series.drop_nulls().cast(pl.Date)
    if not len(days):
        return {}
    first, last = days.min(), days.max()
    if not isinstance(first, dt.date) or not isinstance(last, dt.date):
        return {}
    year = first.year - max(1, math.ceil((last - first).days / 365.25))
    start = dt.date(max(year, 1), 1, 1)
    if isinstance(series.dtype, pl.Datetime):
        zone = dt.UTC if series.dtype.time_zone else None
        return {"min": dt.datetime(start.year, 1, 1, tzinfo=zone)}
    return {"min": start}


def _texts(series: pl.Series, *, is_key: bool) -> dict[str, Any]:
    values = series.drop_nulls().cast(pl.String)
    if is_key:
        shape = id_pattern(values) or code_pattern(values)
        return {"pattern": shape} if shape else {}
    counts = values.value_counts()
    rarest = counts["count"].min()
    if 0 < counts.height <= _CATEGORIES and isinstance(rarest, int) and rarest >= _RARE and len(values) >= 100:
        early = values.head(max(100, len(values) // 8)).n_unique()
        if early == counts.height:
            return {"allowed": tuple(sorted(counts[series.name].to_list()))}
    shape = code_pattern(values)
    return {"pattern": shape} if shape else {}


def _texts_rules(frame: pl.DataFrame, columns: dict[str, Column]) -> Iterator[Rule]:
    """The signs that texts are made of; a warning, for a new name may bring a new one."""
    for name, dtype in frame.schema.items():
        if dtype != pl.String or columns[name].pattern or columns[name].allowed:
            continue
        pattern = alphabet_pattern(frame[name].drop_nulls())
        if pattern is not None:
            condition = f"REGEXP_LIKE({name_of(name)}, {text_of(pattern)})"
            yield Rule(name=f"{name} is written as usual", expr=condition, severity="warning")


def _next_to_nothing(frame: pl.DataFrame, columns: dict[str, Column]) -> Iterator[Rule]:
    """Numbers that were never near zero, though some were small: a warning, for one day they may be."""
    for name, dtype in frame.schema.items():
        if not dtype.is_numeric() or columns[name].min != 0 or columns[name].max in (None, 1, 100):
            continue
        values = known(frame[name])
        if columns[name].zero_means_unknown or len(values) < _MANY_ROWS or is_count(values):
            continue
        low = float(values.min())  # type: ignore[arg-type]
        if low > 0 and 10 * low < float(values.median()):  # type: ignore[arg-type]
            least = _nice(low / 10, up=False)
            bound = f"{max(least, 1) if dtype.is_integer() else least:.10g}"
            yield Rule(name=f"{name} is not next to nothing", expr=f"{name_of(name)} >= {bound}", severity="warning")


def _stand_ins(frame: pl.DataFrame, columns: dict[str, Column]) -> Iterator[Rule]:
    """Numbers that others write for what they don't know, where they would be far from all else and yet in bounds."""
    for name, dtype in frame.schema.items():
        if not dtype.is_numeric() or columns[name].min is None or columns[name].max is None:
            continue
        values = known(frame[name])
        low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
        found = [
            str(number)
            for number in _STAND_INS
            if columns[name].min <= number <= columns[name].max and (number < 2 * min(low, 0) or number > 2 * high)
        ]
        if found:
            condition = f"{name_of(name)} NOT IN ({', '.join(found)})"
            yield Rule(name=f"{name} has no stand-in for unknown", expr=condition, severity="warning")


def _order_rules(frame: pl.DataFrame) -> list[Rule]:
    """One thing before another; warnings, for a few rows may have their reasons."""
    rules = []
    for first, second, by_years in order_pairs(frame):
        if by_years:
            allow = max(0, int(years_after(frame, first, second).max() or 0))  # type: ignore[arg-type]
            later = f"EXTRACT(YEAR FROM {name_of(second)})" + (f" + {allow}" if allow else "")
        elif bool((frame[first] <= frame[second]).all()):
            later = name_of(second)
        else:
            continue  # some rows break it already: a finding, not a rule
        name = f"{first} is not after {second}"
        rules.append(Rule(name=name, expr=f"{name_of(first)} <= {later}", severity="warning"))
    return rules


def _nice(value: float, *, up: bool) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    if value <= 0 or not math.isfinite(value):
        return value
    power = math.floor(math.log10(value))
    steps = [1.0, 2.0, 5.0, 10.0]
    scaled = value / 10.0**power
    fitting = [step for step in steps if (step >= scaled - 1e-9 if up else step <= scaled + 1e-9)]
    step = min(fitting, default=10.0) if up else max(fitting, default=1.0)
    # by division for negative powers: 2 / 100 is 0.02, 2 * 10**-2 needn't be
    return step * 10.0**power if power >= 0 else step / 10.0**-power


def _grid(value: float, width: float, *, up: bool) -> float:
    """Rounded outward to a tenth of the width's power of ten."""
    step = 10.0 ** math.floor(math.log10(width))
    return (math.ceil if up else math.floor)(value / step) * step
