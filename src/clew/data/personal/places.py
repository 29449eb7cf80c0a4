"""Where somebody lives: street addresses in texts, and coordinates precise to a home."""

import re
from collections.abc import Iterable
from typing import Final

import polars as pl

from clew.data._numbers import words
from clew.data.personal.lexicon import STREET_AFTER, STREET_BEFORE, STREET_ENDINGS

# --- street addresses --------------------------------------------------------------------------------------------


def _any(found: Iterable[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(found, key=len, reverse=True))


_NUMBER: Final = r"\d{1,4}(?: ?[a-zA-Z]|/\d{1,3})?\b"
_ADDRESS: Final = re.compile(
    rf"\b[^\W\d_][\w.'-]*(?:{_any(STREET_ENDINGS)}),? {_NUMBER}"
    rf"|\b[^\W\d_]\w* (?:{_any(('strasse', 'straße', 'gasse', 'weg', 'platz', 'allee'))}) {_NUMBER}"
    rf"|\b(?:{_any(STREET_BEFORE)}) [^\W\d_][\w'’. -]{{1,40}}?,? (?:n[.°º]? ?)?{_NUMBER}"
    rf"|\b\d{{1,4}}(?: ?bis| ?ter| ?[a-z])?,? (?:{_any(STREET_BEFORE)}) [^\W\d_][\w'’-]+"
    rf"|\b\d{{1,5}}[a-z]? (?:[nsew]\.? )?[^\W\d_][\w'.-]+(?: [^\W\d_][\w'.-]+){{0,2}} (?:{_any(STREET_AFTER)})(?![\w])",
    re.IGNORECASE,
)
ADDRESS_QUICK: Final = (
    rf"(?i)(?:{_any(STREET_ENDINGS)}),? ?[0-9]|\b(?:{_any(STREET_BEFORE)}) \pL"
    rf"|[0-9][a-z]? [^,;]{{2,40}} (?:{_any(STREET_AFTER)})"
)


def street_address(text: str) -> str | None:
    """A street with the number of a house."""
    found = _ADDRESS.search(" ".join(text.split()))
    return None if found is None else found[0]


# --- coordinates -------------------------------------------------------------------------------------------------

_DEGREES: Final = r"[+-]?\d{1,3}\.\d{4,}"
_PAIR: Final = re.compile(
    rf"(?i)\bPOINT ?(?:Z ?)?\( ?({_DEGREES})[ ,]+({_DEGREES})"
    rf"|(?:geo:|@|q=|^|[\s(\[])({_DEGREES})°? ?[NS]?(?:,|;|\s)\s?({_DEGREES})"
)
_ANGLE: Final = r"\d{1,3}° ?\d{1,2}['′’] ?\d{1,2}(?:[.,]\d+)?(?:[\"″”]|'')? ?"
_MINUTES: Final = re.compile(rf"{_ANGLE}[NS][,; /]{{0,3}}{_ANGLE}[EWO]")
COORDINATES_QUICK: Final = r"[0-9]\.[0-9]{4,}.{1,6}[0-9]\.[0-9]{4}|[0-9]° ?[0-9]{1,2}['′’]"
_LATITUDE: Final = frozenset({"lat", "latitude", "latitud", "latitudine", "breitengrad", "gpslat"})
_LONGITUDE: Final = frozenset({"lon", "lng", "long", "longitude", "longitud", "longitudine", "laengengrad", "gpslon"})
_PLACE: Final = frozenset({"location", "coordinates", "coordinate", "geometry", "point", "position", "geo", "gps"})


def coordinates(text: str) -> str | None:
    """A pair of degrees with four decimals or more (11 m), of degrees, minutes and seconds, or a point of WKT."""
    for found in _PAIR.finditer(text):
        numbers = [float(part) for part in found.groups() if part]
        if all(abs(number) <= 180 for number in numbers) and min(map(abs, numbers)) <= 90 and any(numbers):
            return found[0].strip()
    minutes = _MINUTES.search(text)
    return None if minutes is None else minutes[0]


def precise_pairs(frame: pl.DataFrame) -> list[tuple[str, str]]:
    """Pairs of columns that are called latitude and longitude alike, and are precise to a home."""
    found = []
    names = {name: _split(name) for name in frame.columns}
    for latitude, (is_latitude, _, rest) in names.items():
        if not is_latitude or not _precise(frame[latitude], 90):
            continue
        for longitude, (_, is_longitude, others) in names.items():
            if is_longitude and rest == others and _precise(frame[longitude], 180):
                found.append((latitude, longitude))
    return found


def is_precise_list(series: pl.Series) -> bool:
    """Whether lists of two numbers are such pairs; the column's name has to say that it is a place."""
    if not words(series.name) & _PLACE:
        return False
    pairs = series.drop_nulls()
    pairs = pairs.arr.to_list() if isinstance(series.dtype, pl.Array) else pairs
    pairs = pairs.filter(pairs.list.len().is_between(2, 3))
    return len(pairs) > 0 and all(_precise(pairs.list.get(at), 180) for at in (0, 1))


def _split(name: str) -> tuple[bool, bool, frozenset[str]]:
    found = words(name)
    return bool(found & _LATITUDE), bool(found & _LONGITUDE), frozenset(found - _LATITUDE - _LONGITUDE)


def _precise(series: pl.Series, most: int) -> bool:
    """Whether most numbers of a column have four decimals or more, and none is beyond what degrees can be."""
    values = series.drop_nulls()
    if isinstance(values.dtype, pl.String):
        values = values.str.strip_chars().cast(pl.Float64, strict=False)
        if values.null_count() > len(values) / 10:
            return False
        values = values.drop_nulls()
    if not (values.dtype.is_float() or values.dtype.is_decimal()) or not len(values):
        return False
    values = values.cast(pl.Float64)
    inside = values.is_finite() & (values.abs() <= most)
    rounded = (values * 1000 - (values * 1000).round()).abs() > 1e-6
    return bool(inside.mean() > 0.95 and rounded.mean() > 0.5)  # type: ignore[operator]
