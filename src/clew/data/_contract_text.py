"""Contracts as TOML: written so that a person can read and edit them, read with the line of what is wrong."""

import datetime as dt
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from clew.errors import DataError

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_HEADER: Final = re.compile(r"\s*(\[\[?)\s*(.*?)\s*\]\]?\s*(?:#.*)?$")
_KEY: Final = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)\s*=""")
_PART: Final = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)\s*\.?""")
_AT_LINE: Final = re.compile(r"\(at line (\d+), column \d+\)")
_WIDE: Final = 100


def read(text: str) -> dict[str, Any]:
    """The TOML's tables. Raises DataError with the line of what can't be read."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _AT_LINE.search(str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        what = _AT_LINE.sub("", str(error)).replace("(at end of document)", "").strip()
        raise DataError(
            f"the contract can't be read: line {line}: {what[:1].lower()}{what[1:]}",
            mend=f"correct line {line}; it must be TOML, and `clew contract infer REF` shows the form",
        ) from error


def line_of(text: str, path: Sequence[str]) -> int | None:
    """The line of a key, else of the nearest table above it; `("rules", "2", "expr")` counts rules from 1."""
    best: tuple[int, int] | None = None
    table: list[str] = []
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        key = _KEY.match(line)
        if header and not key:
            table = [_unquoted(part) for part in _PART.findall(header[2])]
            if header[1] == "[[":
                name = ".".join(table)
                counts[name] = counts.get(name, 0) + 1
                table.append(str(counts[name]))
            here = table
        elif key:
            here = [*table, _unquoted(key[1])]
        else:
            continue
        if here == list(path[: len(here)]) and (best is None or len(here) > best[0]):
            best = (len(here), number)
    return None if best is None else best[1]


def _unquoted(part: str) -> str:
    if part.startswith('"'):
        return str(json.loads(part))
    return part.strip("'")


def write(
    top: Mapping[str, Any],
    tables: Mapping[str, Mapping[str, Mapping[str, Any]]],
    arrays: Mapping[str, Iterable[Mapping[str, Any]]],
) -> str:
    """TOML of top-level values, tables of tables, and arrays of tables, in the order given."""
    blocks = [_pairs(top)]
    for name, rows in tables.items():
        blocks += [f"[{_key(name)}.{_key(inner)}]\n{_pairs(values)}" for inner, values in rows.items()]
    for name, items in arrays.items():
        blocks += [f"[[{_key(name)}]]\n{_pairs(values)}" for values in items]
    return "\n".join(blocks)


def _pairs(values: Mapping[str, Any]) -> str:
    return "".join(f"{_key(name)} = {_value(value)}\n" for name, value in values.items())


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _basic(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dt.date | dt.time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, list | tuple):
        items = [_value(item) for item in value]
        line = f"[{', '.join(items)}]"
        return line if len(line) <= _WIDE else "[\n" + "".join(f"    {item},\n" for item in items) + "]"
    raise DataError(f"{value!r} can't be written into a contract", mend="use text, numbers, dates, times or lists")


def _text(value: str) -> str:
    literal = "\\" in value and "'" not in value and value.isprintable()
    return f"'{value}'" if literal else _basic(value)


def _basic(value: str) -> str:
    # JSON's escapes are TOML's; TOML wants DEL escaped as well
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
