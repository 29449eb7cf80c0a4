"""What the operating system says when a file can't be written, as errors with a mend; imports nothing heavy."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clew.errors import StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def writing_files(path: Path) -> Iterator[None]:
    """Raise StoreError where the system can't write to `path`, or below it."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error, error.errno) from error


def unwritable(path: Path, error: Exception, code: int | None) -> StoreError:
    """The error for a file that can't be written; `code` is the system's own."""
    if code in _FULL:
        return StoreError(
            f"no room to write to {path.parent}: {error}; nothing was stored",
            mend="free space on its disk (df -h shows it), or raise the quota or file size limit, and try again",
        )
    return StoreError(f"{path} can't be written: {error}", mend="check the path, its rights and its disk")
