"""Local copies of objects that live elsewhere, bounded, shared by all processes of a machine."""

import os
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clew.errors import NotFoundError
from clew.objects.base import ObjectInfo, damaged
from clew.objects.folder import FolderStore

DEFAULT_LIMIT = 10 * 2**30
IN_USE = timedelta(minutes=10)
"""Copies asked for within this time are kept even over the limit: somebody may be about to open them."""


class ObjectCache:
    """Copies in a folder, of at most `limit` bytes; beyond that those go that were asked for longest ago.

    May be used by many threads and processes at once. Its bytes are copies: the folder may be deleted at any time
    when nothing runs. A copy is checked when it is made.
    """

    def __init__(self, folder: Path, limit: int = DEFAULT_LIMIT) -> None:
        self._store = FolderStore(folder)
        self._limit = limit
        self._lock = threading.Lock()
        self._room = 0  # bytes that may still be added before the folder has to be looked at

    def find(self, digest: str) -> Path | None:
        """The copy's file, marked as just used; None if there is none."""
        try:
            path = self._store.open_path(digest)
            os.utime(path)
        except (NotFoundError, FileNotFoundError):
            return None
        return path

    def add(self, chunks: Iterable[bytes]) -> ObjectInfo:
        """Keep a stream's bytes, under whatever digest they have."""
        info = self._store.put(chunks)
        if info.created:
            self._make_room(info.size)
        return info

    def fill(self, digest: str, chunks: Iterable[bytes], origin: str) -> Path:
        """Keep an object's bytes as they come from `origin`, checked; the copy's file.

        Raises:
            IntegrityError: they are not the object's; nothing is kept.
        """
        info = self.add(chunks)
        if info.digest != digest:
            self.discard(info.digest)
            raise damaged(digest, origin, info.digest)
        return self._store.open_path(digest)

    def discard(self, digest: str) -> None:
        """Remove the copy of an object, if there is one."""
        self._store.delete(digest)

    def _make_room(self, added: int) -> None:
        with self._lock:
            self._room -= added
            if self._room >= 0:
                return
            copies = sorted(self._store.list(), key=lambda copy: copy.modified)
            total = sum(copy.size for copy in copies)
            unused_since = datetime.now(UTC) - IN_USE
            for copy in copies:
                # A tenth below the limit, so that the folder isn't listed again at once.
                if total <= self._limit * 9 // 10:
                    break
                if self._store.delete(copy.digest, older_than=unused_since):
                    total -= copy.size
            # Other processes add too: look again after at most a tenth of the limit.
            self._room = max(0, min(self._limit - total, self._limit // 10))


def default_cache_folder() -> Path:
    """`$CLEW_CACHE`, or `clew` in the user's cache folder (XDG Base Directory Specification)."""
    if chosen := os.environ.get("CLEW_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clew"
