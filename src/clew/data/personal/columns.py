"""One column: which kinds of personal data its values prove, and how often."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from clew.data._numbers import words
from clew.data.personal import births, free_text, names, national, places, unmarked
from clew.data.personal.accounts import card, card_form, iban, iban_form
from clew.data.personal.contact import email, phone, phone_digits
from clew.data.personal.detector import Detector, Prove, beyond_chance
from clew.data.personal.network import ipv4, ipv6, mac
from clew.data.personal.social import ssn, ssn_digits

_SMALL: Final = (pl.Int8, pl.Int16, pl.UInt8, pl.UInt16)
_LEAST: Final = 10**8  # nine digits: no number of a state, and no card, has fewer
MOST_PROOFS: Final = 20_000
_CHANCE_SAMPLE: Final = 5_000

DETECTORS: Final = (
    Detector("e-mail", r"[^\s@]@[\w-]+\.\w|(?i)[\[(]at[\])]", email),
    Detector(
        "phone",
        r"\+[1-9][0-9]{6}|\+[1-9][0-9]{0,3}[ (./\x{a0}-]|\b00[1-9][0-9]{0,3}[ (/-]"
        r"|[0-9]{3}\)? ?[ .-]?[0-9]{3}[ .-][0-9]{4}|^\s*\(?0[0-9]{1,4}\)?[ ./-]{1,3}[0-9]{2,6}"
        r"|\([0-9]{2,4}\) ?[0-9]{4,5}[ -][0-9]{4}|[6-9][0-9]{2}(?: [0-9]{2}){3}"
        r"|\pL[ .:#=]{0,4}[+(]?[0-9][0-9 ()./-]{5}",
        phone,
        frozenset({"phone", "phones", "telephone", "tel", "mobile", "fax", "cell", "telefon", "handy", "telefono"}),
        phone_digits,
        numbers=True,
    ),
    Detector(
        "iban",
        r"(?:\b|[IiNn])[A-Za-z]{2}[ .-]?[0-9]{2}(?:[ ./_\x{a0}\x{202f}\t-]{0,2}[A-Za-z0-9]){11}",
        iban,
        form=iban_form,
        chance=1 / 97,
    ),
    Detector(
        "card",
        r"(?:^|[^\w.+-])[0-9](?:[ ./\x{a0}\x{202f}-]{0,2}[0-9]){13,18}(?:$|[^0-9A-Za-z_])",
        card,
        frozenset({"card", "cc", "creditcard", "pan"}),
        card,
        card_form,
        chance=0.1,
        numbers=True,
    ),
    Detector("ipv4", r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]", ipv4),
    Detector("ipv6", r"[0-9A-Fa-f]{1,4}::|::[0-9A-Fa-f]{1,4}:|(?:[0-9A-Fa-f]{1,4}:){7}", ipv6),
    Detector("mac", r"(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}", mac),
    Detector("us-ssn", r"[0-9]{3}-[0-9]{2}-[0-9]{4}", ssn, frozenset({"ssn"}), ssn_digits, numbers=True),
    Detector("coordinates", places.COORDINATES_QUICK, places.coordinates),
    Detector("birth date", births.QUICK, births.labelled),
)
# What none of the above, nor a national number, can do without: the others needn't be looked at again.
_WORTH_A_LOOK: Final = (
    r"[0-9](?:[^0-9]{0,3}[0-9]){4}|@|[\[(][aA][tT][\])]|::|(?:[0-9A-Fa-f]{2}[:-]){5}"
    r"|[A-Za-z]{2}[ .-]?[0-9]{2}[ .-]?[0-9]{2}|[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"
)


@dataclass(frozen=True, slots=True)
class Hit:
    """A kind of personal data in a column: in how many values, and one part that is it."""

    kind: str
    matches: int
    example: str


@dataclass(frozen=True, slots=True)
class Texts:
    """Different texts of a column with how often each occurs; `times` is None where each is listed as it stands."""

    values: pl.Series
    times: pl.Series | None = None

    def matching(self, pattern: str) -> "Texts":
        """Those that a pattern of polars finds."""
        keep = self.values.str.contains(pattern)
        return Texts(self.values.filter(keep), None if self.times is None else self.times.filter(keep))

    def count(self, places: Sequence[int] | None = None) -> int:
        """In how many rows these texts stand; all of them, if no places are given."""
        if self.times is None:
            return len(self.values) if places is None else len(places)
        return int(self.times.sum()) if places is None else int(self.times.gather(list(places)).sum())

    def spread(self, most: int) -> tuple["Texts", float]:
        """At most so many of them, evenly from the whole; and how many each stands for."""
        step = -(-len(self.values) // most)
        if step <= 1:
            return self, 1.0
        some = self.values.gather_every(step)
        times = None if self.times is None else self.times.gather_every(step)
        return Texts(some, times), len(self.values) / len(some)


def scan(series: pl.Series) -> list[Hit]:
    """All kinds in a column, and in its lists and structs."""
    merged: dict[str, Hit] = {}
    for leaf in _leaves(series):
        for hit in _in_leaf(leaf):
            before = merged.get(hit.kind)
            merged[hit.kind] = hit if before is None else Hit(hit.kind, before.matches + hit.matches, before.example)
    return list(merged.values())


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
    elif dtype.is_float() and _is_whole(series):
        yield series.cast(pl.Int64, strict=False)


def _is_whole(series: pl.Series) -> bool:
    """Whether a column of floats holds large whole numbers, as a table with missing values makes them."""
    largest = series.max()
    if largest is None or not 1e7 < float(largest) < 2**53:  # type: ignore[arg-type]
        return False
    return bool((series.floor() == series).all())


def _in_leaf(series: pl.Series) -> Iterator[Hit]:
    named = words(series.name) | set(re.findall(r"[^\W\d_]+", series.name.lower()))
    if series.dtype.is_integer():
        yield from _in_numbers(series, named)
        return
    texts = _texts(series)
    if not len(texts.values):
        return
    worth = texts.matching(_WORTH_A_LOOK)
    for detector in DETECTORS:
        says_so = bool(named & detector.named)
        yield from _detect(detector, texts if says_so else worth, says_so=says_so)
    yield from _national(worth.matching(national.QUICK), named)
    yield from _unmarked_phones(texts, named)
    yield from _written(texts, worth)


def _in_numbers(series: pl.Series, named: set[str]) -> Iterator[Hit]:
    """Whole numbers: what the column's name says, else cards, national numbers, and phones of ten digits."""
    numbers = series.drop_nulls()
    for detector in DETECTORS:
        if detector.numbers and named & detector.named:
            yield from _detect(detector, Texts(numbers.cast(pl.String)), says_so=True)
    if numbers.dtype in _SMALL:
        return
    large = numbers.filter(numbers >= _LEAST)
    # Evenly from the whole, before they become texts: of a column of large ids none costs much.
    step = -(-len(large) // MOST_PROOFS) or 1
    texts = Texts(large.gather_every(step).cast(pl.String))
    if not len(texts.values):
        return
    weight = len(large) / len(texts.values)
    hits = [*_national(texts, named), *_unmarked_phones(texts, named)]
    for detector in DETECTORS:
        if detector.kind == "card" and not named & detector.named:
            hits += _detect(detector, texts, says_so=False)
    for hit in hits:
        yield Hit(hit.kind, round(hit.matches * weight), hit.example)


def _texts(series: pl.Series) -> Texts:
    """Of a column that repeats itself each text once: it is asked once, not in every row."""
    texts = series.cast(pl.String).drop_nulls()
    some = texts.gather_every(max(1, len(texts) // 2000))
    repeats = isinstance(series.dtype, pl.Categorical | pl.Enum) or some.n_unique() < len(some) / 2
    if not repeats:
        return Texts(texts)
    counts = texts.alias("text").value_counts(name="times")
    return Texts(counts["text"], counts["times"])


def _detect(detector: Detector, texts: Texts, *, says_so: bool) -> Iterator[Hit]:
    prove: Prove = detector.prove_named if says_so and detector.prove_named else detector.prove
    if not says_so:
        texts = texts.matching(detector.quick)
    if not len(texts.values):
        return
    if detector.form is not None and not says_so and _by_chance(detector, detector.form, texts):
        return
    yield from _proved(detector.kind, prove, texts)


def _proved(kind: str, prove: Prove, texts: Texts) -> Iterator[Hit]:
    """Each text that is proved; of very many, an even part stands for all."""
    some, weight = texts.spread(MOST_PROOFS)
    found, example = [], ""
    for place, text in enumerate(some.values.to_list()):
        part = prove(text)
        if part is not None:
            found.append(place)
            example = example or part
    if found:
        yield Hit(kind, round(some.count(found) * weight), example)


def _by_chance(detector: Detector, form: Callable[[str], bool], texts: Texts) -> bool:
    """Whether no more numbers pass than random ones would, judged by a part that is spread over the column."""
    some, _ = texts.spread(_CHANCE_SAMPLE)
    tried = [text for text in some.values.to_list() if form(text)]
    passed = sum(detector.prove(text) is not None for text in tried)
    return passed < len(tried) / 2 and not beyond_chance(passed, len(tried), detector.chance)


def _national(texts: Texts, named: set[str]) -> Iterator[Hit]:
    some, weight = texts.spread(MOST_PROOFS)
    for found in national.find(some.values.to_list(), named):
        yield Hit(found.national.kind, round(some.count(found.places) * weight), found.example)


def _unmarked_phones(texts: Texts, named: set[str]) -> Iterator[Hit]:
    if not named & {"phone", "tel", "mobile"} and unmarked.are_phones(texts.values):
        yield Hit("phone", texts.count(), str(texts.values[0]))


def _written(texts: Texts, worth: Texts) -> Iterator[Hit]:
    """What people write in words: addresses, names, free text."""
    if births.by_value(texts.values) and not len(worth.matching(births.QUICK).values):
        yield Hit("birth date", texts.count(), str(texts.values[0]))
    addresses = texts.matching(r"[0-9]").matching(r"\pL{2}").matching(places.ADDRESS_QUICK)
    yield from _proved("street address", places.street_address, addresses)
    if names.are_names(texts.values):
        yield Hit("name", texts.count(), str(texts.values[0]))
    elif free_text.is_free_text(texts.values):
        yield Hit("free text", texts.count(), "")
        yield from _proved("name", names.named_in_text, texts.matching(names.QUICK))
