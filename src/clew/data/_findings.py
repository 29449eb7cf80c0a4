"""What a person should know of a table though it breaks no rule; quiet where nothing is odd."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, Final

import polars as pl

from clew.data._delivered_again import delivered_again
from clew.data._finding import Finding
from clew.data._numbers import is_running, known, odd_zeros, order_pairs, words, years_after

_SENTINELS: Final = (-1, -9, -99, -999, -9999, -99999, 999, 9999, 99999, 999999, 9999999, 99999999)
_PLACEHOLDERS: Final = (
    "",
    "-",
    "--",
    "?",
    ".",
    "n/a",
    "na",
    "nan",
    "null",
    "none",
    "unknown",
    "missing",
    "#n/a",
    "tbd",
)
_FEW_ROWS: Final = 30
_SAMPLE: Final = 20_000
_LEAK: Final = 0.95


def findings(data: pl.DataFrame | pl.LazyFrame) -> list[Finding]:
    """What is odd in a table, column by column, then between columns.

    Kinds: zeros, sentinel, constant, mostly-missing, not-a-number, placeholder, variants, outlier, duplicate-key,
    duplicate-rows, delivered-again, order, leak. Nothing is said of a table of under 30 rows. A lazy frame is
    collected.
    """
    frame = data.collect() if isinstance(data, pl.LazyFrame) else data
    if frame.height < _FEW_ROWS:
        return []
    found: list[Finding] = []
    for series in frame.iter_columns():
        found += _of_column(series, frame)
    found += _orders(frame)
    found += _duplicates(frame)
    found += delivered_again(frame)
    found += _leaks(frame)
    return found


def _of_column(series: pl.Series, frame: pl.DataFrame) -> Iterator[Finding]:
    if series.dtype == pl.Object:
        return
    rows = len(series)
    present = rows - series.null_count()
    if present <= rows / 2:
        what = "missing" if present else "empty: all"
        yield _finding(series, "mostly-missing", f"{what} in {_of(rows - present, rows)}", rows - present)
    if present and not series.dtype.is_nested() and series.drop_nulls().n_unique() == 1:
        value = series.drop_nulls()[0]
        yield _finding(
            series, "constant", f"has one value only, {value!r}: it tells rows apart in nothing", present, value
        )
        return
    if series.dtype.is_numeric() and present:
        yield from _of_numbers(series, frame)
    elif isinstance(series.dtype, pl.Date | pl.Datetime):
        yield from _of_dates(series)
    elif isinstance(series.dtype, pl.String | pl.Categorical):
        yield from _of_texts(series.cast(pl.String))
    if not series.dtype.is_nested():
        yield from _broken_key(series)


def _of_numbers(series: pl.Series, frame: pl.DataFrame) -> Iterator[Finding]:
    rows = len(series)
    odd = len(series.drop_nulls()) - len(known(series))
    if odd:
        yield _finding(series, "not-a-number", f"NaN or infinite in {_of(odd, rows)}", odd)
    zeros = odd_zeros(series, frame)
    if zeros:
        least = series.filter(series > 0).median()
        message = f"0 in {_of(zeros, rows)}, where {_short(least)} is usual: it seems to stand for unknown"
        yield _finding(series, "zeros", message, zeros, 0)
    values = known(series).cast(pl.Float64)
    for sentinel in _SENTINELS:
        count = int((values == sentinel).sum())
        if count >= 3 and _apart(values, sentinel):
            message = f"{sentinel} in {_of(count, rows)}, far from all else: it seems to stand for unknown"
            yield _finding(series, "sentinel", message, count, sentinel)
            values = values.filter(values != sentinel)
    yield from _outliers(series, values)


def _apart(values: pl.Series, sentinel: float) -> bool:
    others = values.filter(values != sentinel)
    if len(others) < _FEW_ROWS:
        return False
    low, high = float(others.min()), float(others.max())  # type: ignore[arg-type]
    if sentinel < 0:
        return low >= 0 or sentinel < low - 2 * (high - low)
    return high < sentinel / 2


def _outliers(series: pl.Series, values: pl.Series) -> Iterator[Finding]:
    """Values beyond what the tail below them makes believable.

    The tail index is Hill's estimate from the √n largest magnitudes without the three largest; a value is odd when
    a tail of that index would bring so large a one into fewer than 1 of 1,000 such tables. Simulated, clean columns
    are called odd in none of 2,000 (normal, exponential, gamma) to 7 of 1,000 (Cauchy, 300 rows).
    Hill, "A simple general approach to inference about the tail of a distribution", Ann. Statist. 3 (1975).
    """
    if len(values) < 200 or is_running(series):
        return
    centre = float(values.median())  # type: ignore[arg-type]
    sizes = (values if float(values.min()) >= 0 else (values - centre).abs()).sort(descending=True)  # type: ignore[arg-type]
    k = math.isqrt(len(sizes))
    base = float(sizes[k])
    if base <= 0 or sizes[3] <= base:
        return
    # two standard errors up, for the estimate is only so good
    tail = float((sizes[3:k] / base).log().mean()) * (1 + 2 / math.sqrt(k))  # type: ignore[arg-type]
    limit = base * (1000 * k) ** tail
    count = int((sizes > limit).sum())
    if not 0 < count <= 3 or sizes[0] < 2 * sizes[count]:
        return
    top = values.filter((values if float(values.min()) >= 0 else (values - centre).abs()) > limit)  # type: ignore[arg-type]
    message = f"{', '.join(map(_short, top))} beyond all else (next comes {_short(sizes[count])})"
    yield _finding(series, "outlier", message, count, top[0])


def _of_dates(series: pl.Series) -> Iterator[Finding]:
    days = series.drop_nulls().cast(pl.Date)
    years = days.dt.year()
    for year, text in ((1900, "1900-01-01"), (1970, "1970-01-01"), (1, "0001-01-01"), (9999, "9999-12-31")):
        count = int((days.cast(pl.String) == text).sum())
        others = years.filter(years != year)
        if count >= 2 and len(others) and int((others - year).abs().min()) > 5:  # type: ignore[arg-type]
            message = f"{text} in {_of(count, len(series))}, years from all else: it seems to stand for unknown"
            yield _finding(series, "sentinel", message, count, text)


def _of_texts(series: pl.Series) -> Iterator[Finding]:
    rows = len(series)
    plain = series.str.strip_chars().str.to_lowercase()
    hits = series.filter(plain.is_in(_PLACEHOLDERS))
    if 0 < len(hits) < rows / 2:
        shown = ", ".join(repr(value) for value in hits.unique().sort().head(3))
        yield _finding(
            series, "placeholder", f"{shown} in {_of(len(hits), rows)} stands for a missing value", len(hits), hits[0]
        )
    distinct = pl.DataFrame({"raw": series, "plain": plain}).drop_nulls().group_by("raw", "plain").len()
    if distinct.height > rows / 10:
        return
    twins = distinct.filter(pl.len().over("plain") > 1)
    if twins.height:
        best = twins.sort("plain", "len", descending=[False, True])
        shown = ", ".join(repr(value) for value in best["raw"].head(4))
        fewer = int(twins["len"].sum()) - int(twins.group_by("plain").agg(pl.col("len").max())["len"].sum())
        yield _finding(
            series, "variants", f"spellings that differ in case or blanks only: {shown}", fewer, best["raw"][0]
        )


def _broken_key(series: pl.Series) -> Iterator[Finding]:
    """A column that nearly identifies rows, and calls itself an id."""
    if series.dtype.is_float() or not words(series.name) & {"id", "key", "uuid", "guid"}:
        return
    values = series.drop_nulls()
    again = values.is_duplicated()
    count = int(again.sum())
    if 0 < count <= len(values) / 50:
        example = values.filter(again)[0]
        message = f"nearly identifies rows, but {_of(count, len(series))} share their value with another"
        yield _finding(series, "duplicate-key", message, count, example)


def _orders(frame: pl.DataFrame) -> Iterator[Finding]:
    for first, second, by_years in order_pairs(frame):
        if by_years:
            gap = years_after(frame, first, second)
            late, most = (gap > 0).fill_null(value=False), int(gap.max() or 0)  # type: ignore[arg-type]
            by = f", by up to {most} year{'s' if most > 1 else ''}"
        else:
            late, by = (frame[first] > frame[second]).fill_null(value=False), ""
        count = int(late.sum())
        if count:
            example = frame.select(first, second).filter(late).row(0)
            message = f"after {second} in {_of(count, frame.height)}{by}"
            yield _finding(frame[first], "order", message, count, tuple(map(str, example)))


def _duplicates(frame: pl.DataFrame) -> Iterator[Finding]:
    """Rows that agree in all but what identifies them, where chance can't explain it."""
    columns = [
        series.name
        for series in frame.iter_columns()
        if not series.dtype.is_nested() and series.dtype != pl.Object and series.n_unique() < frame.height
    ]
    left = frame.select(columns)
    again = left.is_duplicated() if columns else pl.Series([], dtype=pl.Boolean)
    count = int(again.sum())
    if not count or count < 10 * _coincidences(left):
        return
    without = [name for name in frame.columns if name not in columns]
    exact = "" if not without else f" in all but {', '.join(without)}"
    example = tuple(map(str, left.filter(again).row(0)))
    message = f"{_of(count, frame.height)} equal another row{exact}"
    yield Finding("(rows)", "duplicate-rows", message, count, count / frame.height, example)


