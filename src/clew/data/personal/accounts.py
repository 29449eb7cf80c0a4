"""Bank accounts and payment cards, by their check digits (stdnum: ISO 7064 mod 97-10, Luhn)."""

import re
from functools import cache
from typing import Any, Final

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
_GAP: Final = "[ .\\-_/\xa0\u202f\t]"
_IBAN: Final = re.compile(
    rf"(?<![A-Za-z0-9])(?:IBAN{_GAP}*:?{_GAP}*)?([A-Z]{{2}}{_GAP}?\d{{2}}(?:{_GAP}{{0,2}}[A-Z0-9]){{11,29}})",
    re.IGNORECASE,
)


def iban(text: str) -> str | None:
    """A bank account by country, length and check digits."""
    for part, plain, follows in _ibans(text):
        if not follows.isalnum() and _library("iso7064.mod_97_10").is_valid(plain[4:] + plain[:4]):
            return part
    return None


def iban_form(text: str) -> bool:
    """Whether there is something of a country's length, right or wrong."""
    return any(not follows.isalnum() for _, _, follows in _ibans(text))


def _ibans(text: str) -> list[tuple[str, str, str]]:
    """(as written, plain, the letter that follows) of what begins as one."""
    found = []
    for match in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(re.sub(_GAP, "", match[1])[:2].upper())
        if length is None:
            continue
        part = _first_characters(match[1], length)
        plain = re.sub(_GAP, "", part).upper()
        if len(plain) == length:
            end = match.start(1) + len(part)
            found.append((part, plain, text[end : end + 1]))
    return found


def _first_characters(text: str, count: int) -> str:
    """The start of a text that holds `count` letters and digits."""
    for end, letter in enumerate(text, start=1):
        count -= letter.isalnum()
        if count == 0:
            return text[:end]
    return text


_CARD: Final = re.compile("(?<![\\w.+-])\\d(?:[ .\\-/\xa0\u202f]{0,2}\\d){13,18}(?![\\w-]|\\.\\d)")


def card(text: str) -> str | None:
    """A payment card by issuer's prefix, length and check digit (ISO/IEC 7812)."""
    for found in _CARD.finditer(text):
        plain = re.sub(r"\D", "", found[0])
        if _is_issued(plain) and len(set(plain)) > 1 and _library("luhn").is_valid(plain):
            account = iban(text)
            if account is None or found[0] not in account:
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


@cache
def _library(module: str) -> Any:
    from importlib import import_module

    return import_module(f"stdnum.{module}")
