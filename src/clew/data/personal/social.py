"""US social security numbers: they have no check digit, and are known by their groups."""

import re
from typing import Final

_SSN: Final = re.compile(r"(?<![\w.-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-]|\.\d)")


def ssn(text: str) -> str | None:
    """A number in its groups, without those never given out."""
    found = _SSN.search(text)
    return None if found is None else found[0]


def ssn_digits(text: str) -> str | None:
    """In a column that calls itself so: nine plain digits (leading zeros may be lost in a number)."""
    whole = text.strip()
    plain = whole.zfill(9)
    return whole if re.fullmatch(r"(?!000|666|9)\d{3}(?!00)\d{2}(?!0000)\d{4}", plain) and len(whole) > 6 else ssn(text)