def _coincidences(frame: pl.DataFrame) -> float:
    """How many rows would have a twin by chance, were the columns independent."""
    chance = 1.0
    for series in frame.iter_columns():
        shares = series.value_counts()["count"] / frame.height
        chance *= float((shares * shares).sum())
    return frame.height * min(1.0, frame.height * chance)


def _leaks(frame: pl.DataFrame) -> Iterator[Finding]:
    """Pairs of numbers that nearly give each other away, by rank correlation; no pair that both run with the rows."""
    rows = frame.height
    if rows < 100:
        return
    part = frame.gather_every(max(1, rows // _SAMPLE))
    usable = [
        name
        for name, dtype in frame.schema.items()
        if dtype.is_numeric() and part[name].n_unique() > 20 and not is_running(frame[name])
    ]
    for first, second in _pairs(usable):
        both = part.select(pl.col(first, second).cast(pl.Float64)).drop_nulls()
        if both.height < 100:
            continue
        correlation = both.select(pl.corr(first, second, method="spearman")).item()
        if correlation is not None and abs(correlation) >= _LEAK:
            message = (
                f"nearly gives {second} away (rank correlation {correlation:.2f}): "
                "if one is what a model predicts, the other must not be among its features"
            )
            yield _finding(frame[first], "leak", message, rows, second)


def _pairs(names: list[str]) -> Iterable[tuple[str, str]]:
    return ((a, b) for i, a in enumerate(names) for b in names[i + 1 :])


def _finding(series: pl.Series, kind: str, message: str, rows: int, example: Any = None) -> Finding:
    return Finding(series.name, kind, message, rows, rows / len(series), example)


def _of(count: int, rows: int) -> str:
    return f"{count:,} of {rows:,} rows"


def _short(value: Any) -> str:
    return f"{value:,.10g}" if isinstance(value, float) else str(value)
