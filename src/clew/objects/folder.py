"""Objects in a folder of the local disk."""

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clew.errors import NotFoundError, StoreError
from clew.objects.base import (
    ObjectInfo,
    ObjectStore,
    StoredObject,
    check_digest,
    check_range,
    check_source,
    damaged,
    digest_of,
    digest_of_file,
    is_digest,
    marker_file,
    missing,
    missing_marker,
    read_chunks,
)

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class FolderStore(ObjectStore):
    """A store in a folder: `objects/ab/cdef…` for objects, `refs/` for markers, `temporary/` for unfinished writes.

    A write goes to a temporary file, is synced to the disk, and is then linked under its name, which fails if the
    name is taken: the file system itself decides who was first. Needs a local file system with hard links.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._objects = self.folder / "objects"
        self._markers = self.folder / "refs"
        self._temporary = self.folder / "temporary"
        with self._reported():
            for part in (self._objects, self._markers, self._temporary):
                _make_folder(part)

    def __repr__(self) -> str:
        return f"FolderStore({str(self.folder)!r})"

    @property
    def url(self) -> str:
        """The folder as a `file:` URL."""
        return self.folder.as_uri()

    def put(self, data: bytes | Path | Iterable[bytes]) -> ObjectInfo:
        """Store content; see `ObjectStore.put`. What is there already is only marked as put again."""
        if isinstance(data, bytes):
            digest = digest_of(data)
            if self._touch(digest, len(data)):
                return ObjectInfo(digest, len(data), created=False)
            return self._write([data])
        if isinstance(data, Path):
            check_source(data)
            with self._reported():
                digest, size = digest_of_file(data)
            if self._touch(digest, size):
                return ObjectInfo(digest, size, created=False)
            # Hashed again on the way: the name has to be that of the bytes written, were the file to change now.
            return self._write(read_chunks(data))
        return self._write(data)

    def put_file(self, path: Path, *, move: bool = False) -> ObjectInfo:
        """Store a file's content; see `ObjectStore.put_file`. `move` renames where the file system allows it."""
        if not move:
            return self.put(path)
        check_source(path)
        with self._reported():
            stat = path.lstat()
            # Another name of the same file could change the object later; another disk can't be linked to.
            if path.is_symlink() or stat.st_nlink > 1 or stat.st_dev != self._temporary.stat().st_dev:
                return super().put_file(path, move=True)
            taken = self._temporary / _temporary_name()
            path.rename(taken)
            try:
                with taken.open("rb") as file:
                    os.fchmod(file.fileno(), 0o444)
                    os.fsync(file.fileno())
                digest, size = digest_of_file(taken)
                return ObjectInfo(digest, size, self._publish(taken, self._path(digest), size))
            except BaseException:
                if not path.exists():
                    taken.rename(path)
                raise
            finally:
                taken.unlink(missing_ok=True)

    def scratch(self) -> Path:
        """A path on the same disk; what a killed process left there is swept. See `ObjectStore.scratch`."""
        return self._temporary / _temporary_name()

    def get(self, digest: str) -> bytes:
        """All bytes, checked; see `ObjectStore.get`."""
        with self._reported(digest):
            data = self._path(digest).read_bytes()
        if (found := digest_of(data)) != digest:
            raise damaged(digest, self.url, found)
        return data

    def read_range(self, digest: str, start: int, length: int) -> bytes:
        """Some of the bytes; see `ObjectStore.read_range`."""
        with self._reported(digest), self._path(digest).open("rb", buffering=0) as file:
            check_range(digest, start, length, os.fstat(file.fileno()).st_size)
            parts = []
            while length > 0 and (part := os.pread(file.fileno(), length, start)):
                parts.append(part)
                start, length = start + len(part), length - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def open_path(self, digest: str) -> Path:
        """The store's own file; see `ObjectStore.open_path`."""
        path = self._path(digest)
        with self._reported(digest):
            path.stat()
        return path

    def exists(self, digest: str) -> bool:
        """Whether the object is there."""
        return bool(self.exists_many([digest]))

    def exists_many(self, digests: Iterable[str]) -> set[str]:
        """Those that are there."""
        found = set()
        with self._reported():
            for digest in digests:
                with contextlib.suppress(FileNotFoundError):
                    self._path(digest).stat()
                    found.add(digest)
        return found

    def size(self, digest: str) -> int:
        """The object's size in bytes."""
        with self._reported(digest):
            return self._path(digest).stat().st_size

    def delete(self, digest: str, *, older_than: datetime | None = None) -> bool:
        """Remove an object; see `ObjectStore.delete`."""
        path = self._path(digest)
        with self._reported(), contextlib.suppress(FileNotFoundError), _locked(path.parent, fcntl.LOCK_EX):
            if older_than is None or path.stat().st_mtime < older_than.timestamp():
                path.unlink()
                return True
        return False

    def list(self) -> Iterator[StoredObject]:
        """All objects, folder by folder."""
        with self._reported():
            for part in filter(Path.is_dir, self._objects.iterdir()):
                with os.scandir(part) as entries:
                    for entry in entries:
                        digest = part.name + entry.name
                        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                            if is_digest(digest):
                                stat = entry.stat()
                                yield StoredObject(digest, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))

    def verify(self, digest: str) -> None:
        """Hash the object's file again; see `ObjectStore.verify`."""
        with self._reported(digest):
            found, _ = digest_of_file(self._path(digest))
        if found != digest:
            raise damaged(digest, self.url, found)

    def create(self, name: str, data: bytes) -> bool:
        """Create a marker unless there is one; see `ObjectStore.create`."""
        path = self._markers / marker_file(name)
        with self._reported():
            temporary, _, _ = self._write_temporary([data])
            try:
                return self._link(temporary, path)
            finally:
                temporary.unlink()

    def read_marker(self, name: str) -> bytes:
        """The data of a marker."""
        path = self._markers / marker_file(name)
        with self._reported():
            try:
                return path.read_bytes()
            except FileNotFoundError:
                raise missing_marker(name, self.url) from None

    def delete_marker(self, name: str) -> bool:
        """Remove a marker; whether it was there."""
        path = self._markers / marker_file(name)
        with self._reported():
            try:
                path.unlink()
            except FileNotFoundError:
                return False
            _sync_folder(path.parent)
        return True

    def sweep_temporary(self, older_than: timedelta = timedelta(days=1)) -> int:
        """Remove what killed writers left behind: temporary files not written to for so long; how many.

        A living writer touches its file with each chunk, so take a time in which a stream doesn't stand still.
        """
        before = time.time() - older_than.total_seconds()
        swept = 0
        with self._reported():
            for entry in os.scandir(self._temporary):
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat().st_mtime <= before:
                        Path(entry.path).unlink()
                        swept += 1
        return swept

    def _path(self, digest: str) -> Path:
        check_digest(digest)
        return self._objects / digest[:2] / digest[2:]

    def _touch(self, digest: str, size: int) -> bool:
        """Mark an object as put now; False if it is missing, or damaged in a way that its size shows."""
        path = self._path(digest)
        # The lock keeps it from being deleted as old after it was found. The sync that leaving it makes is needed:
        # whoever wrote the object may not have come so far as to sync its name.
        with self._reported(), contextlib.suppress(FileNotFoundError), _locked(path.parent, fcntl.LOCK_SH):
            if path.stat().st_size == size:
                os.utime(path)
                return True
        return False

    def _write(self, chunks: Iterable[bytes]) -> ObjectInfo:
        with self._reported():
            temporary, digest, size = self._write_temporary(chunks)
            try:
                return ObjectInfo(digest, size, self._publish(temporary, self._path(digest), size))
            finally:
                temporary.unlink()

    def _write_temporary(self, chunks: Iterable[bytes]) -> tuple[Path, str, int]:
        """A synced read-only file with the chunks' bytes, their digest and size; nothing stays if that fails."""
        path = self._temporary / _temporary_name()
        hasher = hashlib.sha256()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123  # a Path can't open a descriptor
                for chunk in chunks:
                    hasher.update(chunk)
                    view = memoryview(chunk)
                    while view:  # a write may take only a part, as the last one does on a disk that fills up
                        view = view[file.write(view) :]
                os.fchmod(descriptor, 0o444)
                os.fsync(descriptor)
                return path, hasher.hexdigest(), file.tell()
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _publish(self, temporary: Path, path: Path, size: int) -> bool:
        """Give a synced file its name; False if an object had that name and the right size."""
        while not self._link(temporary, path):
            if self._touch(path.parent.name + path.name, size):
                return False
            with contextlib.suppress(FileNotFoundError), _locked(path.parent, fcntl.LOCK_EX):
                if path.stat().st_size != size:  # truncated: remove it, and link what it should have been
                    path.unlink()
        return True

    def _link(self, temporary: Path, path: Path) -> bool:
        """Link a file under a name unless it is taken, durably; whether it was free."""
        _make_folder(path.parent)
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        finally:
            _sync_folder(path.parent)
            # Another writer may have made that folder a moment ago. Costs little when there is nothing to sync.
            _sync_folder(path.parent.parent)
        return True

    @contextlib.contextmanager
    def _reported(self, digest: str | None = None) -> Iterator[None]:
        """Turn the system's errors into clew's; a missing file is a missing object where one is named."""
        try:
            yield
        except FileNotFoundError as error:
            if digest is not None and self._objects.is_dir():
                raise missing(digest, self.url) from None
            raise NotFoundError(f"{error.filename} is not there: {error.strerror}", mend="check the path") from error
        except OSError as error:
            raise _store_error(error, self.folder) from error


def _store_error(error: OSError, folder: Path) -> StoreError:
    where = error.filename or folder
    if error.errno in _FULL:
        return StoreError(
            f"no room to write to {folder}: {error.strerror}; nothing was stored",
            mend="free space on its disk (df -h shows it), or raise the quota or the file size limit, and try again",
        )
    if error.errno in _NO_LINKS and error.filename2 is not None:
        return StoreError(
            f"the file system of {folder} can't make hard links: {error.strerror}",
            mend="put the workspace on a local disk with ext4, xfs, btrfs, zfs or apfs",
        )
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return StoreError(
            f"{where} can't be accessed: {error.strerror}", mend=f"give this user write access to {folder}"
        )
    return StoreError(
        f"{where}: {error.strerror}", mend=f"check the disk that holds {folder} (dmesg tells of its faults)"
    )


def _temporary_name() -> str:
    return f"{os.getpid()}-{secrets.token_hex(8)}"


def _make_folder(path: Path) -> None:
    """Make a folder and those above it, each durably."""
    if path.is_dir():
        return
    _make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    """Hold a lock on a folder against other threads and processes, and sync the folder at the end."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
