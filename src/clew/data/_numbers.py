"""What a column of numbers seems to be: a count, a year, a running number, zeros that stand for unknown."""

import re
from typing import Final

import polars as pl

_SMALL_COUNT: Final = 100
_EXPLAINING_CATEGORIES: Final = 50


def words(name: str) -> set[str]:
    """The words of a column's name: `yearBuilt_m2` gives year, built, m2."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return set(re.split(r"[^a-z0-9]+", spaced.lower())) - {""}


def known(series: pl.Series) -> pl.Series:
    """The numbers that are there: no null, no NaN, no infinity."""
    values = series.drop_nulls()
    return values.filter(values.is_finite()) if values.dtype.is_float() else values


def is_year(series: pl.Series) -> bool:
    """Whole numbers from 1000 to 2200 in a column that calls itself a year."""
    if not series.dtype.is_integer() or not words(series.name) & {"year", "yr", "years"}:
        return False
    values = known(series)
    return len(values) > 0 and bool(values.is_between(1000, 2200).all())


def is_count(values: pl.Series) -> bool:
    """Whole numbers of which none is negative or large."""
    return values.dtype.is_integer() and int(values.min()) >= 0 and int(values.max()) <= _SMALL_COUNT  # type: ignore[arg-type]


def is_running(series: pl.Series) -> bool:
    """Numbers that grow along the table, such as ids, counters and times: their end says nothing."""
    # of a long column an evenly spread part says as much
    values = known(series.gather_every(max(1, len(series) // 10_000)))
    distinct = values.n_unique()
    if len(values) < 30 or distinct < 20:
        return False
    frame = pl.DataFrame({"v": values}).with_row_index("i")
    correlation = frame.select(pl.corr("i", "v", method="spearman")).item()
    # what repeats, such as the months of several places, has to keep to the order the more
    return correlation is not None and correlation > (0.9 if distinct >= len(values) / 2 else 0.99)


def odd_zeros(series: pl.Series, frame: pl.DataFrame) -> int:
    """How many zeros seem to stand for unknown, 0 where they seem to be meant.

    Odd is a zero in a measure that is otherwise never near zero, or in a count whose neighbours say it should not
    occur: at most one for fifty ones. Meant are zeros in most rows, and zeros that a category of another column
    explains (no garage: 0 m² of garage).
    """
    values = known(series)
    if values.dtype.is_decimal():
        values = values.cast(pl.Float64)
    zeros = int((values == 0).sum())
    positive = values.filter(values > 0)
    if zeros == 0 or zeros > len(values) / 2 or len(positive) < 30 or len(positive) + zeros < len(values):
        return 0
    if is_count(values):
        odd = zeros * 50 <= int((values == 1).sum())
    else:
        near = int((positive <= float(positive.median()) / 10).sum())  # type: ignore[arg-type]
        odd = zeros >= 10 and zeros > 5 * near and near < len(positive) / 200
    return zeros if odd and not _explained(series, frame) else 0


def _explained(series: pl.Series, frame: pl.DataFrame) -> bool:
    """Whether the categories of some column part the zeros from the rest."""
    zero = (series == 0).fill_null(value=False).alias("zero")
    for name, dtype in frame.schema.items():
        if not (isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Boolean)) or name == series.name:
            continue
        if frame[name].head(1000).n_unique() > _EXPLAINING_CATEGORIES:
            continue
        shares = (
            pl.DataFrame([frame[name].alias("by"), zero])
            .group_by("by")
            .agg(pl.col("zero").mean(), pl.len().alias("rows"))
        )
        if shares.height > _EXPLAINING_CATEGORIES:
            continue
        apart = ((shares["zero"] >= 0.99) | (shares["zero"] <= 0.01)).all()
        if apart and (shares["zero"] >= 0.99).any():
            return True
    return False


def years_after(frame: pl.DataFrame, year: str, date: str) -> pl.Series:
    """By how many years a year lies after a date's, per row; null where one is missing."""
    return frame.select(pl.col(year).cast(pl.Int64) - pl.col(date).dt.year().cast(pl.Int64)).to_series()


def order_pairs(frame: pl.DataFrame) -> list[tuple[str, str, bool]]:
    """Pairs (earlier, later, by years) that hold in 95% of rows, so that the others are odd.

    Years against dates by the calendar year, and dates against dates of the same type.
    """
    dates = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Date | pl.Datetime)]
    years = [name for name in frame.columns if is_year(frame[name])]
    pairs = []
    for date in dates:
        for year in years:
            gap = years_after(frame, year, date).drop_nulls()
            if len(gap) >= 30 and (gap <= 0).mean() >= 0.95 and int(gap.min()) < 0:  # type: ignore[operator, arg-type]
                pairs.append((year, date, True))
    for first in dates:
        for second in dates:
            if first == second or frame.schema[first] != frame.schema[second]:
                continue
            holds = (frame[first] <= frame[second]).drop_nulls()
            apart = (frame[first] < frame[second]).drop_nulls()
            if len(holds) >= 30 and holds.mean() >= 0.95 and apart.mean() >= 0.5:  # type: ignore[operator]
                pairs.append((first, second, False))
    return pairs
