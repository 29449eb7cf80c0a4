"""Storing bytes anew where what is stored under their name is damaged."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from clew.errors import IntegrityError, NotFoundError
from clew.objects import ObjectInfo, ObjectStore, StoredObject


class MendingStore(ObjectStore):
    """A store that looks at what is there already before it counts on it, and puts damaged objects again.

    Streams are held in memory, so only for those of bounded size.
    """

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner

    @property
    def url(self) -> str:
        """That of the store within."""
        return self._inner.url

    def put(self, data: bytes | Path | Iterable[bytes]) -> ObjectInfo:
        """Store content; see `ObjectStore.put`. An object that isn't what its name says is written again."""
        if not isinstance(data, bytes | Path):
            data = b"".join(data)
        info = self._inner.put(data)
        if not info.created:
            try:
                self._inner.verify(info.digest)
            except (IntegrityError, NotFoundError):
                self._inner.delete(info.digest)
                return self._inner.put(data)
        return info

    def get(self, digest: str) -> bytes:
        """As the store within."""
        return self._inner.get(digest)

    def read_range(self, digest: str, start: int, length: int) -> bytes:
        """As the store within."""
        return self._inner.read_range(digest, start, length)

    def open_path(self, digest: str) -> Path:
        """As the store within."""
        return self._inner.open_path(digest)

    def exists(self, digest: str) -> bool:
        """As the store within."""
        return self._inner.exists(digest)

    def exists_many(self, digests: Iterable[str]) -> set[str]:
        """As the store within."""
        return self._inner.exists_many(digests)

    def size(self, digest: str) -> int:
        """As the store within."""
        return self._inner.size(digest)

    def delete(self, digest: str, *, older_than: datetime | None = None) -> bool:
        """As the store within."""
        return self._inner.delete(digest, older_than=older_than)

    def list(self) -> Iterator[StoredObject]:
        """As the store within."""
        return self._inner.list()

    def verify(self, digest: str) -> None:
        """As the store within."""
        self._inner.verify(digest)

    def create(self, name: str, data: bytes) -> bool:
        """As the store within."""
        return self._inner.create(name, data)

    def read_marker(self, name: str) -> bytes:
        """As the store within."""
        return self._inner.read_marker(name)

    def delete_marker(self, name: str) -> bool:
        """As the store within."""
        return self._inner.delete_marker(name)
