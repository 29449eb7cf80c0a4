"""Columns that hold moments after the one at which a model answers."""

from collections.abc import Iterator
from typing import Final

import polars as pl

from clew.data._finding import Finding
from clew.data._numbers import is_year, years_after

_FEW_ROWS: Final = 3
_SHARE: Final = 0.001


def known_later(frame: pl.DataFrame, at: str, features: list[str]) -> Iterator[Finding]:
    """Dates, times and years after `at`: known only later, unless they were planned."""
    for name in features:
        dtype = frame.schema[name]
        if isinstance(dtype, pl.Date | pl.Datetime):
            later = frame.select(_after(name, dtype, at, frame.schema[at])).to_series().fill_null(value=False)
        elif dtype.is_integer() and is_year(frame[name]):
            later = (years_after(frame, name, at) > 0).fill_null(value=False)
        else:
            continue
        count = int(later.sum())
        if count < max(_FEW_ROWS, _SHARE * frame.height):
            continue
        example = tuple(map(str, frame.select(name, at).filter(later).row(0)))
        message = f"after {at} in {count:,} of {frame.height:,} rows: known only later, unless it was planned"
        yield Finding(name, "known-later", message, count, count / frame.height, example)


def _after(name: str, dtype: pl.DataType, at: str, of: pl.DataType) -> pl.Expr:
    if dtype == of:
        return pl.col(name) > pl.col(at)
    if isinstance(dtype, pl.Date) or isinstance(of, pl.Date):
        return pl.col(name).cast(pl.Date) > pl.col(at).cast(pl.Date)
    return pl.col(name).dt.epoch("us") > pl.col(at).dt.epoch("us")
