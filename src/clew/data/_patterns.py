"""The form of a column's texts as a regular expression: codes of one length, ids, words of a known alphabet."""

import re
from typing import Final

import polars as pl

_FEW_TEXTS: Final = 200
_FEW_VALUES: Final = 5
_LONGEST: Final = 40
_SEEN: Final = 5  # texts that have a sign, so that a text with another would be odd
_SIGNS: Final = 8


def code_pattern(values: pl.Series) -> str | None:
    """The form of codes: letters before digits, or texts of one length with the same kinds of signs at each place."""
    if len(values) < _FEW_TEXTS:
        return None
    texts = values.unique()
    if len(texts) < _FEW_VALUES:
        return None
    return id_pattern(texts) or _of_one_length(texts)


def id_pattern(texts: pl.Series) -> str | None:
    """A letter prefix and digits, where all texts are so: ids may grow longer, not become something else."""
    first = re.fullmatch(r"([A-Za-z]{1,8}[-_/]?)(\d+)", str(texts[0])) if len(texts) else None
    if first is None:
        return None
    pattern = rf"^{re.escape(first[1])}\d+$"
    if not texts.str.contains(pattern).all():
        return None
    padded = texts.str.len_chars().n_unique() == 1 and texts.str.contains(rf"^{re.escape(first[1])}0\d").any()
    return rf"^{re.escape(first[1])}\d{{{len(first[2])},}}$" if padded else pattern


def _of_one_length(texts: pl.Series) -> str | None:
    lengths = texts.str.len_chars()
    length = int(lengths.min())  # type: ignore[arg-type]
    if not 0 < length <= _LONGEST or length != lengths.max():
        return None
    kinds = [_kind(set(texts.str.slice(at, 1).unique().to_list())) for at in range(length)]
    if any(kind is None for kind in kinds):
        return None
    written, at = "", 0
    while at < length:
        run = 1
        while at + run < length and kinds[at + run] == kinds[at]:
            run += 1
        written += f"{kinds[at]}" + (f"{{{run}}}" if run > 1 else "")
        at += run
    return f"^{written}$"


def _kind(signs: set[str]) -> str | None:
    """The narrowest kind of sign that has all of these; None where there is none."""
    if all(sign.isascii() and sign.isalnum() for sign in signs):
        digits = any(sign.isdigit() for sign in signs)
        upper = any(sign.isupper() for sign in signs)
        lower = any(sign.islower() for sign in signs)
        if digits and not upper and not lower:
            return r"\d"
        return "[" + ("A-Z" if upper else "") + ("a-z" if lower else "") + ("0-9" if digits else "") + "]"
    return re.escape(signs.pop()) if len(signs) == 1 else None


def alphabet_pattern(values: pl.Series) -> str | None:
    """The signs that texts of any length are made of, without blanks at their ends."""
    texts = values.unique()
    if len(values) < _FEW_TEXTS or len(texts) < 4 * _FEW_VALUES:
        return None
    signs = texts.str.split("").explode().value_counts(name="texts")
    counts = dict(signs.filter(pl.col(texts.name) != "").iter_rows())
    others = {sign: count for sign, count in counts.items() if not sign.isalpha() and not sign.isdecimal()}
    if not counts or len(others) > _SIGNS or min(others.values(), default=_SEEN) < _SEEN:
        return None
    if any(not sign.isprintable() for sign in others):
        return None
    letters = [sign for sign in counts if sign.isalpha()]
    upper, lower = (any(check(sign) for sign in letters) for check in (str.isupper, str.islower))
    kind = r"\p{L}" if (upper and lower) or not (upper or lower) else r"\p{Lu}" if upper else r"\p{Ll}"
    word = (kind if letters else "") + (r"\d" if any(sign.isdecimal() for sign in counts) else "")
    marks = "".join(re.escape(sign) for sign in sorted(others) if sign != " ")
    if not word + marks:
        return None
    if " " in others:
        return None if _at_ends(texts) else f"^[{word}{marks}]+( +[{word}{marks}]+)*$"
    lengths = texts.str.len_chars()
    least, most = int(lengths.min()), int(lengths.max())  # type: ignore[arg-type]
    near = most - least <= 2 and int(lengths.value_counts()["count"].min()) >= _SEEN  # type: ignore[arg-type]
    return f"^[{word}{marks}]{{{least},{most}}}$" if near else f"^[{word}{marks}]+$"


def _at_ends(texts: pl.Series) -> bool:
    return bool((texts != texts.str.strip_chars(" ")).any())
