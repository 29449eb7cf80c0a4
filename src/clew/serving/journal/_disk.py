"""The few things the journal asks of the file system, each durable when it returns."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from clew.errors import NotPermittedError


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make a file's bytes durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes, at: int) -> None:
    """`pwrite` until all is written: one call may write less, as it does when a disk fills up."""
    written = os.pwrite(descriptor, data, at)
    if written < len(data):
        view = memoryview(data)
        while written < len(data):
            written += os.pwrite(descriptor, view[written:], at + written)


def write_file(path: Path, data: bytes) -> None:
    """Replace a file at once: afterwards it holds the old bytes or the new ones, whatever happens in between."""
    part = path.with_name(path.name + ".tmp")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    try:
        write_all(descriptor, data, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    part.rename(path)
    sync_folder(path.parent)


class FolderLock:
    """An exclusive flock on a file, which the kernel gives back when the process ends, however it ends."""

    def __init__(self, path: Path, refusal: str, mend: str) -> None:
        """Take the lock, or raise NotPermittedError with `refusal` and `mend` when another holds it."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise NotPermittedError(refusal, mend=mend) from error

    def release(self) -> None:
        """Give the lock back; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
