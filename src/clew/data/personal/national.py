"""Numbers that states give to people, of those countries whose numbers have a real check digit (by python-stdnum).

A number that says much by itself (a date of birth, two check digits, a letter, a country's prefix) is found alone.
Of others, such as nine digits of which any eleventh passes, one alone proves nothing: they are found by the column's
name, by a label before them, or where so many of a column pass that it can't be chance.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from clew.data.personal.detector import beyond_chance

Verdict = Literal["right", "wrong", "other"]
_SAMPLE: Final = 100
_ALONE: Final = 50
_RARE: Final = 1 / 5000


@dataclass(frozen=True, slots=True, eq=False)
class NationalId:
    """A country's number: stdnum's module, its lengths without separators, how often a wrong check digit passes.

    `alone` is how often any number of its length passes, 1 where that is too often for one number to prove anything.
    `shape` is how it is written, where it isn't digits alone.
    """

    country: str
    what: str
    module: str
    lengths: tuple[int, ...]
    check: float
    alone: float
    labels: frozenset[str]
    shape: str = ""

    @property
    def kind(self) -> str:
        """The kind that a finding says."""
        return f"national id {self.country}"


# country | what | module of stdnum | lengths | one in so many wrong check digits passes | one in so many numbers
# of that length passes, where one alone may be enough | labels
_TABLE: Final = """
CH | Swiss AHV numbers | ch.ssn | 13 | 10 | 10000 | ahv avs ahvnr ahvn13 navs sozialversicherungsnummer
DE | German tax ids | de.idnr | 11 | 10 | 275 | idnr steuerid steueridnr steueridentifikationsnummer tin
AT | Austrian insurance numbers | at.vnr | 10 | 11 | | svnr vsnr svnummer sozialversicherungsnummer
FR | French NIR | fr.nir | 15 | 97 | 250 | nir insee secu sécu nss
NL | Dutch BSN | nl.bsn | 9 | 11 | | bsn burgerservicenummer sofinummer sofi
BE | Belgian national numbers | be.nn | 11 | 97 | 700 | nn niss insz rrn rijksregisternummer
SE | Swedish personnummer | se.personnummer | 10 12 | 10 | 240 | personnummer personnr pnr
NO | Norwegian birth numbers | no.fodselsnummer | 11 | 110 | 900 | fodselsnummer fødselsnummer fnr personnummer
IS | Icelandic kennitala | is_.kennitala | 10 | 11 | 870 | kennitala kt
EE | Estonian and Lithuanian personal codes | ee.ik | 11 | 10 | 280 | isikukood ik asmens kodas
LV | Latvian personal codes | lv.pvn | 11 | 10 | | personas personaskods
PL | Polish PESEL | pl.pesel | 11 | 10 | | pesel
CZ | Czech and Slovak birth numbers | cz.rc | 10 | 11 | | rc rč rodnecislo rodné rodne
BG | Bulgarian EGN | bg.egn | 10 | 10 | | egn егн
RO | Romanian CNP | ro.cnp | 13 | 11 | 520 | cnp
SI | JMBG of Slovenia and its neighbours | si.emso | 13 | 11 | 240 | emso emšo jmbg
HR | Croatian OIB | hr.oib | 11 | 10 | | oib
GR | Greek AMKA | gr.amka | 11 | 10 | 270 | amka αμκα
PT | Portuguese NIF | pt.nif | 9 | 11 | | nif contribuinte
GB | British NHS numbers | gb.nhs | 10 | 11 | | nhs nhsnumber
CA | Canadian SIN | ca.sin | 9 | 10 | | sin
BR | Brazilian CPF | br.cpf | 11 | 97 | | cpf
AR | Argentinian CUIT | ar.cuit | 11 | 11 | | cuit cuil
CL | Chilean RUT | cl.rut | 8 9 | 11 | 1000000 | rut run
EC | Ecuadorian cédulas | ec.ci | 10 | 10 | | cedula cédula
DO | Dominican cédulas | do.cedula | 11 | 10 | | cedula cédula
TR | Turkish TCKN | tr.tckimlik | 11 | 97 | | tckn kimlik tckimlik
IL | Israeli identity numbers | il.idnr | 9 | 10 | | teudat zehut teudatzehut
ZA | South African ids | za.idnr | 13 | 10 | 1500 | said idnumber rsaid
IN | Aadhaar numbers | in_.aadhaar | 12 | 10 | | aadhaar aadhar uidai
CN | Chinese resident ids | cn | 18 | 11 | 1000000 | ric 身份证
KR | South Korean RRN | kr.rrn | 13 | 11 | 260 | rrn 주민등록번호
TH | Thai PIN | th.pin | 13 | 11 | | pin thaiid
JP | Japanese individual numbers | jp.in_ | 12 | 11 | | mynumber マイナンバー
AU | Australian TFN | au.tfn | 9 | 11 | | tfn
NZ | New Zealand IRD numbers | nz.ird | 9 | 11 | | ird
UA | Ukrainian RNTRC | ua.rntrc | 10 | 11 | | rntrc рнокпп
RU | Russian INN | ru.inn | 12 | 121 | | inn инн
ES | Spanish DNI | es.dni | 9 | 23 | 1000000 | dni nif
ES | Spanish NIE | es.nie | 9 | 23 | 1000000 | nie nif
FI | Finnish hetu | fi.hetu | 11 | 31 | 1000000 | hetu
IT | Italian codici fiscali | it.codicefiscale | 16 | 26 | 1000000 | cf codicefiscale
MX | Mexican CURP | mx.curp | 18 | 10 | 1000000 | curp
IE | Irish PPS numbers | ie.pps | 8 9 | 23 | 1000000 | pps ppsn
"""
# How they are written, where that isn't digits alone.
_SHAPE: Final = {
    "cl.rut": r"\d{1,2}\.?\d{3}\.?\d{3}-[\dkK]",
    "cn": r"[1-8]\d{16}[\dxX]",
    "es.dni": r"\d{2}[. ]?\d{3}[. ]?\d{3}[- ]?[A-HJ-NP-TV-Za-hj-np-tv-z]",
    "es.nie": r"[XYZxyz][- ]?\d{7}[- ]?[A-Za-z]",
    "fi.hetu": r"\d{6}[-+A-FU-Ya-fu-y]\d{3}[0-9A-Ya-y]",
    "it.codicefiscale": r"(?:[A-Za-z]{3} ?){2}[\dL-Vl-v]{2} ?[A-EHLMPRSTa-ehlmprst] ?[\dL-Vl-v]{2} ?"
    r"[A-Za-z] ?[\dL-Vl-v]{3} ?[A-Za-z]",
    "mx.curp": r"[A-Za-z]{4}\d{6}[HMXhmx][A-Za-z]{5}[0-9A-Za-z]\d",
    "ie.pps": r"\d{7} ?[A-Wa-w][ABHWTXZabhwtxz]?",
}
# The lengths of the groups in which they are usually written, by blanks, points or other signs.
_GROUPS: Final = {
    "ch.ssn": "3 4 4 2", "de.idnr": "2 3 3 3", "at.vnr": "4 6", "fr.nir": "1 2 2 2 3 3 2", "nl.bsn": "3 3 3/4 2 3",
    "be.nn": "2 2 2 3 2/6 3 2", "se.personnummer": "6 4/8 4", "no.fodselsnummer": "6 5", "is_.kennitala": "6 4",
    "lv.pvn": "6 5", "cz.rc": "6 4", "pt.nif": "3 3 3", "gb.nhs": "3 3 4", "ca.sin": "3 3 3", "br.cpf": "3 3 3 2",
    "ar.cuit": "2 8 1", "do.cedula": "3 7 1", "za.idnr": "6 4 3/6 4 2 1", "in_.aadhaar": "4 4 4", "kr.rrn": "6 7",
    "th.pin": "1 4 5 2 1", "jp.in_": "4 4 4", "au.tfn": "3 3 3", "nz.ird": "3 3 3", "ec.ci": "9 1", "il.idnr": "8 1",
    "gr.amka": "6 5", "ru.inn": "4 6 2", "tr.tckimlik": "3 3 3 2",
}  # fmt: skip
# Signs and groups that only these have say as much as a label.
_WRITTEN: Final = {
    "br.cpf": re.compile(r"\d{3}\.\d{3}\.\d{3}-\d{2}"),
    "cz.rc": re.compile(r"\d{6}/\d{4}"),
    "lv.pvn": re.compile(r"\d{6}-\d{5}"),
    "ar.cuit": re.compile(r"\d{2}-\d{8}-\d"),
    "at.vnr": re.compile(r"\d{4} \d{6}"),
    "do.cedula": re.compile(r"\d{3}-\d{7}-\d"),
    "th.pin": re.compile(r"\d-\d{4}-\d{5}-\d{2}-\d"),
}


def _read(line: str) -> NationalId:
    country, what, module, lengths, check, alone, labels = (cell.strip() for cell in line.split("|"))
    sizes = tuple(map(int, lengths.split()))
    words = frozenset(labels.split())
    return NationalId(country, what, module, sizes, 1 / int(check), 1 / int(alone or 1), words, _SHAPE.get(module, ""))


IDS: Final = tuple(_read(line) for line in _TABLE.strip().splitlines())
"""Left out for want of a check digit: Danish CPR since 2007, British NINO, US SSN (which is known by its groups)."""

_GAP: Final = "[ .\\-/\xa0\u202f]"
_DIGITS: Final = re.compile(rf"(?<![\w.+])(?<!\w-)(?<!\d{_GAP})\d(?:{_GAP}{{0,2}}\d){{8,14}}(?![\w]|{_GAP}?\d)")
_SHAPES: Final = tuple((one, re.compile(rf"(?<![\w.+])(?<!\w-){one.shape}(?![\w]|-\w)")) for one in IDS if one.shape)
_ANY_SHAPE: Final = re.compile(
    r"\d{6}[-+A-FU-Ya-fu-y]\d{3}|[A-Za-z]{4}\d{6}|[XYZxyz][- ]?\d{7}|\d{3}[- ]?[A-Za-z]\b|\d{17}|\d{3}-[\dkK]\b"
    r"|[A-Za-z]{3} ?[\dL-Vl-v]{2} ?[A-Za-z] ?[\dL-Vl-v]{2} ?[A-Za-z] ?[\dL-Vl-v]{3} ?[A-Za-z]"
)
QUICK: Final = (
    rf"[0-9](?:{_GAP}{{0,2}}[0-9]){{8}}|[0-9]{{6}}[-+A-FU-Ya-fu-y][0-9]{{3}}|[A-Za-z]{{4}}[0-9]{{6}}"
    r"|[XYZxyz][- ]?[0-9]{7}|[0-9]{7} ?[A-Wa-w]|[0-9]{2}[. ]?[0-9]{3}[. ]?[0-9]{3}[- ]?[A-Za-z]|[0-9]{3}-[0-9kK]"
    r"|[A-Za-z]{3} ?[0-9L-Vl-v]{2} ?[A-EHLMPRSTa-ehlmprst] ?[0-9L-Vl-v]{2} ?[A-Za-z] ?[0-9L-Vl-v]{3} ?[A-Za-z]"
)
_WORDS: Final = re.compile(r"[^\W\d_]+\d*")
_LABEL_REACH: Final = 32


@dataclass(frozen=True, slots=True)
class Found:
    """The texts of a column in which one country's numbers were proved, by their places; and one of them."""

    national: NationalId
    places: tuple[int, ...]
    example: str


