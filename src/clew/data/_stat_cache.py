"""What a folder was when it was last stored, by the stats of its files: what hasn't changed isn't read again.

Kept in a workspace's own `cache/`, never needed and never trusted further than its checksum; it may be deleted at
any time. A file that was modified within the granularity of its timestamps before it was read is remembered as
racy, and read again (as git does: Documentation/technical/racy-git).
"""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from clew.data._folder import Found, walk

if TYPE_CHECKING:
    from clew.workspace import Workspace

_FORM = 1
_COARSE = 2_000_000_000  # FAT's timestamps are two seconds apart, the coarsest there are
_FINE = 100_000_000  # a kernel's clock ticks every 10 ms at most; ten ticks to be safe
_TICK = 10_000_000


class Remembered(msgspec.Struct, frozen=True, array_like=True):
    """A folder as it was stored: its content id, its files' stats, their digests, and which are not to be trusted."""

    form: int
    folder: str
    content_id: str
    stats: bytes
    digests: bytes
    racy: list[int]

    def is_as(self, found: Sequence[Found]) -> bool:
        """Whether these are the same files with the same stats, and all can be trusted."""
        return not self.racy and self.stats == msgspec.msgpack.encode(found)

    def trusted(self) -> dict[Found, str]:
        """The digests of the files that are what they were if their stats still are."""
        racy = set(self.racy)
        text = self.digests.hex()
        found = msgspec.msgpack.decode(self.stats, type=list[Found])
        return {file: text[64 * at : 64 * at + 64] for at, file in enumerate(found) if at not in racy}


def is_racy(found: Found, read_ns: int) -> bool:
    """Whether a file that was read from `read_ns` on may change without its stat showing it.

    A time of change with digits below a tick shows that the file system's clock is fine, and the window short.
    """
    window = _FINE if found.changed_ns % _TICK else _COARSE
    return max(found.modified_ns, found.changed_ns) > read_ns - window


def recall(cache: Path, folder: Path) -> Remembered | None:
    """What a workspace's `cache` remembers of a folder; None if nothing, or nothing that can be trusted."""
    name = os.path.realpath(folder)
    try:
        raw = _path(cache, name).read_bytes()
    except OSError:
        return None
    checksum, body = raw[:32], raw[32:]
    if hashlib.sha256(body).digest() != checksum:
        return None
    try:
        remembered = msgspec.msgpack.decode(body, type=Remembered)
    except msgspec.DecodeError:
        return None
    return remembered if (remembered.form, remembered.folder) == (_FORM, name) else None


def unchanged(cache: Path, folder: Path) -> str | None:
    """The content id that a folder had when it was last stored, if its stats say that it still has it.

    None if anything differs or could have changed unseen. Believe it only if it is that of the dataset's newest
    version: what was stored may since have been erased, and its bytes collected. Raises DataError as `walk`.
    """
    remembered = recall(cache, folder)
    if remembered is None or not remembered.is_as(walk(folder)):
        return None
    return remembered.content_id


def remember(
    workspace: "Workspace",
    folder: Path,
    content_id: str,
    found: Sequence[Found],
    digests: Sequence[str],
    racy: list[int],
) -> None:
    """Remember a folder as it was stored. A disk that can't take it costs time at the next add, nothing more."""
    name = os.path.realpath(folder)
    stats = msgspec.msgpack.encode(found)
    body = msgspec.msgpack.encode(Remembered(_FORM, name, content_id, stats, bytes.fromhex("".join(digests)), racy))
    path = _path(workspace.folder / "cache", name)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = workspace.temporary() / f"stats-{os.getpid()}-{secrets.token_hex(8)}"
        try:
            unfinished.write_bytes(hashlib.sha256(body).digest() + body)
            unfinished.rename(path)
        finally:
            unfinished.unlink(missing_ok=True)


def _path(cache: Path, folder: str) -> Path:
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()
    return cache / "folders" / name
