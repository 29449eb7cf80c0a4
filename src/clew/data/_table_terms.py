"""What a contract says of a table as a whole: other datasets, its age, its size, its distributions, its slices."""

import datetime as dt
import re
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
import polars as pl

from clew.data._logical import dtype_of
from clew.data._terms import Column, Severity, TermsError, check_names, check_sql

_SPAN: Final = re.compile(r"(\d+)\s*([wdhm])")
_UNITS: Final = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes"}


class _Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all of them have."""

    severity: Severity = "error"
    note: str = ""


class Reference(_Terms, frozen=True, kw_only=True):
    """Values of columns that must be in columns of another dataset; a row with a missing one isn't asked.

    `of` is a reference such as `customers@latest`, `to` the columns there; the same names, if not given.
    """

    columns: tuple[str, ...]
    of: str
    to: tuple[str, ...] = ()


class Fresh(_Terms, frozen=True, kw_only=True):
    """The newest value of a column of dates or times must be `within` a span: "2w", "7d", "36h", "90m".

    Counted back from the clock, or from when the delivery occurred (`against = "occurred_at"`). A date counts from
    its midnight, a time without a zone is UTC.
    """

    column: str
    within: str
    against: Literal["clock", "occurred_at"] = "clock"


class Drift(_Terms, frozen=True, kw_only=True):
    """The distribution of a column must stay near that of a snapshot: over bins frozen there, at most `most` apart.

    The distance is the total variation, 0 to 1: the share of rows that would have to move. It breaks only when the
    distance is certainly more than `most`, see `drift_of`: of independent rows at most one check in 1,000 is wrong.
    """

    column: str
    since: str
    most: float = 0.1


class Slice(_Terms, frozen=True, kw_only=True):
    """Rows `where` an SQL condition holds must be there: so many, or such a share of the table."""

    name: str
    where: str
    min_rows: int | None = None
    min_share: float | None = None


class Privacy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Columns that together may tell who somebody is, and those that nobody should learn of a person.

    `clew data privacy` holds a version against it: at least `min_k` rows agree in all of `quasi`, and have at least
    `min_l` different values of each of `sensitive`.
    """

    quasi: tuple[str, ...]
    sensitive: tuple[str, ...] = ()
    min_k: int = 5
    min_l: int = 2


class Code(_Terms, frozen=True, kw_only=True):
    """A check of another library that is run as it is: `check` of a `schema` in a file with this hash.

    Its Python is never kept in the catalog: without the file, or with another one, it is a failure that says so.
    """

    name: str
    kind: Literal["dataframely", "pandera"]
    file: str
    sha256: str
    schema: str
    check: str
    column: str | None = None


def span_of(text: str) -> dt.timedelta | None:
    """What "7d" means; None for what is no span."""
    found = _SPAN.fullmatch(text.strip())
    return None if found is None else dt.timedelta(**{_UNITS[found[2]]: int(found[1])})


def check_references(columns: dict[str, Column], references: Sequence[Reference]) -> None:
    """Raise TermsError for references that say too little."""
    for index, one in enumerate(references, start=1):
        at = ("references", str(index))
        if not one.columns:
            raise TermsError((*at, "columns"), "no column is named", "name at least one")
        check_names(columns, (*at, "columns"), one.columns)
        if one.to and len(one.to) != len(one.columns):
            raise TermsError((*at, "to"), f"{len(one.to)} columns for {len(one.columns)}", "name one for each")
        if not one.of.strip():
            raise TermsError((*at, "of"), "no dataset is named", "name one, such as customers@latest")


def check_fresh(columns: dict[str, Column], fresh: Sequence[Fresh]) -> None:
    """Raise TermsError for what has no age."""
    for index, one in enumerate(fresh, start=1):
        at = ("fresh", str(index))
        check_names(columns, (*at, "column"), [one.column])
        if not isinstance(dtype_of(columns[one.column].type), pl.Date | pl.Datetime):
            raise TermsError((*at, "column"), f"{one.column} holds no dates or times", "name a column that does")
        if span_of(one.within) is None:
            raise TermsError((*at, "within"), f"{one.within!r} is no span", 'write "2w", "7d", "36h" or "90m"')


def check_drift(columns: dict[str, Column], drift: Sequence[Drift]) -> None:
    """Raise TermsError for what can't drift."""
    for index, one in enumerate(drift, start=1):
        at = ("drift", str(index))
        check_names(columns, (*at, "column"), [one.column])
        if not 0 <= one.most < 1:
            raise TermsError((*at, "most"), f"{one.most} is no distance", "write a number from 0 to below 1")
        if not one.since.strip():
            raise TermsError((*at, "since"), "no snapshot is named", "name one, such as sales@3")


def check_slices(slices: Sequence[Slice]) -> None:
    """Raise TermsError for slices that demand nothing, or the impossible."""
    seen: set[str] = set()
    for index, one in enumerate(slices, start=1):
        at = ("slices", str(index))
        if not one.name.strip() or one.name in seen:
            raise TermsError((*at, "name"), f"{one.name!r} is {'taken' if one.name else 'no name'}", "give another")
        seen.add(one.name)
        check_sql((*at, "where"), one.where)
        if one.min_rows is None and one.min_share is None:
            raise TermsError((*at, "min_rows"), "it demands nothing", "give min_rows or min_share")
        if one.min_rows is not None and one.min_rows < 1:
            raise TermsError((*at, "min_rows"), f"{one.min_rows} is met by nothing", "write 1 or more")
        if one.min_share is not None and not 0 < one.min_share <= 1:
            raise TermsError((*at, "min_share"), f"{one.min_share} is no share", "write a number up to 1")


def check_privacy(columns: dict[str, Column], declared: Sequence[Privacy]) -> None:
    """Raise TermsError for columns that aren't there, or stand on both sides, and for numbers that demand nothing."""
    for index, one in enumerate(declared, start=1):
        at = ("privacy", str(index))
        if not one.quasi or set(one.quasi) & set(one.sensitive):
            raise TermsError((*at, "quasi"), "it names no column, or one that is sensitive too", "name others")
        check_names(columns, (*at, "quasi"), one.quasi)
        check_names(columns, (*at, "sensitive"), one.sensitive)
        if one.min_k < 1 or one.min_l < 1:
            raise TermsError((*at, "min_k"), "fewer than one is met by nothing", "write 2 or more")


def check_counts(
    min_rows: int | None, max_rows: int | None, min_of_previous: float | None, max_of_previous: float | None
) -> None:
    """Raise TermsError for numbers of rows that contradict each other."""
    for name, value in (("min_rows", min_rows), ("max_rows", max_rows)):
        if value is not None and value < 0:
            raise TermsError((name,), f"{value} is no number of rows", "write 0 or more")
    for name, share in (("min_of_previous", min_of_previous), ("max_of_previous", max_of_previous)):
        if share is not None and not 0 <= share < float("inf"):
            raise TermsError((name,), f"{share} is no multiple of the previous version's rows", "write 0 or more")
    pairs: tuple[tuple[str, float | None, float | None], ...] = (
        ("rows", min_rows, max_rows),
        ("of_previous", min_of_previous, max_of_previous),
    )
    for name, low, high in pairs:
        if low is not None and high is not None and low > high:
            raise TermsError((f"min_{name}",), f"min_{name} {low} is above max_{name} {high}", "swap or correct them")
