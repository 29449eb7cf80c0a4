"""Objects in memory, for tests and for workspaces that are meant to be gone."""

import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from clew.objects.base import (
    ObjectInfo,
    ObjectStore,
    StoredObject,
    check_digest,
    check_range,
    check_source,
    damaged,
    digest_of,
    marker_file,
    missing,
    missing_marker,
)


class MemoryStore(ObjectStore):
    """A store that lives as long as this object; durable in no way, and for one process.

    The files of `open_path` lie in a temporary folder that goes with it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[str, tuple[bytes, datetime]] = {}
        self._markers: dict[str, bytes] = {}
        self._files: Path | None = None

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self._objects)} objects>"

    @property
    def url(self) -> str:
        """`memory://`, which opens another store each time."""
        return "memory://"

    def put(self, data: bytes | Path | Iterable[bytes]) -> ObjectInfo:
        """Keep content; see `ObjectStore.put`. It is of course held whole."""
        if isinstance(data, Path):
            check_source(data)
            content = data.read_bytes()
        else:
            content = data if isinstance(data, bytes) else b"".join(data)
        digest = digest_of(content)
        with self._lock:
            created = digest not in self._objects
            self._objects[digest] = (content, datetime.now(UTC))
        return ObjectInfo(digest, len(content), created)

    def get(self, digest: str) -> bytes:
        """All bytes, checked; see `ObjectStore.get`."""
        data = self._data(digest)
        if (found := digest_of(data)) != digest:
            raise damaged(digest, self.url, found)
        return data

    def read_range(self, digest: str, start: int, length: int) -> bytes:
        """Some of the bytes; see `ObjectStore.read_range`."""
        data = self._data(digest)
        check_range(digest, start, length, len(data))
        return data[start : start + length]

    def open_path(self, digest: str) -> Path:
        """A file with the bytes; see `ObjectStore.open_path`."""
        data = self.get(digest)
        with self._lock:
            if self._files is None:
                self._files = Path(tempfile.mkdtemp(prefix="clew-memory-"))
                weakref.finalize(self, shutil.rmtree, self._files, ignore_errors=True)
            path = self._files / digest
            if not path.exists():
                path.write_bytes(data)
                path.chmod(0o444)
        return path

    def exists(self, digest: str) -> bool:
        """Whether the object is there."""
        return check_digest(digest) in self._objects

    def exists_many(self, digests: Iterable[str]) -> set[str]:
        """Those that are there."""
        return {digest for digest in digests if self.exists(digest)}

    def size(self, digest: str) -> int:
        """The object's size in bytes."""
        return len(self._data(digest))

    def delete(self, digest: str, *, older_than: datetime | None = None) -> bool:
        """Forget an object; see `ObjectStore.delete`."""
        check_digest(digest)
        with self._lock:
            if digest not in self._objects or (older_than is not None and self._objects[digest][1] >= older_than):
                return False
            del self._objects[digest]
            if self._files is not None:
                (self._files / digest).unlink(missing_ok=True)
        return True

    def list(self) -> Iterator[StoredObject]:
        """All objects."""
        with self._lock:
            found = [StoredObject(digest, len(data), at) for digest, (data, at) in self._objects.items()]
        yield from found

    def verify(self, digest: str) -> None:
        """Hash the object again; see `ObjectStore.verify`."""
        self.get(digest)

    def create(self, name: str, data: bytes) -> bool:
        """Create a marker unless there is one; see `ObjectStore.create`."""
        name = marker_file(name)
        with self._lock:
            if name in self._markers:
                return False
            self._markers[name] = data
        return True

    def read_marker(self, name: str) -> bytes:
        """The data of a marker."""
        try:
            return self._markers[marker_file(name)]
        except KeyError:
            raise missing_marker(name, self.url) from None

    def delete_marker(self, name: str) -> bool:
        """Remove a marker; whether it was there."""
        with self._lock:
            return self._markers.pop(marker_file(name), None) is not None

    def _data(self, digest: str) -> bytes:
        try:
            return self._objects[check_digest(digest)][0]
        except KeyError:
            raise missing(digest, self.url) from None
