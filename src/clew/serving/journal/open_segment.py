"""The one segment of a journal that is being written: commits go in, a seal comes out."""

import os
import secrets
from pathlib import Path
from typing import Final

from clew.serving.journal import _disk
from clew.serving.journal.durable import DurableMark
from clew.serving.journal.seal import Seal, write_seal
from clew.serving.journal.segment import FORMAT, HEADER_BYTES, Header, Position, create, mark, raw_path

_STEP: Final = 8 << 20  # space is asked for in steps: fdatasync is quicker where the file need not grow


class OpenSegment:
    """A new segment, on disk when the constructor returns. Not thread-safe; every method may raise OSError.

    `seal` counts what is within, `seal.end` is the last byte that the disk has confirmed.
    """

    def __init__(self, folder: Path, number: int, *, limit: int, durable: DurableMark) -> None:
        self._folder = folder
        self._durable = durable
        self._limit = limit
        self._nonce = secrets.token_bytes(16)
        self._commits = 0
        self._allocated = min(_STEP, limit)
        header = Header(format=FORMAT, writer=folder.name, segment=number, nonce=self._nonce)
        self._descriptor = create(folder, header, self._allocated)
        self.seal = Seal(writer=folder.name, segment=number, end=HEADER_BYTES)
        durable.store(Position(number, HEADER_BYTES))

    def has_room(self, size: int) -> bool:
        """Whether so many bytes of frames belong here; an empty segment takes whatever comes."""
        return not self.seal.count or self.seal.end + size <= self._limit

    def commit(self, frames: list[bytes]) -> int:
        """Write frames and wait until the disk has them; returns the offset of the first."""
        start = self.seal.end
        begin = mark(self._nonce, self._commits + 1)
        data = b"".join([begin, *frames])
        end = start + len(data)
        if end > self._allocated:
            more = -(-(end - self._allocated) // _STEP) * _STEP
            os.posix_fallocate(self._descriptor, self._allocated, more)
            self._allocated += more
        _disk.write_all(self._descriptor, data, start)
        os.fdatasync(self._descriptor)
        self._commits += 1
        self.seal.end = end
        self._durable.store(Position(self.seal.segment, end))
        return start + len(begin)

    def cut(self) -> None:
        """Cut off what the disk hasn't confirmed, so that no later start finds it."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, self.seal.end)
            self._allocated = self.seal.end

    def finish(self) -> Seal | None:
        """Seal it, or remove it when it is empty; after an error it may be called again, after success it does nothing.

        Returns the seal when this call wrote one.
        """
        if self._descriptor < 0:
            return None
        sealed = None
        if self.seal.count:
            os.ftruncate(self._descriptor, self.seal.end)
            os.fsync(self._descriptor)
            write_seal(self._folder, self.seal)
            sealed = self.seal
        else:
            raw_path(self._folder, self.seal.segment).unlink(missing_ok=True)
            _disk.sync_folder(self._folder)
        self.release()
        return sealed

    def release(self) -> None:
        """Close the file as it is; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
