"""Phone numbers as plain digits, in a column that doesn't say so: known only by nearly all of them being valid."""

import re
from typing import Final

import polars as pl

_SAMPLE: Final = 200
_PREFIXES: Final = 20
# Where national numbers begin with a 0, and where ten digits stand by themselves.
_WITH_ZERO: Final = ("DE", "FR", "GB", "CH", "AT", "NL", "BE", "SE", "AU", "JP")


def are_phones(values: pl.Series) -> bool:
    """Whether of fifty different texts or more, 97 in 100 are a country's numbers, with many prefixes."""
    if len(values) < 50:
        return False
    some = values.gather_every(max(1, len(values) // _SAMPLE)).to_list()
    plain = [text.strip() for text in some]
    if len(set(plain)) < 0.8 * len(plain):
        return False
    if all(re.fullmatch(r"0[1-9]\d{7,10}", text) for text in plain):
        return len({text[:4] for text in plain}) >= _PREFIXES and any(_valid(plain, one) for one in _WITH_ZERO)
    if all(re.fullmatch(r"[2-9]\d{9}", text) for text in plain):
        return len({text[:3] for text in plain}) >= _PREFIXES and _valid(plain, "US")
    return False


def _valid(texts: list[str], region: str) -> bool:
    import phonenumbers

    found = 0
    for text in texts:
        try:
            found += phonenumbers.is_valid_number(phonenumbers.parse(text, region))
        except phonenumbers.NumberParseException:
            continue
    return found >= 0.97 * len(texts)
