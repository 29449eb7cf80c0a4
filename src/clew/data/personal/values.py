"""One text by itself, as it comes in a request: which kind of personal data it holds, if any."""

import re
from typing import Final

from clew.data.personal import names, national, places
from clew.data.personal.columns import DETECTORS

# A glance that nearly all texts of requests fail: only the others cost a real look.
_GLANCE: Final = re.compile(
    r"@|\d\.\d{1,3}\.\d{1,3}\.\d|[0-9](?:[^0-9]{0,3}[0-9]){4}|::|(?:[0-9A-Fa-f]{2}[:-]){5}"
    r"|[\[(]at[\])]|[^\W\d_] \d|\d,? [^\W\d_]{2}"
)
_HARMLESS: Final = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?|[+-]?\d{1,8}(?:\.\d+)?"
)
_SURE: Final = 1 / 5000
_SHORTEST: Final = 9  # but for addresses of machines


def kind_of(text: str) -> str | None:
    """The kind of personal data that a text holds; moments are none, nor numbers that prove little by themselves.

    A person's name is known only behind a title or with both names in the lexicon.
    """
    if len(text) < _SHORTEST and "." not in text and "@" not in text:
        return None
    if _GLANCE.search(text) and not _HARMLESS.fullmatch(text):
        for detector in DETECTORS:
            if detector.prove(text) is not None:
                return detector.kind
        found = national.find([text], set())
        # Of bare numbers with eleven digits one in a hundred is some country's: too many to take for a person's.
        if found and (not text.strip().isdigit() or found[0].national.alone < _SURE):
            return found[0].national.kind
        if places.street_address(text) is not None:
            return "street address"
    if " " in text and names.named_in_text(text) is not None:
        return "name"
    return None
