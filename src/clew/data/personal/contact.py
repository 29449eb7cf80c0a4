"""E-mail addresses and phone numbers; what a number of which country looks like is asked of `phonenumbers`."""

import re
from functools import cache
from typing import Any, Final

from clew.data.personal.accounts import card, iban

_EMAIL: Final = re.compile(r"[\w.%+'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}")
_SPELT: Final = re.compile(
    r"[\w.%+'-]{1,64} ?(?:\[at\]|\(at\)|@) ?(?:[\w-]{1,63} ?(?:\[dot\]|\(dot\)|\.) ?){1,4}[^\W\d_]{2,24}\b",
    re.IGNORECASE,
)


def email(text: str) -> str | None:
    """An address with a domain of at least two parts; also one that hides its signs from robots, as in a(at)b.com."""
    for found in _EMAIL.finditer(text):
        local = found[0].partition("@")[0]
        if ".." not in local and local.strip(".'-"):
            return found[0]
    if "at]" in text.lower() or "at)" in text.lower():
        spelt = _SPELT.search(text)
        return None if spelt is None else spelt[0]
    return None


# --- phone -------------------------------------------------------------------------------------------------------

_BLANK: Final = re.compile(r"[\xa0\u2007\u202f\u2009\t]")
_INTERNATIONAL: Final = re.compile(r"(?<![\w+.])(?:\+|(?<!\d[ -])00)[1-9][0-9 ()./-]{5,22}[0-9](?![\w-]|\.\d)")
_US: Final = re.compile(r"(?<![\w.+-])(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d([ .-]))[2-9]\d\d[ .-]\d{4}(?![\w-]|\.\d)")
_NATIONAL: Final = re.compile(r"\(?0[1-9]\d{0,4}\)?(?:[ ./-]{1,3}\d{2,6}){1,4}")
# An area in brackets as in Brazil, and the groups of Spain.
_GROUPED: Final = re.compile(r"(?<![\w.+-])(?:\(\d{2,4}\) ?\d{4,5}[ -]\d{4}|[6-9]\d\d \d\d \d\d \d\d)(?![\w-])")
_NO_PHONE: Final = re.compile(r"\d{1,2}[ ./-]\d{1,2}[ ./-]\d{4}|\d{3}-\d{2}-\d{4}$")  # a date, a social security number
_LABELLED: Final = re.compile(
    r"(?i)\b(?:tel|tél|phone|telephone|téléphone|telefon|telefono|teléfono|telefone|mobile|mobil|móvil|handy|natel|"
    r"portable|cell|fax|whatsapp|call|ph|mob|fon|fono)\b[ .:#=]{0,3}(?:no|nr|number)?[ .:#=]{0,3}"
    r"([+(]?\d[0-9 ()./-]{5,20}\d)"
)


def phone(text: str) -> str | None:
    """An international number, a US one with its separators, a labelled one, or a whole text in national groups."""
    text = _BLANK.sub(" ", text)
    for found in _INTERNATIONAL.finditer(text):
        # groups of an account's or a card's digits may look like a number behind 00
        if _is_international(found[0]) and not any(found[0] in (part or "") for part in (iban(text), card(text))):
            return found[0]
    found_us = _US.search(text) or _GROUPED.search(text)
    if found_us:
        return found_us[0]
    labelled = _LABELLED.search(text)
    if labelled and 7 <= _digits(labelled[1]) <= 15:
        return labelled[1]
    whole = text.strip()
    if _NATIONAL.fullmatch(whole) and 9 <= _digits(whole) <= 12 and not _NO_PHONE.match(whole):
        return whole
    return None


def _is_international(number: str) -> bool:
    """Whether it is written as a number, and of a country's length there."""
    digits = _digits(number) - (2 if number.startswith("00") else 0)
    separators = set(re.sub(r"[\d+ ()]", "", number))
    groups = re.findall(r"\d+", number)
    if len(separators) > 1 or (separators == {"."} and len(groups) < 3):  # +41.123456 is a coordinate
        return False
    if not 8 <= digits <= 15 or (len(groups) == 1 and not number.startswith("+")):
        return False
    return _exists(number, surely=len(groups) == 1 and digits < 10)


def _exists(number: str, *, surely: bool) -> bool:
    """Whether a country has numbers of this length; `surely`, that begin so."""
    phonenumbers = _library()
    try:
        found = phonenumbers.parse("+" + number.removeprefix("00") if number.startswith("00") else number, None)
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_valid_number(found) if surely else phonenumbers.is_possible_number(found))


@cache
def _library() -> Any:
    import phonenumbers

    return phonenumbers


def phone_digits(text: str) -> str | None:
    """In a column that calls itself a phone: any 7 to 15 digits with separators."""
    whole = text.strip()
    plain = re.fullmatch(r"\+?[0-9 ()./-]+", whole)
    return whole if plain and 7 <= _digits(whole) <= 15 else phone(text)


def _digits(text: str) -> int:
    return sum(map(str.isdigit, text))