def find(texts: Sequence[str], named: set[str]) -> list[Found]:
    """Countries' numbers in texts, the surest first; a text that one country explains isn't given to another.

    `named` are the words of the column's name.
    """
    right: dict[NationalId, list[int]] = {}
    tried: dict[NationalId, int] = {}
    seen: dict[NationalId, int] = {}
    sure: dict[NationalId, set[int]] = {}
    examples: dict[NationalId, str] = {}
    wanted = _possible([text for text in texts if not text.isdigit()], named)
    by_length = _possible_by_length(texts, named)
    for place, text in enumerate(texts):
        if text.isdigit():
            kinds = by_length.get(len(text))
            if not kinds:
                continue
        else:
            kinds = wanted
        for one, part, plain, labelled in _candidates(text, kinds, named):
            seen[one] = seen.get(one, 0) + 1
            verdict = _verdict(one, plain)
            if verdict == "other":
                continue
            tried[one] = tried.get(one, 0) + 1
            if verdict == "right":
                right.setdefault(one, []).append(place)
                examples.setdefault(one, part)
                if labelled:
                    sure.setdefault(one, set()).add(place)
    return list(_explained(right, tried, seen, sure, examples))


def _explained(
    right: dict[NationalId, list[int]],
    tried: dict[NationalId, int],
    seen: dict[NationalId, int],
    sure: dict[NationalId, set[int]],
    examples: dict[NationalId, str],
) -> Iterator[Found]:
    taken: set[int] = set()
    told: list[set[int]] = []
    order = sorted(right, key=lambda one: (-len(sure.get(one, ())), -len(right[one]) * (1 - one.check), one.alone))
    for one in order:
        rest = set(right[one]) - taken
        if not rest and set(right[one]) in told:
            rest = set(right[one])  # both countries check alike, and nothing says which it is
        labelled = sure.get(one, set()) - taken
        explained = len(set(right[one])) - len(rest)
        many = len(rest) >= (tried[one] - explained) / 2
        by_itself = beyond_chance(len(rest), max(seen[one] - explained, len(rest)), one.alone, once_in=_ALONE)
        enough = many and (by_itself or beyond_chance(len(rest), max(tried[one] - explained, len(rest)), one.check))
        places = rest if enough else labelled
        if places:
            taken |= places
            told.append(set(places))
            yield Found(one, tuple(sorted(places)), examples[one])


