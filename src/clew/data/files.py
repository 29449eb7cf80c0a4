"""Folders of files as snapshots: a listing of paths and content ids."""

import hashlib
import json
from pathlib import Path

from clew.catalog.commands import SourceSpec
from clew.errors import DataError
from clew.objects import ObjectStore


def list_folder(folder: Path) -> list[Path]:
    """All files below a folder, in the order of their paths; a link out of the folder is refused.

    Raises DataError.
    """
    found = []
    root = folder.resolve()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise DataError(f"{path} is a link out of the folder", mend="replace the link by the file, or remove it")
        if any(character in str(path.relative_to(folder)) for character in "\n\r\0\\"):
            raise DataError(f"{path!r} has a name that can't be kept", mend="rename it")
        if path.is_file():
            found.append(path)
        elif not path.is_dir():
            raise DataError(f"{path} is neither a file nor a folder", mend="remove it")
    return found


def store(objects: ObjectStore, folder: Path, paths: list[Path]) -> tuple[str, str, int]:
    """Store the files; give the listing's content id, its object, and the new bytes."""
    listing, new = {}, 0
    for path in paths:
        info = objects.put(path)
        listing[path.relative_to(folder).as_posix()] = info.digest
        new += info.size if info.created else 0
    body = json.dumps({"files": listing}, sort_keys=True).encode()
    info = objects.put(body)
    return f"f1:{hashlib.sha256(body).hexdigest()}", info.digest, new + (info.size if info.created else 0)


def describe(folder: Path, paths: list[Path]) -> SourceSpec:
    """A folder as it is now."""
    return SourceSpec(uri=str(folder.resolve()), kind="folder", bytes=sum(path.stat().st_size for path in paths))


def safe_target(dest: Path, relative: str) -> Path:
    """Where a file of a listing goes; a path that leads out of `dest` is refused. Raises DataError."""
    target = dest / relative
    if Path(relative).is_absolute() or not target.resolve().is_relative_to(dest.resolve()):
        raise DataError(f"{relative!r} leads out of {dest}", mend="clew data verify")
    return target
