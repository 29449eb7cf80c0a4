"""A person's value: how it is compared, and the keyed hash by which a receipt knows it."""

import hashlib
import hmac
from collections.abc import Sequence

import polars as pl

from clew.errors import DataError


def hash_of(key: bytes, text: str) -> str:
    """The HMAC-SHA256 (RFC 2104) of a value's text, in hex: whoever lacks the key can't even test a guess."""
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def texts(series: pl.Series) -> pl.Series:
    """The values as texts, as they are typed: 17, not 17.0. Raises DataError for a nested column."""
    if series.dtype.is_nested() or series.dtype == pl.Object:
        raise DataError(
            f"column {series.name!r} of type {series.dtype} can't name a person", mend="name a plain column: --column"
        )
    if series.dtype == pl.Binary:
        return series.bin.encode("hex")
    if series.dtype.is_float():
        whole = series == series.round()
        as_number = series.cast(pl.Int64, strict=False).cast(pl.String)
        return pl.select(pl.when(whole).then(as_number).otherwise(series.cast(pl.String))).to_series()
    return series.cast(pl.String)


def is_theirs(series: pl.Series, wanted: Sequence[str]) -> pl.Series:
    """Which rows are a person's; a missing value is nobody's."""
    if isinstance(series.dtype, pl.String):
        return series.is_in(list(wanted)).fill_null(value=False)
    return texts(series).is_in(list(wanted)).fill_null(value=False)
