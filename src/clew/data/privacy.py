"""Personal data in a table: found by value, kept out until a policy says what happens to it.

What a snapshot holds stays in its history, so the default is to refuse. A finding never carries a raw value.
"""

import hashlib
import hmac
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from clew.data import generalise
from clew.data.generalise import Generalisation
from clew.data.personal import births, columns, names, national, places
from clew.errors import RefusedError, UsageError

Action = Literal["block", "allow", "drop", "pseudonym", "generalise"]

_KEY_BYTES: Final = 16
_SHOWN: Final = 40
_PLURALS: Final = {
    "e-mail": "e-mail addresses", "phone": "phone numbers", "iban": "bank accounts (IBAN)", "card": "card numbers",
    "ipv4": "IP addresses", "ipv6": "IP addresses (v6)", "mac": "MAC addresses",
    "us-ssn": "US social security numbers", "name-like column": "what its name says are names or addresses",
    "birth date": "dates of birth", "coordinates": "coordinates precise to a home",
    "street address": "street addresses", "name": "people's names", "free text": "free text",
}  # fmt: skip
_SAID_BY_NAME: Final = {"name-like column": {"name", "street address"}, "birth date": {"birth date"}}
NOTED: Final = frozenset({"free text"})
"""Kinds that say where to look; by themselves they are no reason to refuse."""


def plural(kind: str) -> str:
    """A kind in words."""
    if kind in _PLURALS:
        return _PLURALS[kind]
    whats = [one.what for one in national.IDS if one.kind == kind]
    return " or ".join(whats) if whats else kind


@dataclass(frozen=True, slots=True)
class PrivacyFinding:
    """One kind of personal data in one column: `matches` of `rows` rows; the example shows its shape only."""

    column: str
    kind: str
    matches: int
    rows: int
    share: float
    example_masked: str

    def __str__(self) -> str:
        shape = f" (such as {self.example_masked})" if self.example_masked else ""
        return f"{self.column}: {plural(self.kind)} in {self.matches:,} of {self.rows:,} rows{shape}"


@dataclass(frozen=True, slots=True)
class Policy:
    """What happens to a column that holds personal data, and why; `how` it is generalised."""

    action: Action
    reason: str
    how: Generalisation | None = None

    def __str__(self) -> str:
        return self.action if self.how is None else f"{self.action} to {self.how}"


def scan(frame: pl.DataFrame, *, without: Collection[str] = ()) -> list[PrivacyFinding]:
    """All kinds of personal data in all rows, column by column.

    Looks into texts (in lists and structs too), and into whole numbers of eight digits and more. By value: e-mail,
    phone, iban, card, ipv4, ipv6, mac, us-ssn, "national id CC" (the countries of `personal.national`), coordinates,
    street addresses, names; by the column's name "name-like column"; dates of birth by both. "free text" says that
    anything may stand there. `without` are columns to leave out.
    """
    found: list[PrivacyFinding] = []
    placed = {name for pair in places.precise_pairs(frame) for name in pair}
    for series in frame.iter_columns():
        if series.name in without:
            continue
        kinds = _in_column(series)
        if series.name in placed:
            count = len(series) - series.null_count()
            kinds.append(PrivacyFinding(series.name, "coordinates", count, frame.height, count / frame.height, ""))
        found += kinds
    return found


def _in_column(series: pl.Series) -> list[PrivacyFinding]:
    named = _by_name(series)
    found = [] if named is None else [named]
    rows = len(series)
    for hit in columns.scan(series):
        if named is not None and hit.kind in _SAID_BY_NAME[named.kind]:
            continue
        # a list holds several values a row
        count = min(hit.matches, rows)
        found.append(PrivacyFinding(series.name, hit.kind, count, rows, count / rows, masked(hit.example)))
    for inner in _structs(series):
        if places.precise_pairs(inner) and not any(one.kind == "coordinates" for one in found):
            found.append(PrivacyFinding(series.name, "coordinates", rows, rows, 1.0, ""))
    if isinstance(series.dtype, pl.List | pl.Array) and places.is_precise_list(series):
        found.append(PrivacyFinding(series.name, "coordinates", rows, rows, 1.0, ""))
    return found


def _structs(series: pl.Series) -> Iterator[pl.DataFrame]:
    """The structs of a column, as tables."""
    dtype = series.dtype
    if isinstance(dtype, pl.List):
        yield from _structs(series.explode())
    elif isinstance(dtype, pl.Struct):
        inner = series.drop_nulls().struct.unnest()
        yield inner
        for field in inner.iter_columns():
            yield from _structs(field)


