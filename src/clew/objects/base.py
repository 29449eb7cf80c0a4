"""What every store of objects does: immutable bytes, named by the SHA-256 of what they hold."""

import hashlib
import os
import re
import secrets
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from clew.errors import IntegrityError, NotFoundError, UsageError

CHUNK = 1 << 20
"""Bytes read at a time when content is streamed."""

REFRESH_AFTER = timedelta(hours=1)
"""How old `modified` may be after a `put` of bytes that are already there; see `ObjectStore`."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MARKER = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What `put` did: the content's digest, its size in bytes, and whether the store didn't have it before."""

    digest: str
    size: int
    created: bool


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as listed: digest, size in bytes, and when it was last put (by the store's clock, in UTC)."""

    digest: str
    size: int
    modified: datetime


class ObjectStore(ABC):
    """Immutable bytes by content id, and markers that are created once.

    **Names.** An object is named by the SHA-256 of its bytes, in 64 lower-case hex digits; anything else is refused
    with `UsageError` before the store is touched, so a name can't leave the store's folder or prefix.

    **Durability.** When `put` or `create` returns, the bytes survive the end of the process and, as far as the disk
    or the service keeps its word, of the machine. An object becomes visible whole or not at all: whoever is killed
    while writing leaves at most a temporary file, or an unfinished upload, that no method shows.

    **Freshness.** `put` of bytes that are already there doesn't write them again, but makes sure that `modified`
    is no older than `REFRESH_AFTER`. Collection of garbage relies on it: what was put lately may be
    about to be named by a catalog, so spare it for a grace period well above that, and delete with `older_than`.

    **Trust.** `get` and `verify` check the bytes against the digest; `read_range` and the files of `open_path` are
    not checked at each use.

    **Concurrency.** All methods may be called from many threads and processes at once. A store that talks to a
    service must be opened again after a fork.

    **Ownership.** Paths passed in remain the caller's, except to `put_file(move=True)`. Files that `open_path` gives
    belong to the store: read-only, never to be changed. Deleting an object doesn't take the bytes from those who
    have it open.

    Every method raises `StoreError` when the disk or the service fails, beside what it lists itself.
    """

    @property
    @abstractmethod
    def url(self) -> str:
        """Where the store is, in the form that `open_store` takes; never with credentials."""

    @abstractmethod
    def put(self, data: bytes | Path | Iterable[bytes]) -> ObjectInfo:
        """Store bytes, the content of a file, or a stream of chunks; durable on return.

        Files and streams are never held in memory whole. A file that changes meanwhile is stored as it was read or
        refused, never under a wrong digest. `created` may be True for both of two callers that put the same bytes
        at the same moment through a service.

        Raises:
            NotFoundError: there is no such file.
            UsageError: the path is not that of a regular file.
        """

    def put_file(self, path: Path, *, move: bool = False) -> ObjectInfo:
        """Store a file's content. With `move` the file is given up: its path is gone afterwards.

        A store on the same disk then renames instead of copying. As with `put` otherwise.
        """
        info = self.put(path)
        if move:
            path.unlink()
        return info

    def scratch(self) -> Path:
        """A path for a file on its way to `put_file(move=True)`; whoever asked for it removes what is left there."""
        return Path(tempfile.gettempdir()) / f"clew-{os.getpid()}-{secrets.token_hex(8)}"

    @abstractmethod
    def get(self, digest: str) -> bytes:
        """All bytes of an object, checked.

        Raises:
            NotFoundError: the store doesn't have it.
            IntegrityError: the bytes are not those that were put.
        """

    @abstractmethod
    def read_range(self, digest: str, start: int, length: int) -> bytes:
        """`length` bytes from byte `start`, unchecked.

        Raises:
            NotFoundError: the store doesn't have the object.
            UsageError: the range is not wholly inside the object.
        """

    @abstractmethod
    def open_path(self, digest: str) -> Path:
        """A local file of mode 0444 that holds the bytes, to be opened or mapped soon.

        A folder gives its own file. Other stores make a copy, once, where a bounded cache may remove it again
        after it has lain unused for some minutes.

        Raises:
            NotFoundError: the store doesn't have it.
            IntegrityError: the bytes that came are not those that were put.
        """

    @abstractmethod
    def exists(self, digest: str) -> bool:
        """Whether the store has the object."""

    @abstractmethod
    def exists_many(self, digests: Iterable[str]) -> set[str]:
        """Those of the digests that the store has."""

    @abstractmethod
    def size(self, digest: str) -> int:
        """The object's size in bytes.

        Raises:
            NotFoundError: the store doesn't have it.
        """

    @abstractmethod
    def delete(self, digest: str, *, older_than: datetime | None = None) -> bool:
        """Remove an object for good, and this machine's cached copy; whether it was there and is gone.

        With `older_than` only if it was last put before that moment, as a collector of garbage wants it: between
        listing and deleting somebody may have put the same bytes again.
        """

    @abstractmethod
    def list(self) -> Iterator[StoredObject]:
        """All objects, in no order; those put or deleted meanwhile may be in it or not."""

    @abstractmethod
    def verify(self, digest: str) -> None:
        """Read the object where it is kept and hash it again, in little memory.

        Raises:
            NotFoundError: the store doesn't have it.
            IntegrityError: the bytes are not those that were put; names the object.
        """

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Create a named marker unless there is one; of many callers at once exactly one gets True.

        A `StoreError` leaves open whether it was created: read the marker to know.

        Raises:
            UsageError: the name is not made of letters, digits, `_`, `-`, `.` and `/`, or is too long.
        """

    @abstractmethod
    def read_marker(self, name: str) -> bytes:
        """The data a marker was created with.

        Raises:
            NotFoundError: there is no such marker.
        """

    @abstractmethod
    def delete_marker(self, name: str) -> bool:
        """Remove a marker; whether it was there."""


def is_digest(name: str) -> bool:
    """Whether it is the name of an object: 64 lower-case hex digits."""
    return _DIGEST.fullmatch(name) is not None


def check_digest(digest: str) -> str:
    """The digest itself, if it is one.

    Raises:
        UsageError: it is not 64 lower-case hex digits.
    """
    if not is_digest(digest):
        raise UsageError(
            f"{digest[:80]!r} is not the name of an object",
            mend="give the SHA-256 of the content as 64 lower-case hex digits",
        )
    return digest


def marker_file(name: str) -> str:
    """The file or the last part of the key that holds a marker: its name with `!` for each `/`.

    So all lie side by side, and `a` and `a/b` can both be, on a disk as in services that keep keys in folders.

    Raises:
        UsageError: the name could be a path out of the store, or not the same in every store.
    """
    if len(name) > 200 or not _MARKER.fullmatch(name):
        raise UsageError(
            f"{name[:80]!r} can't name a marker",
            mend="use up to 200 letters, digits, '_', '-', '.' and '/', no part empty or beginning with '.'",
        )
    return name.replace("/", "!")


def check_range(digest: str, start: int, length: int, size: int) -> None:
    """Pass if the range lies inside an object of `size` bytes.

    Raises:
        UsageError: it doesn't.
    """
    if start < 0 or length < 0 or start + length > size:
        raise UsageError(
            f"bytes {start} to {start + length} are not inside object {digest}, which has {size}",
            mend="ask for a range within the object's size",
        )


def check_source(path: Path) -> None:
    """Pass if there is a regular file at `path`, perhaps behind a symbolic link.

    Raises:
        NotFoundError: there is nothing.
        UsageError: there is something else, or this user may not read it.
    """
    if not path.exists():
        raise NotFoundError(f"there is no file {path}", mend="check the path")
    if not path.is_file():
        raise UsageError(f"{path} is not a regular file", mend="put files one by one; a folder is a dataset of files")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{path} can't be read by this user", mend=f"chmod u+r {path}, or run as its owner")


def missing(digest: str, url: str) -> NotFoundError:
    """The error for an object that the store doesn't have."""
    return NotFoundError(
        f"object {digest} is not in {url}",
        mend="check that the store is the one it was put into; if it is, its bytes were deleted: restore a backup",
    )


def missing_marker(name: str, url: str) -> NotFoundError:
    """The error for a marker that the store doesn't have."""
    return NotFoundError(f"there is no marker {name!r} in {url}", mend="check its name and the store's URL")


def damaged(digest: str, url: str, found: str) -> IntegrityError:
    """The error for an object whose bytes have another digest, `found`."""
    return IntegrityError(
        f"object {digest} in {url} is damaged: its bytes have the digest {found}",
        mend="delete the object and put the original content again, or restore it from a backup",
    )


def digest_of(data: bytes) -> str:
    """The SHA-256 (FIPS 180-4) of the bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def digest_of_file(path: Path) -> tuple[str, int]:
    """The SHA-256 in hex of a file's content, read in chunks, and its size in bytes."""
    with path.open("rb", buffering=0) as file:
        digest = hashlib.file_digest(file, "sha256")
        return digest.hexdigest(), file.tell()


def read_chunks(path: Path) -> Iterator[bytes]:
    """A file's content in chunks."""
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            yield chunk
