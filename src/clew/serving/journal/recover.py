"""What a crash left behind: the torn tail is cut off, the segment sealed; what was acknowledged is never cut."""

import os
from pathlib import Path

from clew.errors import NotPermittedError
from clew.serving.journal import _disk, durable
from clew.serving.journal.frame import frames, unframe
from clew.serving.journal.records import decode
from clew.serving.journal.seal import Seal, read_seal, write_seal
from clew.serving.journal.segment import (
    HEADER_BYTES,
    Position,
    broken,
    marked_commit,
    raw_path,
    read_header,
    segments,
    writers,
)

_NONCE_IN_MARK = 9  # bytes of a framed mark before its nonce: the frame's head and the mark's first byte


def lock_writer(folder: Path) -> _disk.FolderLock:
    """The lock of the one process that writes this folder.

    Raises:
        NotPermittedError: another process holds it.
    """
    refusal = f"another process is writing the journal {folder}"
    mend = "give each server process a writer name of its own, or stop the other process"
    return _disk.FolderLock(folder / "lock", refusal, mend)


def seal_abandoned(journal: Path) -> list[Seal]:
    """Seal what writers left open that no process holds any more; segments of live writers are left alone.

    Without it, the last records of a machine that never comes back would wait for a writer of its name.
    """
    sealed = []
    for folder in writers(journal):
        try:
            lock = lock_writer(folder)
        except NotPermittedError:
            continue
        with lock:
            sealed += seal_open_segments(folder)
    return sealed


def seal_open_segments(folder: Path) -> list[Seal]:
    """Seal each segment that has no seal; the caller holds the writer's lock. Doing it again changes nothing.

    Raises:
        IntegrityError: a frame is broken that had been acknowledged.
    """
    for part in [*folder.glob("*.seg.tmp"), *folder.glob("*.json.tmp")]:
        part.unlink()
    sealed = []
    for number in segments(folder):
        if raw_path(folder, number).exists() and read_seal(folder, number) is None:
            seal = _scan(folder, number, durable.load(folder))
            if seal.count:
                write_seal(folder, seal)
                sealed.append(seal)
            else:
                raw_path(folder, number).unlink()
                _disk.sync_folder(folder)
    return sealed


def _scan(folder: Path, number: int, confirmed: Position) -> Seal:
    """Read a segment up to its end, cut off what follows, and say what it holds.

    Whole frames that were written but not yet acknowledged stay: their senders got no answer, so both ways are right.
    """
    path = raw_path(folder, number)
    descriptor = os.open(path, os.O_RDWR)
    try:
        header = read_header(descriptor, path)
        size = os.fstat(descriptor).st_size
        seal = Seal(writer=header.writer, segment=number, end=HEADER_BYTES)
        commit = 0
        for end, payload in frames(descriptor, HEADER_BYTES, size):
            marked = marked_commit(payload, header.nonce)
            if marked is None:
                seal.add(decode(payload, f"{path} at byte {end - len(payload)}"))
            else:
                commit = marked
            seal.end = end
        acknowledged = confirmed.segment == number and confirmed.offset > seal.end
        if acknowledged or _later_commit(os.pread(descriptor, size - seal.end, seal.end), header.nonce, commit):
            raise broken(path, seal.end, "a record that had been acknowledged is damaged")
        os.ftruncate(descriptor, seal.end)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return seal


def _later_commit(rest: bytes, nonce: bytes, commit: int) -> bool:
    """Whether a commit after `commit` was begun behind the break, which proves what stands before it acknowledged."""
    found = rest.find(nonce)
    while found >= 0:
        payload = unframe(rest, found - _NONCE_IN_MARK)
        marked = None if payload is None else marked_commit(payload, nonce)
        if marked is not None and marked > commit:
            return True
        found = rest.find(nonce, found + 1)
    return False