def apply_policy(
    frame: pl.DataFrame,
    findings: Sequence[PrivacyFinding],
    policies: Mapping[str, Policy],
    *,
    key: bytes | None = None,
) -> tuple[pl.DataFrame, list[PrivacyFinding]]:
    """The table as the policies want it, and the findings that none of them settles (no policy, or "block").

    "drop", "pseudonym" and "generalise" apply wherever the column is, found or not. A pseudonym is the HMAC-SHA256
    (RFC 2104) of the value's text, 64 hex digits: equal values stay equal across tables of one key, null stays null.
    Raises UsageError for a pseudonym without a key of at least 16 bytes, or of a nested column, and for a
    generalisation that doesn't fit the column's type.
    """
    for column, policy in policies.items():
        if column not in frame.columns:
            continue
        if policy.action == "drop":
            frame = frame.drop(column)
        elif policy.action == "pseudonym":
            frame = frame.with_columns(_pseudonyms(frame[column], key))
        elif policy.how is not None:
            frame = frame.with_columns(generalise.apply(frame[column], policy.how))
    return frame, unsettled(findings, policies)


def unsettled(findings: Iterable[PrivacyFinding], policies: Mapping[str, Policy]) -> list[PrivacyFinding]:
    """Those of columns that have no policy, or one that blocks; free text by itself needs none."""
    return [one for one in findings if one.kind not in NOTED and _action(policies, one.column) == "block"]


def refusal(name: str, unresolved: Sequence[PrivacyFinding], new: Collection[str] = ()) -> RefusedError:
    """The refusal that names columns, kinds and rows, and a command for each column; `new` ones are said to be so."""
    lines = "\n".join(f"  {finding}" for finding in unresolved)
    columns = dict.fromkeys(finding.column for finding in unresolved)
    commands = [
        f"clew data policy {name} {_word(column)} allow|drop|pseudonym|generalise "
        f'--reason "…"{" --new" if column in new else ""}'
        for column in columns
    ]
    return RefusedError(
        f"{name} holds personal data that no policy lets in; nothing was stored:\n{lines}\n"
        "  A snapshot keeps what it holds in its history, so this must be decided before.",
        mend="\n        ".join(commands),
    )


def _action(policies: Mapping[str, Policy], column: str) -> Action:
    return policies[column].action if column in policies else "block"


def _word(column: str) -> str:
    return column if re.fullmatch(r"[\w.-]+", column) else "'" + column.replace("'", "'\\''") + "'"


def masked(text: str) -> str:
    """The shape of a text: each letter and digit as a dot."""
    shape = re.sub(r"\w", "•", text)
    return shape if len(shape) <= _SHOWN else f"{shape[: _SHOWN - 1]}…"


# --- by name -----------------------------------------------------------------------------------------------------


def _by_name(series: pl.Series) -> PrivacyFinding | None:
    """A column that calls itself names, addresses or dates of birth, unless its values are a few categories."""
    kind = names.said_kind(series.name)
    values = series.drop_nulls()
    if not len(values):
        return None
    if births.by_name(series) or (series.dtype.is_temporal() and births.by_value(series)):
        kind = "birth date"
    elif not (
        kind == "name-like column"
        and isinstance(series.dtype, pl.String | pl.Categorical)
        and names.like_names(values.cast(pl.String))
    ):
        return None
    rows = len(series)
    example = masked(str(values[0])) if series.dtype == pl.String else ""
    return PrivacyFinding(series.name, kind, len(values), rows, len(values) / rows, example)


# --- pseudonyms --------------------------------------------------------------------------------------------------


def _pseudonyms(series: pl.Series, key: bytes | None) -> pl.Series:
    if key is None or len(key) < _KEY_BYTES:
        raise UsageError(
            f"column {series.name!r} is to be pseudonymised, and no key of at least {_KEY_BYTES} bytes is there",
            mend="give the workspace's pseudonym key",
        )
    if series.dtype.is_nested():
        raise UsageError(
            f"column {series.name!r} of type {series.dtype} can't be pseudonymised as a whole",
            mend="unnest it before adding, or drop it",
        )
    texts = series.cast(pl.Binary) if series.dtype == pl.Binary else series.cast(pl.String).cast(pl.Binary)
    distinct = texts.drop_nulls().unique()
    hashed = [hmac.new(key, value, hashlib.sha256).hexdigest() for value in distinct]
    return texts.replace_strict(distinct, hashed, default=None, return_dtype=pl.String).alias(series.name)


def pseudonym(key: bytes, text: str) -> str:
    """The pseudonym of one value, as a column of texts has it."""
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
