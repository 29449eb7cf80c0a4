"""Laying files out: every file of a listing in an empty folder, each checked as it is written."""

import errno
import fcntl
import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import attrgetter
from pathlib import Path

from clew.data._file_bytes import damaged
from clew.data._file_listing import Entry
from clew.errors import DataError
from clew.objects import ObjectStore

_NAME = r"(?!\.\.?(?:/|\Z))[^/\0\n\r\\]+"
_SAFE = re.compile(rf"{_NAME}(?:/{_NAME})*")
_CLONE = 0x40049409  # FICLONE, ioctl_ficlonerange(2)
_BLOCK = 1 << 20
_STRETCH = 4 << 20  # bytes of a pack that a thread reads at a time


def check_paths(entries: Mapping[str, Entry]) -> set[str]:
    """The folders that the files need; a listing that came from elsewhere may be anything.

    Raises DataError for a path that leads out of the folder, or that is a file here and a folder there.
    """
    folders: set[str] = set()
    for path in entries:
        if not _SAFE.fullmatch(path) or path.startswith("/"):
            raise DataError(f"{path!r} leads out of the folder, or can't be a file's name", mend="clew data verify")
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    if clashing := folders & entries.keys():
        raise DataError(f"{min(clashing)!r} is a file and a folder in one listing", mend="clew data verify")
    return folders


def lay(objects: ObjectStore, entries: Mapping[str, Entry], folder: Path) -> None:
    """Write files below an empty folder, as copies that may be edited.

    Raises:
        DataError: the listing's paths can't all be below the folder; nothing was written.
        NotFoundError, IntegrityError: the bytes of a file are gone, or wrong.
        OSError: the system can't write.
    """
    folders = check_paths(entries)
    root = os.fspath(folder)
    for name in sorted(folders):
        os.mkdir(f"{root}/{name}")  # noqa: PTH102 - no Path for each of many thousand files, here and below
    by_place: dict[str, list[Entry]] = {}
    for entry in entries.values():
        by_place.setdefault(entry.place, []).append(entry)
    jobs: list[Callable[[], None]] = []
    for place, held in by_place.items():
        if place == held[0].sha256:
            jobs += [partial(_copy_object, objects, entry, root) for entry in held]
            continue
        once = threading.Lock()  # so that two threads don't fetch one pack from a service twice
        jobs += [partial(_copy_packed, objects, place, once, part, root) for part in _stretches(held)]
    # Hashing, reading and writing leave the lock of the interpreter, so two threads take little more than half as long.
    with ThreadPoolExecutor(2, thread_name_prefix="clew-checkout") as threads:
        try:
            for done in [threads.submit(job) for job in jobs]:
                done.result()
        finally:
            threads.shutdown(cancel_futures=True)


def _stretches(held: list[Entry]) -> Iterator[list[Entry]]:
    """The files of one pack in stretches of it that are read at once."""
    stretch: list[Entry] = []
    end = 0
    for entry in sorted(held, key=attrgetter("offset")):
        end = max(end, entry.offset + entry.size)
        if stretch and end - stretch[0].offset > _STRETCH:
            yield stretch
            stretch, end = [], entry.offset + entry.size
        stretch.append(entry)
    yield stretch


def _copy_packed(objects: ObjectStore, place: str, once: threading.Lock, held: list[Entry], root: str) -> None:
    start = held[0].offset
    content = memoryview(b"")
    if place:
        with once:
            path = objects.open_path(place)
        with path.open("rb", buffering=0) as pack:
            end = min(max(entry.offset + entry.size for entry in held), os.fstat(pack.fileno()).st_size)
            content = memoryview(os.pread(pack.fileno(), max(end - start, 0), start))
    folder, opened = None, -1
    try:
        for entry in held:
            part = content[entry.offset - start : entry.offset - start + entry.size]
            found = hashlib.sha256(part).hexdigest()
            if found != entry.sha256:
                raise damaged(entry, f"its bytes have the digest {found}")
            below, _, name = entry.path.rpartition("/")
            if below != folder:  # neighbours in a pack lie in one folder mostly, which need not be walked to each time
                if opened >= 0:
                    os.close(opened)
                folder, opened = below, os.open(f"{root}/{below}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            descriptor = _create(name, opened)
            try:
                _write_all(descriptor, part)
            finally:
                os.close(descriptor)
    finally:
        if opened >= 0:
            os.close(opened)


def _copy_object(objects: ObjectStore, entry: Entry, root: str) -> None:
    """Copy an object of its own: by sharing its blocks where the file system can, else by reading them.

    The bytes have to be read for their hash anyway, so copy_file_range(2) would spare little.
    """
    hasher = hashlib.sha256()
    with objects.open_path(entry.place).open("rb", buffering=0) as source:
        descriptor = _create(f"{root}/{entry.path}")
        try:
            cloned = _clone(descriptor, source.fileno())
            while block := source.read(_BLOCK):
                hasher.update(block)
                if not cloned:
                    _write_all(descriptor, block)
        finally:
            os.close(descriptor)
    if hasher.hexdigest() != entry.sha256:
        raise damaged(entry, f"its bytes have the digest {hasher.hexdigest()}")


def _create(path: str, folder: int | None = None) -> int:
    # Never over another file: on a file system that ignores case, two paths may be one.
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=folder)


def _write_all(descriptor: int, content: bytes | memoryview) -> None:
    written = os.write(descriptor, content)
    while written < len(content):  # as on a disk that fills up
        written += os.write(descriptor, content[written:])


def _clone(target: int, source: int) -> bool:
    try:
        fcntl.ioctl(target, _CLONE, source)
    except OSError as error:
        if error.errno in {errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM}:
            return False
        raise
    return True
