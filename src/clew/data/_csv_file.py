"""Reading CSV (RFC 4180, UTF-8): all fields as text first, so that what is broken can be named by row and line."""

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import polars as pl

from clew.data._limits import HEADER_BYTES, refuse_wide
from clew.data._text import Wanted
from clew.errors import DataError

_GZIP = b"\x1f\x8b"
_MEND = "check what wrote it"


def read(path: Path, wanted: Wanted) -> pl.DataFrame:
    """The table in a CSV file, plain or gzip. Raises DataError, which names what is broken."""
    names = _header(path)
    try:
        raw = pl.read_csv(path, infer_schema=False, glob=False)
    except pl.exceptions.PolarsError as error:
        raise _find_broken(path) or _said(path, error) from error
    except OSError as error:
        raise _said(path, error) from error
    if raw.width != len(names):
        raise _find_broken(path) or DataError(f"{path}: the header can't be read as CSV", mend=_MEND)
    raw.columns = names
    # A row that is too short is padded by the reader without a word, and a blank line is a row of nothing to it.
    if raw.width > 1 and raw[:, -1].null_count():
        raw = _without_blank(path, raw)
    return pl.DataFrame([wanted.column(path, series) for series in raw.get_columns()])


def _said(path: Path, error: BaseException) -> DataError:
    lines = str(error).strip().splitlines()
    return DataError(f"{path} can't be read as CSV: {lines[0] if lines else type(error).__name__}", mend=_MEND)


def _open(path: Path) -> BinaryIO | gzip.GzipFile:
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    return gzip.open(path) if packed else path.open("rb")


def _header(path: Path) -> list[str]:
    try:
        with _open(path) as file:
            first = file.readline(HEADER_BYTES).rstrip(b"\r\n")
        with _open(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
            names: list[str] = next((row for row in csv.reader(_bounded(path, text)) if row), [])
    except UnicodeDecodeError:
        raise _find_broken(path) or DataError(f"{path} is not text in UTF-8", mend=_MEND) from None
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise _said(path, error) from error
    if not names:
        raise DataError(f"{path} is empty: not even a header", mend=_MEND)
    if b"\r" in first:
        raise DataError(f"{path}: its lines end with CR alone", mend="save it with LF or CRLF at the ends of lines")
    refuse_wide(path, len(names))
    doubled = sorted(name for name, count in Counter(names).items() if count > 1)
    if doubled:
        raise DataError(f"{path} has columns of one name: {', '.join(doubled)}", mend="rename them")
    return names


def _bounded(path: Path, text: io.TextIOWrapper) -> Iterator[str]:
    """Lines for as long as they may belong to a header. Raises DataError when it has no end."""
    room = HEADER_BYTES
    while line := text.readline(room):
        room -= len(line)
        if room <= 0:
            raise DataError(
                f"{path}: its header goes on for more than {HEADER_BYTES >> 20} MB, which is the limit",
                mend="a line with the names of the columns comes first, and a quote in it is closed",
            )
        yield line


def _without_blank(path: Path, raw: pl.DataFrame) -> pl.DataFrame:
    """The rows without those that blank lines make. Raises DataError for a row that is too short."""
    with _open(path) as file:
        records = _records(file)
        _, _, width = next(records)
        blank = []
        for at, (start, end, fields) in enumerate(records):
            if fields == 0:
                blank.append(at)
            elif fields != width:
                raise _width(path, at + 1 - len(blank), start, end, fields, width)
    if not blank:
        return raw
    # What the reader makes of blank lines at the end is its own affair: it may make rows of them or not.
    keep = pl.Series([True]).new_from_index(0, raw.height)
    keep[[at for at in blank if at < raw.height]] = False
    return raw.filter(keep)


def _width(path: Path, row: int, start: int, end: int, fields: int, width: int) -> DataError:
    lines = f"line {start}" if start == end else f"lines {start} to {end}"
    return DataError(
        f"{path}: row {row} ({lines}) has {fields} fields, and the header has {width}",
        mend="correct that row; nothing was stored",
    )


def _find_broken(path: Path) -> DataError | None:
    """What is wrong with the first row that is broken, or None."""
    try:
        with _open(path) as file:
            records = _records(file, strict_text=True)
            width, row = 0, 0
            for start, end, fields in records:
                if fields == 0:
                    continue
                width = width or fields
                if fields != width:
                    return _width(path, row, start, end, fields, width)
                row += 1
    except _BrokenLineError as error:
        return DataError(f"{path}: line {error.line}: {error.what}", mend="correct that line; nothing was stored")
    except (OSError, EOFError, zlib.error) as error:
        return _said(path, error)
    return None


class _BrokenLineError(Exception):
    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line, self.what = line, what


def _records(lines: Iterable[bytes], *, strict_text: bool = False) -> Iterator[tuple[int, int, int]]:
    """First line, last line and number of fields (0 for a blank line) of each record, the header's first."""
    start, commas, inside, number = 1, 0, False, 0
    for number, line in enumerate(lines, start=1):
        if strict_text:
            try:
                line.decode()
            except UnicodeDecodeError as error:
                raise _BrokenLineError(number, f"not UTF-8 text ({error.reason})") from None
        text = line.rstrip(b"\r\n")
        if number == 1:
            text = text.removeprefix("\ufeff".encode())
        if not inside:
            start, commas = number, 0
            if b'"' not in text:
                yield number, number, text.count(b",") + 1 if text else 0
                continue
        more, inside = _commas(text, inside, number)
        commas += more
        if not inside:
            yield start, number, commas + 1
    if inside:
        raise _BrokenLineError(start, "a quote is opened here and never closed")


def _commas(text: bytes, inside: bool, number: int) -> tuple[int, bool]:
    """How many commas part fields in a line, and whether it ends within quotes."""
    at, commas, fresh = 0, 0, not inside
    while True:
        if inside:
            end = text.find(b'"', at)
            if end < 0:
                return commas, True
            at = end + 2 if text[end + 1 : end + 2] == b'"' else end + 1
            inside = at == end + 2
            if not inside and text[at : at + 1] not in (b"", b","):
                raise _BrokenLineError(number, "a quote closes before the end of a field")
        elif fresh and text[at : at + 1] == b'"':
            at, inside, fresh = at + 1, True, False
        else:
            comma = text.find(b",", at)
            if b'"' in text[at : comma if comma >= 0 else len(text)]:
                raise _BrokenLineError(number, 'a quote within a field that is not quoted (write "" within quotes)')
            if comma < 0:
                return commas, False
            commas, at, fresh = commas + 1, comma + 1, True
