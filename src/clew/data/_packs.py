"""Packs: the bytes of many small files one after the other, as one object."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from clew.objects import ObjectInfo, ObjectStore

PACKED = 1 << 20
"""Files of up to so many bytes go into packs; larger ones are objects of their own."""

PACK = 32 << 20
"""Bytes at which a pack is closed."""

_BLOCK = 1 << 20
_WAITING = 3  # objects on their way at once, which bounds the memory: three packs, and the one that is being filled


class Packer:
    """Takes contents one by one and stores them in the background, small ones in packs.

    Use it as a context manager; `places` may be asked once all was added, and returns when all is durable.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="clew-packs")
        self._packs: list[Future[ObjectInfo]] = []
        self._files: list[Future[ObjectInfo]] = []
        self._filling: list[bytes] = []
        self._filled = 0

    def add(self, content: bytes) -> tuple[int, int]:
        """Put bytes into a pack; give the number of the pack, and where in it they begin."""
        if self._filled and self._filled + len(content) > PACK:
            self._close()
        at = self._filled
        self._filling.append(content)
        self._filled += len(content)
        return len(self._packs), at

    def add_file(self, path: Path) -> Future[ObjectInfo]:
        """Store a large file as an object of its own."""
        self._wait(self._files)
        self._files.append(self._threads.submit(self._objects.put, path))
        return self._files[-1]

    def finish(self) -> tuple[list[str], int]:
        """Store what is left; give the packs' digests by number, and how many bytes the store didn't have before."""
        if self._filling:
            self._close()
        packs = [pack.result() for pack in self._packs]
        created = [info.size for info in packs + [file.result() for file in self._files] if info.created]
        return [info.digest for info in packs], sum(created)

    def _close(self) -> None:
        self._wait(self._packs)
        self._packs.append(self._threads.submit(self._objects.put, _blocks(self._filling)))
        self._filling, self._filled = [], 0

    def _wait(self, sent: list[Future[ObjectInfo]]) -> None:
        if len(sent) >= _WAITING:
            sent[-_WAITING].result()

    def __enter__(self) -> "Packer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)


def _blocks(contents: list[bytes]) -> Iterator[bytes]:
    """The contents in blocks: a lock changes hands with each, and there may be 100,000 contents in a pack."""
    block: list[bytes] = []
    size = 0
    for content in contents:
        block.append(content)
        size += len(content)
        if size >= _BLOCK:
            yield b"".join(block)
            block, size = [], 0
    yield b"".join(block)


def digest_of(content: bytes) -> str:
    """The SHA-256 of the bytes, in hex."""
    return hashlib.sha256(content).hexdigest()
