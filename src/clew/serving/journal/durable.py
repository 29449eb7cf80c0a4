"""How far a writer's newest segment is on disk, told to readers in other processes through eight shared bytes.

The writer stores the position after each fdatasync into a shared mapping, which costs no system call. The file itself
is never synced: after a machine's crash it may be behind, never ahead, of what is on disk. So what a reader returned
is there after any restart with the same disk.
"""

import mmap
import os
import struct
from pathlib import Path
from typing import Final

from clew.serving.journal.segment import Position

_OFFSET_BITS: Final = 40
_CELL: Final = struct.Struct("=Q")
NOWHERE: Final = Position(0, 0)


class DurableMark:
    """The writer's end of the eight bytes."""

    def __init__(self, folder: Path) -> None:
        descriptor = os.open(folder / "durable", os.O_RDWR | os.O_CREAT, 0o640)
        try:
            if os.fstat(descriptor).st_size < _CELL.size:
                os.ftruncate(descriptor, _CELL.size)
                # a sparse page could fail to be allocated at the first store, which would be a signal, not an error
                os.posix_fallocate(descriptor, 0, _CELL.size)
            self._map = mmap.mmap(descriptor, _CELL.size)
        finally:
            os.close(descriptor)
        # a store through the cast view is one aligned 8-byte move: no reader sees half of it
        self._cell = memoryview(self._map).cast("Q")

    def store(self, position: Position) -> None:
        """Tell the readers; only what fdatasync has confirmed may be stored."""
        self._cell[0] = position.segment << _OFFSET_BITS | position.offset

    def close(self) -> None:
        """Release the mapping; the file keeps the last position."""
        self._cell.release()
        self._map.close()


def keep(folder: Path, segment: int, offset: int) -> None:
    """Write the mark of a journal that nobody writes, such as a copy."""
    (folder / "durable").write_bytes(_CELL.pack(segment << _OFFSET_BITS | offset))


def load(folder: Path) -> Position:
    """The last position a writer stored, `NOWHERE` if none ever did."""
    try:
        descriptor = os.open(folder / "durable", os.O_RDONLY)
    except FileNotFoundError:
        return NOWHERE
    try:
        data = os.pread(descriptor, _CELL.size, 0)
    finally:
        os.close(descriptor)
    if len(data) < _CELL.size:
        return NOWHERE
    (value,) = _CELL.unpack(data)
    return Position(value >> _OFFSET_BITS, value & ((1 << _OFFSET_BITS) - 1))
