"""Dates of birth: by the column's name, by a label in a text, or because the dates lie as people's births do."""

import datetime as dt
import re
from typing import Final

import polars as pl

from clew.data._numbers import is_running, words

SURE: Final = frozenset({"dob", "birthdate", "birthday", "geburtsdatum"})
_SAID: Final = frozenset(
    "birth born geburt geburtstag geboren gebdatum gebdat naissance nacimiento nascita nascimento geboortedatum "  # noqa: SIM905  a list of words
    "fodselsdato födelsedatum syntymäaika urodzenia bday".split()
)
_NOT_BIRTHS: Final = frozenset(
    "sold sale hired built opened created updated modified order ordered invoice recorded start end published "  # noqa: SIM905  as above
    "release released issued paid due shipped delivered expires valid from until since event founded arrival".split()
)
_DATE: Final = (
    r"(?:\d{1,2}[./ -]\d{1,2}[./ -](?:\d{4}|\d{2})|\d{4}[-/.]\d{2}[-/.]\d{2}|\d{1,2}\.? [^\W\d_]{3,10}\.? \d{4})"
)
_LABELLED: Final = re.compile(
    r"(?i)(?<!\w)(?:born|born on|geb\.?|geboren|geboren am|geb\. am|née?|née? le|d\.?o\.?b\.?|birth ?date|"
    r"date of birth|birthday|geburtsdatum|geburtstag|date de naissance|fecha de nacimiento|nacid[oa]|nacid[oa] el|"
    rf"data di nascita|nat[oa]|nat[oa] il|data de nascimento|nascid[oa] em)[ :=.]{{0,3}}({_DATE})"
)
QUICK: Final = r"(?i)(?:born|geb|né|d\.?o\.?b|birth|nacid|nacim|nat[oa]|nasci|naiss)[^0-9]{0,14}[0-9]"
_WHOLE: Final = re.compile(rf"\s*{_DATE}(?:[ T]00:00(?::00)?)?\s*")
_FORMS: Final = ("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d")


def labelled(text: str) -> str | None:
    """A date behind a word that says it is one of birth."""
    found = _LABELLED.search(text)
    return None if found is None else found[1]


def by_name(series: pl.Series) -> bool:
    """Whether a column's name says so, and what it holds are dates."""
    said = words(series.name) | set(re.split(r"[\W_\d]+", series.name.lower()))
    values = series.drop_nulls()
    if not len(values) or not (said & (SURE | _SAID) or {"date", "birth"} <= said):
        return False
    if values.dtype.is_integer():
        days = values.head(1000)
        return bool((days.is_between(18700101, 21001231) & ((days % 100).is_between(1, 31))).mean() > 0.9)  # type: ignore[operator]
    if values.dtype == pl.String and not (said & SURE or {"date", "birth"} <= said):
        return _whole_dates(values) is not None
    return values.dtype.is_temporal() or values.dtype == pl.String


def by_value(series: pl.Series) -> bool:
    """Whether at least a hundred dates lie as births do: over 25 years and more, in no order, few of late."""
    if words(series.name) & _NOT_BIRTHS or not (series.dtype == pl.String or series.dtype.is_temporal()):
        return False
    values = series.drop_nulls()
    if len(values) < 100:
        return False
    values = values.gather_every(max(1, len(values) // 10_000))
    if values.dtype == pl.String:
        found = _whole_dates(values)
        if found is None:
            return False
        values = found
    elif isinstance(values.dtype, pl.Datetime):
        if not bool((values.dt.truncate("1d") == values).all()):
            return False
        values = values.dt.date()
    elif values.dtype != pl.Date:
        return False
    return _lie_as_births(values)


def _lie_as_births(values: pl.Series) -> bool:
    days = values.drop_nulls().cast(pl.Int32)
    if len(days) < 100 or days.n_unique() < 50 or is_running(days.alias("")):
        return False
    today = (dt.datetime.now(dt.UTC).date() - dt.date(1970, 1, 1)).days
    low, high = days.quantile(0.05), days.quantile(0.95)
    if low is None or high is None or high - low < 25 * 365:
        return False
    late = (days > today - 3 * 365).mean()
    old = (days < today - 125 * 365).mean()
    return bool(late < 0.1 and old < 0.01 and days.max() <= today)  # type: ignore[operator]


def _whole_dates(values: pl.Series) -> pl.Series | None:
    """Texts that are dates, as dates; None where they aren't."""
    some = values.head(200).to_list()
    if sum(bool(_WHOLE.fullmatch(text)) for text in some) < 0.9 * len(some):
        return None
    texts = values.str.strip_chars().str.slice(0, 10)
    for form in _FORMS:
        found = texts.str.to_date(form, strict=False)
        if found.null_count() <= len(found) / 20:
            return found
    return None