def _possible_by_length(texts: Sequence[str], named: set[str]) -> dict[int, frozenset[NationalId]]:
    """The same for texts that are digits alone, by how many these are."""
    alike: dict[int, list[str]] = {}
    for text in texts:
        if text.isdigit():
            alike.setdefault(len(text), []).append(text)
    of_length = {length: frozenset(_BY_LENGTH.get(length, ())) | _SHAPED.get(length, frozenset()) for length in alike}
    return {length: _possible(some, named) & of_length[length] for length, some in alike.items()}


def _possible(texts: Sequence[str], named: set[str]) -> frozenset[NationalId]:
    """All, or for a long column those that pass in a spread part of it more often than chance lets them."""
    everything = frozenset(IDS)
    if len(texts) <= 5 * _SAMPLE:
        return everything
    seen: dict[NationalId, int] = {}
    tried: dict[NationalId, int] = {}
    passed: dict[NationalId, int] = {}
    for text in texts[:: len(texts) // _SAMPLE]:
        for one, _, plain, labelled in _candidates(text, everything, named):
            verdict = _verdict(one, plain)
            seen[one] = seen.get(one, 0) + 1
            tried[one] = tried.get(one, 0) + (verdict != "other")
            passed[one] = passed.get(one, 0) + (_SAMPLE if labelled else verdict == "right")

    def may_be(one: NationalId) -> bool:
        if passed.get(one, 0) < 0.4 * tried.get(one, 0) and tried[one] >= 5:
            return False
        return seen.get(one, 0) < _SAMPLE / 4 or passed[one] > 0 or one.alone < _RARE

    return frozenset(one for one in IDS if may_be(one))


def _candidates(
    text: str, wanted: frozenset[NationalId], named: set[str]
) -> Iterator[tuple[NationalId, str, str, bool]]:
    """(whose, as written, without separators, whether its label stands before it)."""
    for found in _DIGITS.finditer(text):
        part = found[0]
        groups = [len(group) for group in re.findall(r"\d+", part)]
        if len(groups) == 2 and part[groups[0]] == ".":
            continue  # a number with decimals
        plain = re.sub(r"\D", "", part)
        for one in _BY_LENGTH.get(len(plain), ()):
            if one not in wanted:
                continue
            labelled = _says_so(one, part, text, found.start(), named)
            if labelled or len(groups) == 1 or groups in _grouped(one.module):
                yield one, part, plain, labelled
    if not _ANY_SHAPE.search(text):
        return
    for one, shape in _SHAPES:
        if one in wanted:
            for found in shape.finditer(text):
                plain = re.sub(_GAP, "", found[0]) if one.country != "FI" else found[0]
                yield one, found[0], plain.upper(), _says_so(one, found[0], text, found.start(), named)


_BY_LENGTH: Final = {
    length: tuple(one for one in IDS if length in one.lengths and not one.shape) for length in range(9, 16)
}


@cache
def _grouped(module: str) -> list[list[int]]:
    return [list(map(int, one.split())) for one in _GROUPS.get(module, "").split("/")]


_SHAPED: Final = {18: frozenset(one for one in IDS if one.module == "cn")}


def _says_so(one: NationalId, part: str, text: str, start: int, named: set[str]) -> bool:
    """Whether the column's name, a label before it, or its own separators say whose number it is."""
    written = _WRITTEN.get(one.module)
    if written is not None and written.fullmatch(part):
        return True
    return bool(one.labels & (named | _before(text, start)))


def _before(text: str, start: int) -> set[str]:
    return {word.lower() for word in _WORDS.findall(text[max(0, start - _LABEL_REACH) : start])} if start else set()


def _verdict(one: NationalId, plain: str) -> Verdict:
    """Whether a number is right, or only its check digit wrong, or whether it is another kind of number."""
    if len(set(plain)) < 3:
        return "other"
    return _validator(one.module)(plain)


@cache
def _validator(module: str) -> Callable[[str], Verdict]:
    from importlib import import_module

    from stdnum.exceptions import InvalidChecksum, ValidationError

    if module == "cn":
        return _chinese
    check = import_module(f"stdnum.{module}").validate

    def verdict(plain: str) -> Verdict:
        try:
            check(plain)
        except InvalidChecksum:
            return "wrong"
        except (ValidationError, ValueError):
            return "other"
        return "other" if _refused(module, plain) else "right"

    return verdict


def _refused(module: str, plain: str) -> bool:
    """What stdnum lets pass, and no person has."""
    if module == "fr.nir":  # sex, month (or one that stands for unknown), department
        month = int(plain[3:5])
        return (
            plain[0] not in "123478" or not (1 <= month <= 12 or 20 <= month <= 42 or month >= 50) or plain[5:7] == "00"
        )
    if module == "lv.pvn":  # companies
        return plain[0] > "3"
    if module == "pt.nif":
        return plain[0] not in "123"
    return False


def _chinese(plain: str) -> Verdict:
    """Date of birth and check digit (GB 11643); stdnum's table of places raises on some of them."""
    import datetime as dt

    from stdnum.iso7064 import mod_11_2

    try:
        born = dt.date(int(plain[6:10]), int(plain[10:12]), int(plain[12:14]))
    except ValueError:
        return "other"
    if born.year < 1850:
        return "other"
    return "right" if mod_11_2.is_valid(plain) else "wrong"
