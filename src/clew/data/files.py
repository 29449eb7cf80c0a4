"""Folders of files as snapshots: a listing of paths and content ids."""

import hashlib
import json
from pathlib import Path

from clew.catalog.commands import SourceSpec
from clew.errors import DataError
from clew.objects import ObjectStore

_WORKSPACE = ".clew"


def list_folder(folder: Path) -> list[Path]:
    """All files below a folder, in the order of their paths; folders without a file are not kept.

    Raises DataError for a link out of the folder or to a folder, for what is no file, and for names that can't be
    kept everywhere.
    """
    found = []
    root = folder.resolve()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise DataError(f"{path} is a link out of the folder", mend="replace the link by the file, or remove it")
        if path.is_symlink() and path.is_dir():
            raise DataError(f"{path} is a link to a folder", mend="replace the link by the folder, or remove it")
        name = str(path.relative_to(folder))
        if any(character in name for character in "\n\r\0\\") or not _is_text(name):
            raise DataError(f"{str(path)!r} has a name that can't be kept", mend="rename it")
        if path.name == _WORKSPACE and path.is_dir():
            raise DataError(f"{path} is a workspace: it can't hold itself", mend="add a folder beside it, or below it")
        if path.is_file():
            found.append(path)
        elif not path.is_dir():
            raise DataError(f"{path} is neither a file nor a folder", mend="remove it")
    return found


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8
        return False
    return True


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
