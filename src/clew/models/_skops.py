"""The same bytes for the same estimator.

skops names objects by their addresses in memory, and dates its file; a tree's nodes have gaps between their fields, in
which lies what lay there before.
"""

import io
import json
import re
import zipfile
from typing import Any

import numpy as np

_FIXED = (1980, 1, 1, 0, 0, 0)
_BY_CHANCE = re.compile(r"\d+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # an address, or a UUID (of mere bytes)


def normal(body: bytes) -> bytes:
    """A skops file with its objects numbered as they appear, and without a date."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(contents.pop("schema.json"))
    numbers: dict[int, int] = {}
    files: dict[str, str] = {}
    _number(schema, numbers, files)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("schema.json", _FIXED), json.dumps(schema, indent=1))
        for name in sorted(contents, key=lambda name: files.get(name, name)):
            body = _without_gaps(contents[name]) if name.endswith(".npy") else contents[name]
            archive.writestr(zipfile.ZipInfo(files.get(name, name), _FIXED), body)
    return buffer.getvalue()


def _without_gaps(body: bytes) -> bytes:
    """An array of records with zeros in the gaps between their fields; other arrays as they are."""
    array = np.lib.format.read_array(io.BytesIO(body), allow_pickle=False)
    if array.dtype.fields is None:
        return body
    clean = np.frombuffer(bytearray(array.nbytes), array.dtype).reshape(array.shape)
    for name in array.dtype.fields:
        clean[name] = array[name]
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, clean, allow_pickle=False)
    return buffer.getvalue()


def _number(part: Any, numbers: dict[int, int], files: dict[str, str]) -> None:
    if isinstance(part, list):
        for one in part:
            _number(one, numbers, files)
    elif isinstance(part, dict):
        if isinstance(part.get("__id__"), int):
            part["__id__"] = numbers.setdefault(part["__id__"], len(numbers) + 1)
        if isinstance(part.get("file"), str):
            name = part["file"]
            stem, dot, ending = name.partition(".")
            if _BY_CHANCE.fullmatch(stem):
                part["file"] = files.setdefault(name, f"{len(files) + 1}{dot}{ending}")
        for name, one in part.items():
            if name not in ("__id__", "file"):
                _number(one, numbers, files)
