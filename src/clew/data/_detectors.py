"""How personal data is told from what looks like it: a quick pattern for whole columns, a proof for candidates.

`quick` patterns run inside polars (no look-around) and may match too much; `prove` decides in Python and gives the
part of the text that is personal, or None.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

Prove = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Detector:
    """One kind of personal data.

    `named` are words of column names that settle what plain digits are; then `prove_named` is asked instead.
    With `chance`, a random number that has the `form` passes the proof with this probability: where the numbers of a
    column pass about as often as that, they are of another kind.
    """

    kind: str
    quick: str
    prove: Prove
    named: frozenset[str] = frozenset()
    prove_named: Prove | None = None
    form: Callable[[str], bool] | None = None
    chance: float = 0.0


# --- e-mail ------------------------------------------------------------------------------------------------------

_EMAIL: Final = re.compile(r"[\w.%+'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}")


def email(text: str) -> str | None:
    """An address with a domain of at least two parts."""
    for found in _EMAIL.finditer(text):
        local = found[0].partition("@")[0]
        if ".." not in local and local.strip(".'-"):
            return found[0]
    return None


# --- phone -------------------------------------------------------------------------------------------------------

_INTERNATIONAL: Final = re.compile(r"(?<![\w+.])(?:\+|(?<!\d[ -])00)[1-9][0-9 ()./-]{5,22}[0-9](?![\w-]|\.\d)")
_US: Final = re.compile(r"(?<![\w.+-])(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d([ .-]))[2-9]\d\d[ .-]\d{4}(?![\w-]|\.\d)")
_NATIONAL: Final = re.compile(r"\(?0[1-9]\d{0,3}\)?(?:[ /-]\d{2,5}){2,4}")
_NO_PHONE: Final = re.compile(r"\d{1,2}[ /-]\d{1,2}[ /-]\d{4}|\d{3}-\d{2}-\d{4}$")  # a date, a social security number


def phone(text: str) -> str | None:
    """An international number with its plus, a US one with its separators, or a whole text in national groups."""
    for found in _INTERNATIONAL.finditer(text):
        # groups of an account's or a card's digits may look like a number behind 00
        if _is_international(found[0]) and not any(found[0] in (part or "") for part in (iban(text), card(text))):
            return found[0]
    found_us = _US.search(text)
    if found_us:
        return found_us[0]
    whole = text.strip()
    if _NATIONAL.fullmatch(whole) and 9 <= _digits(whole) <= 11 and not _NO_PHONE.match(whole):
        return whole
    return None


def _is_international(number: str) -> bool:
    digits = _digits(number) - (2 if number.startswith("00") else 0)
    separators = set(re.sub(r"[\d+ ()]", "", number))
    groups = re.findall(r"\d+", number)
    if len(separators) > 1 or (separators == {"."} and len(groups) < 3):  # +41.123456 is a coordinate
        return False
    if len(groups) == 1:
        return number.startswith("+") and 10 <= digits <= 15
    return 8 <= digits <= 15 and all(len(group) <= 10 for group in groups)


def phone_digits(text: str) -> str | None:
    """In a column that calls itself a phone: any 7 to 15 digits with separators."""
    whole = text.strip()
    plain = re.fullmatch(r"\+?[0-9 ()./-]+", whole)
    return whole if plain and 7 <= _digits(whole) <= 15 else phone(text)


def _digits(text: str) -> int:
    return sum(map(str.isdigit, text))


# --- bank --------------------------------------------------------------------------------------------------------

# lengths by country, from the SWIFT registry of IBAN formats (ISO 13616)
_IBAN_LENGTHS: Final = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS", 23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]{2,4}){3,8}(?: ?[A-Za-z0-9])?")


def iban(text: str) -> str | None:
    """A bank account by country, length and check digits (ISO 13616, mod 97 by ISO 7064)."""
    for found in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(found[0][:2].upper())
        if length is None:
            continue
        part = _first_characters(found[0], length)
        plain = part.replace(" ", "").upper()
        follows = text[found.start() + len(part) : found.start() + len(part) + 1]
        if len(plain) == length and not follows.isalnum() and _mod97(plain) == 1:
            return part
    return None


def _first_characters(text: str, count: int) -> str:
    """The start of a text that holds `count` characters other than blanks."""
    for end, letter in enumerate(text, start=1):
        count -= letter != " "
        if count == 0:
            return text[:end]
    return text


def _mod97(plain: str) -> int:
    return int("".join(str(int(letter, 36)) for letter in plain[4:] + plain[:4])) % 97


_CARD: Final = re.compile(r"(?<![\w.+-])\d(?:[ -]?\d){13,18}(?![\w-]|\.\d)")


def card(text: str) -> str | None:
    """A payment card by issuer's prefix, length and check digit (ISO/IEC 7812)."""
    for found in _CARD.finditer(text):
        plain = re.sub(r"\D", "", found[0])
        if _is_issued(plain) and _luhn(plain) and len(set(plain)) > 1:
            return found[0]
    return None


def card_form(text: str) -> bool:
    """Whether there is a number of a card's length and prefix, right or wrong."""
    return any(_is_issued(re.sub(r"\D", "", found[0])) for found in _CARD.finditer(text))


def _is_issued(plain: str) -> bool:
    length, two, four = len(plain), int(plain[:2]), int(plain[:4])
    if length == 14:
        return two in (36, 38, 39) or 300 <= int(plain[:3]) <= 305
    if length == 15:
        return two in (34, 37)
    if length == 16 and (51 <= two <= 55 or 2221 <= four <= 2720 or 3528 <= four <= 3589):
        return True
    if length == 16 and (four == 6011 or two == 65 or 644 <= int(plain[:3]) <= 649):
        return True
    return (two == 62 and length >= 16) or (plain[0] == "4" and length in (16, 19))


