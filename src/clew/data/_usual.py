"""What is usual of a table: levels, relations, shares, whose next values the table's own past foretells.

Each is a statistic over ten stretches of rows, in their order. The next delivery may leave the span of the stretches
by one and a half times its width, so that a trend may go on and a season turn, and by a least margin; what moved by
more than threefold is left unsaid. Every rule is a SQL condition over the table, and a warning: a person decides.
"""

import math
from collections.abc import Iterator
from itertools import combinations, permutations
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from clew.data._numbers import is_running, is_year, known
from clew.data._sql import name_of, number_of, text_of
from clew.data._table_terms import Slice
from clew.data._terms import Rule

_STRETCHES: Final = 10
_LEAST: Final = 1000  # rows, so that a stretch has a hundred
_SAMPLE: Final = 100_000
_FURTHER: Final = 1.5  # times the width of the span: what wanders at random goes on from where it was
_WIDEST: Final = math.log(3)  # of the logarithms of levels: what moves by more foretells nothing
_FEW_VALUES: Final = 20
_ALONG: Final = 0.9  # of a rank correlation with the rows' order
_ONCE: Final = 0.9  # of the values of what is measured finely differ
_SHARE: Final = 0.05  # of a category that is called usual
_ORDERS: Final = 5
_COVERED: Final = 0.98  # of the days between the first and the last

Span = tuple[float, float]


