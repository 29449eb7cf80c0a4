"""Types for texts: inferred from all values, or those that were before, with what doesn't fit named by its row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from clew.errors import DataError

_SHOWN = 5
_LEADING_ZERO = r"^[+-]?0\d"
_BEYOND_INT64 = r"^[+-]?\d{17,}$"  # from here on not every whole number is a float
_DAY = r"^\d{4}-\d{2}-\d{2}"
_ZONED = r"(?:Z|[+-]\d{2}:?\d{2})$"
_BOOLEANS = {"true": True, "false": False}
_DIGITS = {"ms": 3, "us": 6, "ns": 9}


@dataclass(frozen=True)
class Wanted:
    """What columns are to be: `types` must hold, `hints` hold where all values fit them."""

    types: Mapping[str, pl.DataType] = field(default_factory=dict)
    hints: Mapping[str, pl.DataType] = field(default_factory=dict)

    def column(self, path: Path, series: pl.Series, *, guess: bool = True) -> pl.Series:
        """The column as its type wants it, else by a guess from its texts. Raises DataError, which names rows."""
        if series.name in self.types:
            return fit(path, series, self.types[series.name])
        hint = self.hints.get(series.name)
        if hint is not None:
            typed = _cast(series, hint)
            if typed is not None and typed.null_count() == series.null_count():
                return typed.alias(series.name)
        return infer(series) if guess else series


def infer(texts: pl.Series) -> pl.Series:
    """A type from all values: whole numbers, numbers, booleans, dates, times, else text. What holds none is text."""
    if texts.null_count() == len(texts):
        return texts
    for to in (_int, _float, _bool, _date, _datetime):
        typed = to(texts)
        if typed is not None and typed.null_count() == texts.null_count():
            return typed
    return texts


def fit(path: Path, series: pl.Series, wanted: pl.DataType) -> pl.Series:
    """A column as the type that it has to have. Raises DataError, which names the rows that don't fit."""
    typed = _cast(series, wanted)
    if typed is None:
        raise DataError(
            f"{path}: column {series.name!r} is {wanted} in the previous snapshot or the contract, "
            f"and can't be read from {'text' if series.dtype == pl.String else series.dtype}",
            mend="bring it as Parquet, or declare the change with --accept-schema",
        )
    lost = typed.is_null() & series.is_not_null()
    if lost.any():
        rows = lost.arg_true()
        shown = ", ".join(f"row {int(row) + 1}: {_short(series[int(row)])}" for row in rows[:_SHOWN])
        more = ", …" if len(rows) > _SHOWN else ""
        count = "1 value doesn't fit it" if len(rows) == 1 else f"{len(rows)} values don't fit it"
        raise DataError(
            f"{path}: column {series.name!r} is {wanted} in the previous snapshot or the contract, "
            f"and {count} ({shown}{more})",
            mend="correct these values, or declare the change with --accept-schema (and in the contract, if any)",
        )
    return typed.alias(series.name)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _cast(series: pl.Series, wanted: pl.DataType) -> pl.Series | None:
    """The values that keep what they say in the wanted type, null for the others; None if the types have no bridge."""
    if series.dtype == wanted:
        return series
    try:
        if series.dtype == pl.String:
            return _from_text(series, wanted)
        typed = series.cast(wanted, strict=False)
        if wanted != pl.String:
            changed = typed.cast(series.dtype, strict=False).ne_missing(series)
            typed = _without(typed, changed)
    except pl.exceptions.PolarsError:
        return None
    return typed


def _without(typed: pl.Series, bad: pl.Series) -> pl.Series:
    """The values, null where `bad`."""
    frame = pl.DataFrame([typed.alias("value"), bad.alias("bad")])
    return frame.select(pl.when(~pl.col("bad").fill_null(value=False)).then("value")).to_series().alias(typed.name)


def _from_text(texts: pl.Series, wanted: pl.DataType) -> pl.Series:  # noqa: PLR0911 - one for each family of types
    if wanted == pl.Boolean:
        return texts.str.to_lowercase().replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)
    if wanted == pl.Date:
        return _without(texts.str.to_date("%Y-%m-%d", strict=False), ~texts.str.contains(_DAY + "$"))
    if isinstance(wanted, pl.Datetime):
        return _moments(texts, wanted)
    if wanted == pl.Time:
        return _without(texts.str.to_time("%H:%M:%S%.f", strict=False), _finer(texts, 9))
    typed = texts.cast(wanted, strict=False)
    if isinstance(wanted, pl.Decimal):
        return _without(typed, _finer(texts, wanted.scale))  # a cast would round
    if wanted.is_float():
        return _without(typed, typed.is_infinite() & ~texts.str.contains("(?i)inf"))  # 1e400 is no infinity
    return typed


def _finer(texts: pl.Series, digits: int) -> pl.Series:
    """Whether more decimals count than there is room for."""
    return texts.str.contains(rf"\.\d{{{digits}}}\d*[1-9]")


def _moments(texts: pl.Series, wanted: pl.Datetime) -> pl.Series:
    zoned = texts.str.contains(_ZONED)
    marked = texts.str.replace(" ", "T", literal=True)
    local = _local(marked, wanted)
    if wanted.time_zone is None:
        typed = local
    else:
        form = "%Y-%m-%dT%H:%M:%S%.f%#z"
        exact = marked.str.to_datetime(form, strict=False, time_unit=wanted.time_unit, time_zone=wanted.time_zone)
        there = local.dt.replace_time_zone(wanted.time_zone, ambiguous="null", non_existent="null")
        frame = pl.DataFrame({"zoned": zoned, "exact": exact, "there": there})
        typed = frame.select(pl.when("zoned").then("exact").otherwise("there")).to_series()
    return _without(typed, ~texts.str.contains(_DAY) | _finer(texts, _DIGITS[wanted.time_unit]))


def _local(marked: pl.Series, wanted: pl.Datetime) -> pl.Series:
    typed = marked.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit=wanted.time_unit)
    minutes = marked.str.to_datetime("%Y-%m-%dT%H:%M", strict=False, time_unit=wanted.time_unit)
    days = marked.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime(wanted.time_unit))
    return typed.fill_null(minutes).fill_null(days)


def _int(texts: pl.Series) -> pl.Series | None:
    if texts.str.contains(_LEADING_ZERO).any():
        return None  # 01234 is a code, and a number would lose its zero
    return texts.cast(pl.Int64, strict=False)


def _float(texts: pl.Series) -> pl.Series | None:
    if texts.str.contains(_LEADING_ZERO).any() or texts.str.contains(_BEYOND_INT64).any():
        return None  # a long id would lose its last digits
    return _from_text(texts, pl.Float64())


def _bool(texts: pl.Series) -> pl.Series:
    return _from_text(texts, pl.Boolean())


def _date(texts: pl.Series) -> pl.Series:
    return _from_text(texts, pl.Date())


def _datetime(texts: pl.Series) -> pl.Series | None:
    if not texts.str.contains(r"\d[T ]\d").any() or texts.str.contains(_ZONED + r"|^\d{4}-\d\d-\d\d$").any():
        return None
    fine = _finer(texts, 6).any()
    return _moments(texts, pl.Datetime("ns" if fine else "us"))
