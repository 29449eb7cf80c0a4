"""Folders of files as snapshots: stored in packs and a listing, read again file by file."""

import os
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from clew.catalog.commands import SourceSpec
from clew.data import _file_listing, _stat_cache
from clew.data._file_bytes import local_path, read_bytes, sound, verify
from clew.data._file_listing import UNKNOWN_SIZE, Entry, content_id
from clew.data._folder import Found, check_unchanged, read_file, walk
from clew.data._packs import PACKED, Packer, digest_of
from clew.errors import DataError, IntegrityError, NotFoundError, UsageError
from clew.objects import ObjectInfo, ObjectStore
from clew.workspace import Workspace

__all__ = [
    "UNKNOWN_SIZE",
    "Entry",
    "StoredFiles",
    "content_id",
    "local_path",
    "objects_of",
    "read",
    "read_bytes",
    "safe_target",
    "store",
    "verify",
]


@dataclass(frozen=True)
class StoredFiles:
    """What became of a folder: its content id, the object of its listing, and the bytes that were new."""

    content_id: str
    listing: str
    files: int
    bytes: int
    new_bytes: int
    source: SourceSpec


def store(workspace: Workspace, folder: Path, previous_listing: str | None, *, repair: bool = False) -> StoredFiles:
    """Store a folder's files and their listing; bytes that the previous listing has are not stored again.

    Only files whose stats changed since the folder was last stored are read. All is durable on return, and of no
    effect until a catalog names the listing. With `repair` no stored bytes are counted on that aren't read and found
    whole now.

    Raises:
        DataError: the folder holds what can't be kept (nothing was stored then), or a file vanished or changed
            while it was read.
        StoreError: the disk or the service failed.
    """
    objects, root = workspace.objects, os.path.realpath(folder)
    began = time.time_ns()  # before the first stat
    found = walk(folder)
    remembered = _stat_cache.recall(workspace.folder / "cache", folder)
    trusted = {} if remembered is None else remembered.trusted()
    previous = _previous(objects, previous_listing)
    with Packer(objects) as packer:
        bytes_of = _Bytes(packer, root, {} if previous is None else _places(objects, previous.entries.values(), repair))
        read_now = [at for at, file in enumerate(found) if bytes_of.take(file, trusted.get(file))]
        entries, new = bytes_of.entries()
    identity = content_id({path: entry.sha256 for path, entry in entries.items()})
    if previous is not None and previous_listing is not None and entries == previous.entries:
        listing = previous_listing
    else:
        info = _file_listing.write(objects, entries, previous)
        listing, new = info.digest, new + (info.size if info.created else 0)
    racy = [at for at in read_now if _stat_cache.is_racy(found[at], began)]
    _stat_cache.remember(workspace, folder, identity, found, [entry.sha256 for entry in entries.values()], racy)
    size = sum(file.size for file in found)
    source = SourceSpec(uri=root, kind="folder", bytes=size)
    return StoredFiles(identity, listing, len(found), size, new, source)


class _Bytes:
    """The bytes of a folder's files: which are stored already, and where those go that are not."""

    def __init__(self, packer: Packer, folder: str, known: dict[str, Entry]) -> None:
        self._packer, self._folder, self._known = packer, folder, known
        self._packed: dict[str, tuple[int, int]] = {}
        # A file's digest, or the future of the object that will have it.
        self._taken: list[tuple[Found, str | Future[ObjectInfo]]] = []

    def take(self, file: Found, digest: str | None) -> bool:
        """Take a file in; whether it was read, since `digest` or the place of its bytes wasn't known."""
        if digest is not None and (digest in self._known or not file.size):
            self._taken.append((file, digest))
            return False
        if file.size > PACKED:
            self._taken.append((file, self._packer.add_file(Path(self._folder, file.path))))
            return True
        content = read_file(self._folder, file)
        digest = digest_of(content)
        if content and digest not in self._known and digest not in self._packed:
            self._packed[digest] = self._packer.add(content)
        self._taken.append((file, digest))
        return True

    def entries(self) -> tuple[dict[str, Entry], int]:
        """All files with their places, when their bytes are durable; and how many bytes were new."""
        try:
            packs, new = self._packer.finish()
        except (NotFoundError, UsageError) as error:
            raise DataError(
                f"a file can't be read any more: {error.message}", mend="add the folder when nothing writes to it"
            ) from error
        entries = {}
        for file, taken in self._taken:
            if isinstance(taken, Future):
                check_unchanged(self._folder, file)
                digest = taken.result().digest
                place, offset = digest, 0
            else:
                digest = taken
                if not file.size:
                    place, offset = "", 0
                elif digest in self._known:
                    place, offset = self._known[digest].place, self._known[digest].offset
                else:
                    number, offset = self._packed[digest]
                    place = packs[number]
            entries[file.path] = Entry(file.path, digest, file.size, place, offset)
        return entries, new


def _previous(objects: ObjectStore, listing: str | None) -> _file_listing.Listing | None:
    """The previous listing; None if it can't be read, as all that it says can be stored anew."""
    if listing is None:
        return None
    try:
        return _file_listing.load(objects, listing)
    except IntegrityError:
        return None


def _places(objects: ObjectStore, entries: Iterable[Entry], repair: bool) -> dict[str, Entry]:
    """Where the bytes of files lie, by their digest; what the store has lost is left out, and so stored again."""
    entries = sound(objects, entries) if repair else list(entries)
    there = objects.exists_many({entry.place for entry in entries if entry.place})
    return {entry.sha256: entry for entry in entries if entry.place in there}


def read(objects: ObjectStore, listing: str) -> dict[str, Entry]:
    """A listing's files by path, in order. Raises IntegrityError when it, or its base, is missing or damaged."""
    return _file_listing.load(objects, listing).entries


def objects_of(objects: ObjectStore, listing: str) -> set[str]:
    """Every object that a listing needs: itself, its base, and those that hold the bytes. Raises IntegrityError."""
    loaded = _file_listing.load(objects, listing)
    needed = {entry.place for entry in loaded.entries.values()} | {listing, loaded.base or listing}
    return needed - {""}


def safe_target(dest: Path, relative: str) -> Path:
    """Where a file of a listing goes; a path that leads out of `dest` is refused. Raises DataError."""
    target = dest / relative
    if Path(relative).is_absolute() or not target.resolve().is_relative_to(dest.resolve()):
        raise DataError(f"{relative!r} leads out of {dest}", mend="clew data verify")
    return target