def _luhn(plain: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(plain)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


# --- network -----------------------------------------------------------------------------------------------------

_IPV4: Final = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
_IPV6: Final = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{6,39}(?![\w:])")
_MAC: Final = re.compile(
    r"(?<![\w:-])(?:[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}|(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4})(?![\w:-])"
)


def ipv4(text: str) -> str | None:
    """An address of a host; not this machine, nobody or everybody."""
    for found in _IPV4.finditer(text):
        try:
            address = ipaddress.IPv4Address(found[0])
        except ValueError:
            continue
        if not (address.is_loopback or address.is_unspecified or found[0] == "255.255.255.255"):
            return found[0]
    return None


def ipv6(text: str) -> str | None:
    """An address of a host with at least three groups."""
    for found in _IPV6.finditer(text):
        if len([group for group in found[0].split(":") if group]) < 3:
            continue
        try:
            ipaddress.IPv6Address(found[0])
        except ValueError:
            continue
        return found[0]
    return None


def mac(text: str) -> str | None:
    """Six bytes of hex; digits alone may be a time."""
    for found in _MAC.finditer(text):
        if re.search("[A-Fa-f]", found[0]):
            return found[0]
    return None


# --- social security ---------------------------------------------------------------------------------------------

_SSN: Final = re.compile(r"(?<![\w.-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-]|\.\d)")


def ssn(text: str) -> str | None:
    """A US social security number in its groups, without those never given out."""
    found = _SSN.search(text)
    return None if found is None else found[0]


def ssn_digits(text: str) -> str | None:
    """In a column that calls itself so: nine plain digits (leading zeros may be lost in a number)."""
    whole = text.strip()
    plain = whole.zfill(9)
    return whole if re.fullmatch(r"(?!000|666|9)\d{3}(?!00)\d{2}(?!0000)\d{4}", plain) and len(whole) > 6 else ssn(text)


DETECTORS: Final = (
    Detector("e-mail", r"[^\s@]@[\w-]+\.\w", email),
    Detector(
        "phone",
        r"\+[1-9]\d{6}|\+[1-9]\d{0,3}[ (/-]|\+[1-9]\d{0,3}\.\d{1,5}\.|\b00[1-9]\d{0,3}[ (/-]"
        r"|\d{3}\)? ?[ .-]?\d{3}[ .-]\d{4}|^\s*\(?0\d{1,4}\)?[ /-]\d{2,5}[ /-]\d{2}",
        phone,
        frozenset({"phone", "phones", "telephone", "tel", "mobile", "fax", "cell", "telefon", "handy"}),
        phone_digits,
    ),
    Detector("iban", r"\b[A-Za-z]{2}\d{2} ?[A-Za-z0-9]{2,4} ?[A-Za-z0-9]{2,4} ?[A-Za-z0-9]{2}", iban),
    Detector(
        "card",
        r"(?:^|[^\w.+-])\d(?:[ -]?\d){13,18}(?:$|[^\w])",
        card,
        frozenset({"card", "cc", "creditcard", "pan"}),
        card,
        card_form,
        chance=0.1,
    ),
    Detector("ipv4", r"\d\.\d{1,3}\.\d{1,3}\.\d", ipv4),
    Detector("ipv6", r"[0-9A-Fa-f]{1,4}::|::[0-9A-Fa-f]{1,4}:|(?:[0-9A-Fa-f]{1,4}:){7}", ipv6),
    Detector("mac", r"(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}", mac),
    Detector("us-ssn", r"\d{3}-\d{2}-\d{4}", ssn, frozenset({"ssn"}), ssn_digits),
)

# --- by the column's name ----------------------------------------------------------------------------------------

_PEOPLE: Final = frozenset(
    "person people customer client patient employee worker owner seller buyer tenant landlord borrower applicant "  # noqa: SIM905  a list of words
    "contact guest user member student teacher doctor driver passenger author recipient sender spouse child parent "
    "father mother husband wife beneficiary insured holder cardholder account agent realtor witness victim".split()
)
_ALONE: Final = frozenset(
    "name names fullname firstname lastname surname forename givenname familyname middlename maidenname nickname "  # noqa: SIM905  as above
    "person seller buyer owner tenant landlord patient borrower applicant cardholder spouse realtor "
    "vorname nachname familienname prenom nom apellido apellidos nombre cognome "
    "street address addresses addr strasse straße adresse rue calle streetaddress homeaddress".split()
)
_NAME_KINDS: Final = frozenset({"first", "last", "full", "given", "family", "middle", "maiden", "birth", "legal"})
_ADDRESS_KINDS: Final = frozenset(
    "home street postal mailing billing shipping delivery residential property house line 1 2 line1 line2".split()  # noqa: SIM905  as above
)
_BIRTH: Final = frozenset({"dob", "birthdate", "birthday", "geburtsdatum"})


def named_kind(words: list[str]) -> str | None:
    """What the words of a column's name say it holds: "name-like column", "birth date", or None."""
    joined = set(words)
    if joined & _BIRTH or {"date", "birth"} <= joined:
        return "birth date"
    if len(words) == 1:
        return "name-like column" if words[0] in _ALONE else None
    others = joined - {"name", "address", "street", "addr"} - _PEOPLE
    if "name" in joined and not others - _NAME_KINDS and joined & (_PEOPLE | _NAME_KINDS):
        return "name-like column"
    if joined & {"address", "street", "addr"} and not others - _ADDRESS_KINDS - {"name"}:
        return "name-like column"
    return None
