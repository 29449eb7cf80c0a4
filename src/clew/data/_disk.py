"""Writing files of one's own: a full disk says so, whoever reports it."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from clew.errors import StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OS_ERROR = re.compile(r"\(os error (\d+)\)")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise StoreError where the system can't write to `path`; polars tells the system's errors by their text alone."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        code = error.errno if isinstance(error, OSError) else None
        told = _OS_ERROR.search(str(error))
        code = int(told[1]) if code is None and told else code
        if code in _FULL:
            raise StoreError(
                f"no room to write to {path.parent}: {error}; nothing was stored",
                mend="free space on its disk (df -h shows it), or raise the quota or file size limit, and try again",
            ) from error
        if code is not None:
            raise StoreError(
                f"{path} can't be written: {error}", mend="check the path, its rights and its disk"
            ) from error
        raise
