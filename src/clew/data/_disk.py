"""Writing files of one's own: a full disk says so, whoever reports it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from clew.data._system import unwritable

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
        if code is not None:
            raise unwritable(path, error, code) from error
        raise
