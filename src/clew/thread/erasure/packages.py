"""The example in a model's package: rows of the training data, of which a person's must go."""

import hashlib
import io
import json
import zipfile
from typing import Any, Final

import polars as pl

from clew.data.erasing.subjects import texts

_FIXED: Final = (1980, 1, 1, 0, 0, 0)
_FEWEST: Final = 2  # columns in common by which a row is known again


def without_rows(package: bytes, theirs: pl.DataFrame) -> bytes | None:
    """A package whose example holds none of some rows; None where it holds none now.

    A row of the example is one of them when all columns that both have agree. Where less than two are in common
    nothing can be told, and no row of the example stays. An example has at least one row: where none is left it is
    one of empty values.
    """
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    example = pl.read_ipc(parts["example.arrow"]) if "example.arrow" in parts else None
    if example is None or not theirs.height:
        return None
    kept = example.filter(~_among(example, theirs))
    if kept.height == example.height:
        return None
    if not kept.height:
        kept = pl.DataFrame([_empty(example.schema)], schema=example.schema)
    about: dict[str, Any] = json.loads(parts.pop("model.json"))
    parts["example.arrow"] = kept.write_ipc(None).getvalue()
    parts["example.json"] = json.dumps(kept.to_dicts(), default=str, indent=2).encode()
    about["sha256"] = {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in {"model.json": json.dumps(about, indent=2, sort_keys=True).encode(), **parts}.items():
            archive.writestr(zipfile.ZipInfo(path, _FIXED), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _among(example: pl.DataFrame, theirs: pl.DataFrame) -> pl.Series:
    common = [
        name
        for name in example.columns
        if name in theirs.columns and not example.schema[name].is_nested() and not theirs.schema[name].is_nested()
    ]
    if len(common) < _FEWEST:
        return pl.Series([True]).new_from_index(0, example.height)
    rows = {tuple(row) for row in pl.DataFrame([texts(theirs[name]) for name in common]).iter_rows()}
    mine = pl.DataFrame([texts(example[name]) for name in common]).iter_rows()
    return pl.Series([tuple(row) in rows for row in mine], dtype=pl.Boolean)


def _empty(schema: pl.Schema) -> dict[str, Any]:
    """A value that says nothing, of each type."""
    return {
        name: "" if isinstance(dtype, pl.String) else 0 if dtype.is_numeric() else None
        for name, dtype in schema.items()
    }
