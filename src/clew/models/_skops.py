"""The same bytes for the same estimator: skops names objects by their addresses in memory, and dates its file."""

import io
import json
import zipfile
from typing import Any

_FIXED = (1980, 1, 1, 0, 0, 0)


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
            archive.writestr(zipfile.ZipInfo(files.get(name, name), _FIXED), contents[name])
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
            if stem.isdigit():
                part["file"] = files.setdefault(name, f"{len(files) + 1}{dot}{ending}")
        for name, one in part.items():
            if name not in ("__id__", "file"):
                _number(one, numbers, files)
