"""Reading JSON lines: one object a line; a line that is none is named."""

import io
from pathlib import Path

import msgspec
import polars as pl

from clew.data._limits import refuse_wide
from clew.data._text import Wanted
from clew.errors import DataError


def read(path: Path, wanted: Wanted) -> pl.DataFrame:
    """The table in a file of JSON lines. Raises DataError, which names the line that is broken."""
    body = path.read_bytes()
    rows = _check(path, body)
    if rows == 0:
        raise DataError(f"{path} is empty: not one object", mend="check what wrote it")
    try:
        raw = pl.read_ndjson(io.BytesIO(body), infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{path} can't be read as a table: {str(error).strip().splitlines()[0]}",
            mend="a field must hold the same kind of value in all lines: a list, an object, or a plain value",
        ) from error
    if raw.height != rows:
        raise DataError(f"{path} has {rows} objects, and {raw.height} rows could be read", mend="check what wrote it")
    # What stands in quotes was meant as text, so its type is not guessed.
    return pl.DataFrame([wanted.column(path, series, guess=False) for series in raw.get_columns()])


def _check(path: Path, body: bytes) -> int:
    """How many objects there are. Raises DataError for the first line that is none."""
    decoder = msgspec.json.Decoder(dict)
    rows = 0
    names: set[str] = set()
    for number, line in enumerate(body.split(b"\n"), start=1):
        if not line.strip():
            continue
        rows += 1
        try:
            found = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataError(
                f"{path}: row {rows} (line {number}) is no JSON object: {error}",
                mend="correct that line; nothing was stored",
            ) from None
        if not names.issuperset(found):
            names.update(found)
            refuse_wide(path, len(names))
    return rows
