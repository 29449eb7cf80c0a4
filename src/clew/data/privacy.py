"""Personal data in a table: found by value, kept out until a policy says what happens to it.

What a snapshot holds stays in its history, so the default is to refuse. A finding never carries a raw value.
"""

import hashlib
import hmac
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from clew.data._detectors import DETECTORS, Detector, Prove, named_kind
from clew.data._numbers import words
from clew.errors import RefusedError, UsageError

Action = Literal["block", "allow", "drop", "pseudonym"]

_KEY_BYTES: Final = 16
_SHOWN: Final = 40
_PLURALS: Final = {
    "e-mail": "e-mail addresses", "phone": "phone numbers", "iban": "bank accounts (IBAN)", "card": "card numbers",
    "ipv4": "IP addresses", "ipv6": "IP addresses (v6)", "mac": "MAC addresses",
    "us-ssn": "US social security numbers", "name-like column": "what its name says are names or addresses",
    "birth date": "what its name says are dates of birth",
}  # fmt: skip


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
        return f"{self.column}: {_PLURALS[self.kind]} in {self.matches:,} of {self.rows:,} rows{shape}"


@dataclass(frozen=True, slots=True)
class Policy:
    """What happens to a column that holds personal data, and why."""

    action: Action
    reason: str


def scan(frame: pl.DataFrame) -> list[PrivacyFinding]:
    """All kinds of personal data in all rows, column by column.

    Looks into texts (in lists and structs too), and into whole numbers where the column's name says what they are.
    Kinds: e-mail, phone, iban, card, ipv4, ipv6, mac, us-ssn, by value; "name-like column" and "birth date" by the
    column's name.
    """
    found: list[PrivacyFinding] = []
    for series in frame.iter_columns():
        named = _by_name(series)
        if named is not None:
            found.append(named)
        merged: dict[str, tuple[int, str]] = {}
        for leaf in _leaves(series):
            for kind, matches, example in _by_value(leaf):
                before = merged.get(kind, (0, example))
                merged[kind] = (before[0] + matches, before[1])
        for kind, (matches, example) in merged.items():
            rows = frame.height
            # a list holds several values a row
            count = min(matches, rows)
            found.append(PrivacyFinding(series.name, kind, count, rows, count / rows, example))
    return found


def apply_policy(
    frame: pl.DataFrame,
    findings: Sequence[PrivacyFinding],
    policies: Mapping[str, Policy],
    *,
    key: bytes | None = None,
) -> tuple[pl.DataFrame, list[PrivacyFinding]]:
    """The table as the policies want it, and the findings that none of them settles (no policy, or "block").

    "drop" and "pseudonym" apply wherever the column is, found or not. A pseudonym is the HMAC-SHA256 (RFC 2104) of
    the value's text, 64 hex digits: equal values stay equal across tables of one key, null stays null.
    Raises UsageError for a pseudonym without a key of at least 16 bytes, or of a nested column.
    """
    for column, policy in policies.items():
        if column not in frame.columns:
            continue
        if policy.action == "drop":
            frame = frame.drop(column)
        elif policy.action == "pseudonym":
            frame = frame.with_columns(_pseudonyms(frame[column], key))
    unresolved = [finding for finding in findings if _action(policies, finding.column) == "block"]
    return frame, unresolved


def refusal(name: str, unresolved: Sequence[PrivacyFinding]) -> RefusedError:
    """The refusal that names columns, kinds and rows, and a command for each column."""
    lines = "\n".join(f"  {finding}" for finding in unresolved)
    columns = dict.fromkeys(finding.column for finding in unresolved)
    commands = [f'clew data policy {name} {_word(column)} allow|drop|pseudonym --reason "…"' for column in columns]
    return RefusedError(
        f"{name} holds personal data that no policy lets in; nothing was stored:\n{lines}\n"
        "  A snapshot keeps what it holds in its history, so this must be decided before.",
        mend="\n        ".join(commands),
    )


def _action(policies: Mapping[str, Policy], column: str) -> Action:
    return policies[column].action if column in policies else "block"


def _word(column: str) -> str:
    return column if re.fullmatch(r"[\w.-]+", column) else "'" + column.replace("'", "'\\''") + "'"


# --- by value ----------------------------------------------------------------------------------------------------


