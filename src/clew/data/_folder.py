"""Folders as they are on the disk: their files with their stats, and the bytes of one of them."""

import os
import re
from operator import attrgetter
from pathlib import Path

import msgspec

from clew.errors import DataError

_WORKSPACE = ".clew"
_UNKEPT = re.compile("[\n\r\0\\\\]")
_QUIET = "add the folder when nothing writes to it"


class Found(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A file of a folder: its path below it, and what its stat says."""

    path: str
    size: int
    modified_ns: int
    changed_ns: int
    inode: int


def walk(folder: Path) -> list[Found]:
    """All files below a folder, in the order of their paths; folders without a file are not kept.

    A link to a file inside the folder counts as that file. Raises DataError for a link out of the folder or to a
    folder, for what is no file, for names that can't be kept everywhere, and for what can't be looked at.
    """
    root = os.path.realpath(folder)
    found: list[Found] = []
    left = [(os.fspath(folder), "")]
    try:
        while left:
            name, prefix = left.pop()
            left += _walk_one(name, prefix, root, found)
    except FileNotFoundError as error:
        raise DataError(f"{error.filename} vanished while the folder was being read", mend=_QUIET) from error
    except OSError as error:
        raise _unreadable(str(error.filename or folder), error) from error
    found.sort(key=attrgetter("path"))
    return found


def _walk_one(folder: str, prefix: str, root: str, found: list[Found]) -> list[tuple[str, str]]:
    """Take the files that lie in one folder; give the folders that do."""
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            path = prefix + entry.name
            if entry.is_symlink():
                _check_link(entry.path, root)
            if not _is_plain(entry.name) and (_UNKEPT.search(entry.name) or not _is_text(entry.name)):
                raise DataError(f"{entry.path!r} has a name that can't be kept", mend="rename it")
            if entry.is_dir(follow_symlinks=False):
                if entry.name == _WORKSPACE:
                    raise DataError(
                        f"{entry.path} is a workspace: it can't hold itself", mend="add a folder beside it, or below it"
                    )
                folders.append((entry.path, path + "/"))
            elif entry.is_file():
                stat = entry.stat()
                found.append(Found(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino))
            else:
                raise DataError(f"{entry.path} is neither a file nor a folder", mend="remove it")
    return folders


def _check_link(path: str, root: str) -> None:
    target = os.path.realpath(path)
    if target != root and not target.startswith(root.rstrip("/") + "/"):
        raise DataError(f"{path} is a link out of the folder", mend="replace the link by the file, or remove it")
    if os.path.isdir(target):  # noqa: PTH112 - no Path for each of many thousand files, here and below
        raise DataError(f"{path} is a link to a folder", mend="replace the link by the folder, or remove it")


def _is_plain(name: str) -> bool:
    """Whether a name surely can be kept, as most can; looked at in a third of the time."""
    return name.isascii() and name.isprintable() and "\\" not in name


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8
        return False
    return True


def read_file(folder: str, found: Found) -> bytes:
    """All bytes of a file that was found. Raises DataError when it isn't, or stays, as it was then."""
    path = f"{folder}/{found.path}"
    try:
        # Were a pipe in the file's place by now, the open must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            parts = [os.read(descriptor, found.size + 1)]
            while 0 < sum(map(len, parts)) < found.size and parts[-1]:
                parts.append(os.read(descriptor, found.size + 1))
            stat = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        raise _vanished(path) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    content = parts[0] if len(parts) == 1 else b"".join(parts)
    _check_same(path, found, stat)
    if len(content) != found.size:
        raise _changed(path)
    return content


def check_unchanged(folder: str, found: Found) -> None:
    """Pass if a file still is as it was found. Raises DataError."""
    path = f"{folder}/{found.path}"
    try:
        stat = os.stat(path)  # noqa: PTH116
    except FileNotFoundError as error:
        raise _vanished(path) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    _check_same(path, found, stat)


def _check_same(path: str, found: Found, stat: os.stat_result) -> None:
    if found != Found(found.path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino):
        raise _changed(path)


def _changed(path: str) -> DataError:
    return DataError(f"{path} changed while it was being stored", mend=_QUIET)


def _vanished(path: str) -> DataError:
    return DataError(f"{path} vanished while it was being stored", mend=_QUIET)


def _unreadable(path: str, error: OSError) -> DataError:
    return DataError(f"{path} can't be read: {error.strerror}", mend="check its rights and its disk")
