"""An index beside each compacted file: from a prediction's id to its rows, in some 20 µs, without opening the Parquet.

A seal's range of ids tells little of outcomes, which come late: each segment may hold one of nearly any prediction. So
`ids` files list (hash of the id, row) in the order of the hashes, in pages of 4096 bytes that each carry a CRC-32; a
search reads some ten pages. A hash that two ids share only costs a look at another row. A generation without an index
(of an older version of clew) is searched by the statistics of its row groups.
"""

import hashlib
import mmap
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from clew.errors import IntegrityError

_MAGIC: Final = b"CLEWIDS1"
_HEAD: Final = struct.Struct(">8sQ")
_ENTRY: Final = struct.Struct(">8sI")
_PAGE: Final = 4096
_MOST: Final = (_PAGE - 4) // _ENTRY.size  # entries of a page, before its CRC


def write_ids(path: Path, ids: Iterable[str | None]) -> None:
    """Write the index of ids in the order of their rows, without syncing it; rows without an id are left out."""
    entries = sorted(_ENTRY.pack(_hash(one), row) for row, one in enumerate(ids) if one is not None)
    with path.open("wb") as file:
        file.write(_HEAD.pack(_MAGIC, len(entries)).ljust(_PAGE, b"\0"))
        for start in range(0, len(entries), _MOST):
            page = b"".join(entries[start : start + _MOST]).ljust(_PAGE - 4, b"\xff")
            file.write(page + zlib.crc32(page).to_bytes(4, "big"))


def find_rows(path: Path, wanted: str) -> list[int] | None:
    """The rows that may have this id, in order; None when there is no index.

    Raises:
        IntegrityError: a page that the search reads is damaged.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _search(path, data, _hash(wanted))
    except FileNotFoundError:
        return None
    except ValueError as error:  # an empty file can't be mapped
        raise _damaged(path) from error


def _search(path: Path, data: mmap.mmap, key: bytes) -> list[int]:
    magic, count = _HEAD.unpack_from(data) if len(data) >= _PAGE else (b"", 0)
    pages = -(-count // _MOST)
    if magic != _MAGIC or len(data) != (pages + 1) * _PAGE:
        raise _damaged(path)
    low, high = 0, pages  # the first page whose last key isn't below
    while low < high:
        middle = (low + high) // 2
        page = _read(path, data, middle)
        last = min(_MOST, count - middle * _MOST) - 1
        if page[last * _ENTRY.size : last * _ENTRY.size + 8] < key:
            low = middle + 1
        else:
            high = middle
    rows: list[int] = []
    for number in range(low, pages):
        page = _read(path, data, number)
        held = min(_MOST, count - number * _MOST)
        found = [row for hashed, row in _ENTRY.iter_unpack(page[: held * _ENTRY.size]) if hashed == key]
        rows += found
        if not found or page[(held - 1) * _ENTRY.size : (held - 1) * _ENTRY.size + 8] != key:
            break
    return sorted(rows)


def _read(path: Path, data: mmap.mmap, number: int) -> bytes:
    page = data[(number + 1) * _PAGE : (number + 2) * _PAGE]
    if zlib.crc32(page[:-4]) != int.from_bytes(page[-4:], "big"):
        raise _damaged(path)
    return page


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _damaged(path: Path) -> IntegrityError:
    return IntegrityError(
        f"the index {path} is damaged", mend="delete that file: the search then goes by the Parquet file itself"
    )