def _leaves(series: pl.Series) -> Iterator[pl.Series]:
    """The texts and whole numbers of a column, out of lists and structs; named as the innermost field."""
    dtype = series.dtype
    if isinstance(dtype, pl.List):
        yield from _leaves(series.explode())
    elif isinstance(dtype, pl.Array):
        yield from _leaves(series.arr.to_list().explode())
    elif isinstance(dtype, pl.Struct):
        for field in dtype.fields:
            yield from _leaves(series.struct.field(field.name))
    elif isinstance(dtype, pl.String | pl.Categorical | pl.Enum) or dtype.is_integer():
        yield series


def _by_value(series: pl.Series) -> Iterator[tuple[str, int, str]]:
    """(kind, rows, masked example) of each kind that is in the column."""
    named = words(series.name)
    numeric = series.dtype.is_integer()
    wanted = [detector for detector in DETECTORS if not numeric or named & detector.named]
    if not wanted:
        return
    texts = series.cast(pl.String)
    # of categories each is asked once, not every row
    by_category = isinstance(series.dtype, pl.Categorical | pl.Enum)
    counts = texts.drop_nulls().value_counts(name="n") if by_category else None
    candidates = texts.drop_nulls() if counts is None else counts[series.name]
    any_kind = "|".join(f"(?:{detector.quick})" for detector in wanted if not named & detector.named)
    if any_kind and not any(named & detector.named for detector in wanted):
        keep = candidates.str.contains(any_kind)
        candidates = candidates.filter(keep)
        counts = None if counts is None else counts.filter(keep)
    if not len(candidates):
        return
    for detector in wanted:
        hit = _detect(detector, candidates, counts, says_so=bool(named & detector.named))
        if hit is not None:
            yield detector.kind, *hit


def _detect(
    detector: Detector, candidates: pl.Series, counts: pl.DataFrame | None, *, says_so: bool
) -> tuple[int, str] | None:
    prove: Prove = detector.prove_named if says_so and detector.prove_named else detector.prove
    if not says_so:
        keep = candidates.str.contains(detector.quick)
        candidates = candidates.filter(keep)
        counts = None if counts is None else counts.filter(keep)
    texts = candidates.to_list()
    times = [1] * len(texts) if counts is None else counts["n"].to_list()
    if detector.form is not None and not says_so and _by_chance(detector, detector.form, texts):
        return None
    matches, example = 0, ""
    for text, count in zip(texts, times, strict=True):
        part = prove(text)
        if part is not None:
            matches += count
            example = example or masked(part)
    return (matches, example) if matches else None


def _by_chance(detector: Detector, form: Callable[[str], bool], texts: list[str]) -> bool:
    """Whether no more numbers pass than random ones would, judged by up to 5,000 spread over the column."""
    tried = [text for text in texts[:: max(1, len(texts) // 5_000)] if form(text)]
    passed = sum(detector.prove(text) is not None for text in tried)
    expected = detector.chance * len(tried)
    # six standard deviations: what a column of ids reaches by luck less than once in a million
    return passed < len(tried) / 2 and passed < expected + 6 * math.sqrt(expected * (1 - detector.chance))


def masked(text: str) -> str:
    """The shape of a text: each letter and digit as a dot."""
    shape = re.sub(r"\w", "•", text)
    return shape if len(shape) <= _SHOWN else f"{shape[: _SHOWN - 1]}…"


# --- by name -----------------------------------------------------------------------------------------------------


def _by_name(series: pl.Series) -> PrivacyFinding | None:
    """A column that calls itself names, addresses or dates of birth, unless its values are a few categories."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", series.name).lower()
    kind = named_kind([word for word in re.split(r"[\W_]+", spaced) if word])
    values = series.drop_nulls()
    if kind is None or not len(values):
        return None
    if kind == "birth date":
        if not (series.dtype.is_temporal() or series.dtype == pl.String):
            return None
    elif not isinstance(series.dtype, pl.String | pl.Categorical) or not _like_names(values.cast(pl.String)):
        return None
    rows = len(series)
    example = masked(str(values[0])) if series.dtype == pl.String else ""
    return PrivacyFinding(series.name, kind, len(values), rows, len(values) / rows, example)


def _like_names(values: pl.Series) -> bool:
    distinct = values.n_unique()
    if distinct <= 12 and len(values) >= 10 * distinct:
        return False
    # codes such as S00801 are no names
    letters = values.str.count_matches(r"\p{L}")
    digits = values.str.count_matches(r"\d")
    return bool(((letters >= 2) & (letters > digits / 2)).mean() > 0.5)  # type: ignore[operator]


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
    names = [hmac.new(key, value, hashlib.sha256).hexdigest() for value in distinct]
    return texts.replace_strict(distinct, names, default=None, return_dtype=pl.String).alias(series.name)