def usual_rules(frame: pl.DataFrame, skip: frozenset[str]) -> Iterator[Rule]:
    """Rules for what is usual; none under 1,000 rows. `skip` names columns that identify rows."""
    if frame.height < _LEAST:
        return
    part = frame.gather_every(max(1, frame.height // _SAMPLE))
    numbers = [name for name in frame.columns if name not in skip and _is_measure(part[name])]
    for name in numbers:
        yield from _level(part[name])
        yield from _round(part[name])
        yield from _one_value(part[name], frame[name])
    for first, second in _partners(part, numbers):
        yield from _ratio(part, first, second)
        yield from _together(part, first, second)
    yield from _orders(part, numbers)
    yield from _dates_beside(part)
    for name, dtype in frame.schema.items():
        if name in skip:
            continue
        if isinstance(dtype, pl.String):
            yield from _lengths(part[name])
        if isinstance(dtype, pl.Date | pl.Datetime):
            yield from _days(frame[name])
        if isinstance(dtype, pl.Datetime):
            yield from _hours(part[name])


def _is_measure(series: pl.Series) -> bool:
    """Numbers of many values that don't run along with the rows."""
    if not series.dtype.is_numeric() or series.dtype.is_decimal() or is_year(series):
        return False
    values = known(series)
    if values.n_unique() <= _FEW_VALUES or len(values) < _LEAST / 2 or is_running(series):
        return False
    with_rows = pl.DataFrame({"x": values}).with_row_index("i").select(pl.corr("i", "x", method="spearman")).item()
    return bool(abs(with_rows) < _ALONG)


def _stretches(frame: pl.DataFrame, count: int = _STRETCHES) -> Iterator[pl.DataFrame]:
    size = frame.height / count
    for i in range(count):
        yield frame.slice(round(i * size), round((i + 1) * size) - round(i * size))


def _span(frame: pl.DataFrame, statistic: pl.Expr, stretches: int = _STRETCHES) -> Span | None:
    """The least and the greatest of a statistic over stretches of rows; None where one can't be told."""
    found = [part.select(statistic.cast(pl.Float64)).item() for part in _stretches(frame, stretches)]
    if any(value is None or not math.isfinite(value) for value in found):
        return None
    return min(found), max(found)


def _wider(span: Span, least: float) -> Span:
    margin = max(_FURTHER * (span[1] - span[0]), least)
    return span[0] - margin, span[1] + margin


def _band(span: Span, least: float) -> Span | None:
    """A span of positive numbers, widened by its own width; None when it is too wide to say anything."""
    if span[0] <= 0 or math.log(span[1] / span[0]) > _WIDEST:
        return None
    up = max((span[1] / span[0]) ** _FURTHER, least)
    # down as far as by differences, for what swings
    return min(span[0] / least, span[0] - _FURTHER * (span[1] - span[0])), span[1] * up


def _between(statistic: str, band: Span) -> str:
    return f"{statistic} BETWEEN {number_of(band[0], up=False)} AND {number_of(band[1], up=True)}"


def _warning(name: str, expr: str) -> Rule:
    return Rule(name=name, expr=expr, severity="warning")


def _level(series: pl.Series) -> Iterator[Rule]:
    values = known(series).cast(pl.Float64)
    span = _span(series.alias("x").to_frame(), pl.col("x").median())
    if span is None:
        return
    if float(values.min()) >= 0 and span[0] > 0:  # type: ignore[arg-type]
        band = _band(span, 1.3)
    else:
        middle = float(values.quantile(0.75)) - float(values.quantile(0.25))  # type: ignore[arg-type]
        band = _wider(span, middle / 2) if middle > 0 and span[1] - span[0] < 2 * middle else None
    if band is not None:
        yield _warning(f"{series.name} is on its usual level", _between(f"MEDIAN({name_of(series.name)})", band))


def _round(series: pl.Series) -> Iterator[Rule]:
    """Few numbers are round: more would have been rounded on their way."""
    middle = abs(float(known(series).median()))  # type: ignore[arg-type]
    if not middle or not math.isfinite(middle):
        return
    step = 10.0 ** (math.floor(math.log10(middle)) - 1)
    if step < 1:
        return
    span = _span(series.alias("x").to_frame(), (pl.col("x") % step == 0).mean())
    if span is not None and span[1] <= 0.3:
        most = _wider(span, 0.25)[1]
        condition = f"AVG(CAST({name_of(series.name)} % {step:.0f} = 0 AS DOUBLE)) <= {number_of(most, up=True)}"
        yield _warning(f"{series.name} is not rounded to {step:,.0f}", condition)


def _one_value(series: pl.Series, whole: pl.Series) -> Iterator[Rule]:
    """No value is very common: one that is would stand for another, be a cap, or come from what is stuck."""
    if known(series).n_unique() < 50:
        return
    there = len(whole) - whole.null_count()
    if whole.n_unique() >= _ONCE * there:  # counted by value, such a column would cost more than all other rules
        name = name_of(series.name)
        condition = f"COUNT(DISTINCT {name}) >= 0.85 * COUNT({name})"
        yield _warning(f"values of {series.name} seldom repeat", condition)
        return
    # in thirds: in a short stretch one value has a greater share by chance
    span = _span(series.alias("x").to_frame(), pl.col("x").drop_nulls().unique_counts().max() / pl.len(), 3)
    if span is not None and span[1] <= 0.1:
        most = max(2 * span[1], span[1] + 0.05)
        name = name_of(series.name)
        condition = f"MAX(COUNT({name}) OVER (PARTITION BY {name})) <= {number_of(most, up=True)} * COUNT(*)"
        yield _warning(f"no value of {series.name} is very common", f"COUNT({name}) = 0 OR {condition}")


def _partners(part: pl.DataFrame, names: list[str]) -> list[tuple[str, str]]:
    """Each column with the one that it goes with most closely, in every stretch."""
    if len(names) < 2:
        return []
    least: dict[tuple[str, str], float] = {}
    stretches = [stretch.select(pl.col(names).cast(pl.Float64)) for stretch in _stretches(part)]
    tables = [_correlations(stretch) for stretch in stretches]
    for i, j in combinations(range(len(names)), 2):
        found = np.array([table[i, j] for table in tables])
        if np.isfinite(found).all() and (abs(np.sign(found).sum()) == len(found)):
            least[names[i], names[j]] = float(np.abs(found).min())
    chosen: dict[tuple[str, str], None] = {}
    for name in names:
        mine = {pair: value for pair, value in least.items() if name in pair and value >= 0.5}
        if mine:
            chosen[max(mine, key=mine.__getitem__)] = None
    return list(chosen)


def _correlations(frame: pl.DataFrame) -> npt.NDArray[np.float64]:
    """Between all columns, of the rows where both are there."""
    names = frame.columns
    pairs = list(combinations(range(len(names)), 2))
    row = frame.select(pl.corr(names[i], names[j]).alias(f"{i},{j}") for i, j in pairs).row(0)
    table = np.full((len(names), len(names)), np.nan)
    for (i, j), value in zip(pairs, row, strict=True):
        table[i, j] = np.nan if value is None else value
    return table


def _together(part: pl.DataFrame, first: str, second: str) -> Iterator[Rule]:
    span = _span(part, pl.corr(pl.col(first).cast(pl.Float64), pl.col(second).cast(pl.Float64)))
    if span is None:
        return
    least = 0.15 if max(map(abs, span)) < 0.99 else 0.05
    low, high = _wider(span, least)
    statistic = f"CORR({name_of(first)}, {name_of(second)})"
    if span[0] > 0 and low >= 0.2:
        yield _warning(f"{first} goes with {second}", f"{statistic} >= {number_of(low, up=False)}")
    elif span[1] < 0 and high <= -0.2:
        yield _warning(f"{first} goes against {second}", f"{statistic} <= {number_of(high, up=True)}")


def _ratio(part: pl.DataFrame, first: str, second: str) -> Iterator[Rule]:
    if any(float(known(part[name]).min()) < 0 for name in (first, second)):  # type: ignore[arg-type]
        return
    span = _span(part, pl.col(first).cast(pl.Float64).truediv(pl.col(second)).median())
    band = None if span is None else _band(span, 1.15)
    if band is not None:
        statistic = f"MEDIAN(CAST({name_of(first)} AS DOUBLE) / {name_of(second)})"
        yield _warning(f"{first} to {second} is as usual", _between(statistic, band))


def _dates_beside(part: pl.DataFrame) -> Iterator[Rule]:
    """A number that says the same as a date."""
    dates = [name for name, dtype in part.schema.items() if dtype == pl.Date]
    numbers = [name for name, dtype in part.schema.items() if dtype.is_float()]
    for date in dates:
        for number in numbers:
            whole = part.select(pl.corr(pl.col(date).cast(pl.Int64).cast(pl.Float64), pl.col(number))).item()
            if whole is not None and whole > 0.999:
                condition = f"CORR(CAST({name_of(date)} AS BIGINT), {name_of(number)}) >= 0.99"
                yield _warning(f"{date} goes with {number}", condition)


def usual_slices(frame: pl.DataFrame, skip: frozenset[str]) -> Iterator[Slice]:
    """Each usual category still comes: a slice for each; none under 1,000 rows."""
    if frame.height < _LEAST:
        return
    part = frame.gather_every(max(1, frame.height // _SAMPLE))
    for name, dtype in frame.schema.items():
        if name not in skip and isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Boolean):
            yield from _shares(part[name])


def _shares(series: pl.Series) -> Iterator[Slice]:
    texts = series.cast(pl.String).alias("x")
    counts = texts.drop_nulls().value_counts(sort=True)
    usual = counts.filter(pl.col("count") >= _SHARE * len(series))["x"].to_list()
    for value in sorted(usual) if len(usual) >= 2 else ():
        span = _span(texts.to_frame(), (pl.col("x") == value).fill_null(value=False).mean())
        if span is None or span[0] < _SHARE / 10 or span[1] > 0.95:
            continue
        low, high = (math.log(share / (1 - share)) for share in span)
        if high - low > _WIDEST:
            continue
        least = 1 / (1 + math.exp(-_wider((low, high), math.log(1.75))[0]))
        shown = text_of(value) if series.dtype != pl.Boolean else value.upper()
        yield Slice(
            name=f"{series.name} is {value}",
            where=f"{name_of(series.name)} = {shown}",
            min_share=float(number_of(least, up=False)),
            severity="warning",
        )


def _lengths(series: pl.Series) -> Iterator[Rule]:
    texts = series.alias("x").to_frame()
    if series.n_unique() <= _FEW_VALUES or series.null_count() > len(series) / 2:
        return
    if series.str.len_chars().n_unique() < 2:
        return
    span = _span(texts, pl.col("x").str.len_chars().mean())
    band = None if span is None else _band(span, 1.1)
    if band is not None:
        yield _warning(
            f"{series.name} is as long as usual", _between(f"AVG(CHAR_LENGTH({name_of(series.name)}))", band)
        )


def _days(series: pl.Series) -> Iterator[Rule]:
    """No day is left out, where none was."""
    days = series.drop_nulls().cast(pl.Date).to_physical()
    if len(days) < _LEAST or days.n_unique() < 30:
        return
    length = int(days.max()) - int(days.min()) + 1  # type: ignore[arg-type]
    if days.n_unique() < _COVERED * length:
        return
    name = name_of(series.name)
    day = f"CAST({name} AS DATE)" if isinstance(series.dtype, pl.Datetime) else name
    ends = f"(CAST(MAX({day}) AS BIGINT) - CAST(MIN({day}) AS BIGINT) + 1)"
    yield _warning(f"few days of {series.name} are left out", f"COUNT(DISTINCT {day}) >= 0.95 * {ends}")


def _hours(series: pl.Series) -> Iterator[Rule]:
    """Hours of the day at which next to nothing happens: a clock of another zone would bring much there."""
    hours = series.drop_nulls().dt.hour().alias("hour")
    counts = dict(hours.value_counts().iter_rows())
    quiet = [hour for hour in range(24) if counts.get(hour, 0) <= len(hours) / 1000]
    if len(hours) < _LEAST or not 2 <= len(quiet) < 23:
        return
    hour = f"EXTRACT(HOUR FROM {name_of(series.name)}) IN ({', '.join(map(str, quiet))})"
    yield _warning(f"{series.name} is seldom at its quiet hours", f"AVG(CAST({hour} AS DOUBLE)) <= 0.02")


def _orders(part: pl.DataFrame, names: list[str]) -> Iterator[Rule]:
    """One number is seldom above another that it goes with and that is of its size."""
    middles = {name: float(known(part[name]).median()) for name in names}  # type: ignore[arg-type]
    found = []
    for first, second in permutations(names, 2):
        if not (0 < middles[first] < middles[second] < 10 * middles[first]):
            continue
        above = (pl.col(first) > pl.col(second)).mean()
        span = _span(part, above)
        together = _span(part, pl.corr(pl.col(first).cast(pl.Float64), pl.col(second).cast(pl.Float64)))
        if span is not None and span[1] <= 0.1 and together is not None and together[0] >= 0.2:
            found.append((span, first, second))
    for span, first, second in sorted(found)[:_ORDERS]:
        condition = f"AVG(CAST({name_of(first)} > {name_of(second)} AS DOUBLE))"
        yield _warning(
            f"{first} is seldom above {second}", f"{condition} <= {number_of(_wider(span, 0.03)[1], up=True)}"
        )
