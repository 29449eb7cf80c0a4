"""Segments: the files of one writer's journal, what their names are and what lies at their start.

    <journal>/<writer>/lock                     held by the process that writes
    <journal>/<writer>/durable                  how far the newest segment is on disk (see `durable.py`)
    <journal>/<writer>/0000000001.seg           frames, after a header of 256 bytes
    <journal>/<writer>/0000000001.json          its seal, once no more will be written (see `seal.py`)
    <journal>/<writer>/0000000001.g0001/        what it was compacted to; then the .seg goes (see `compact.py`)

A segment takes its name only when its header and its space are on disk, so a `.seg` always has a header. Each group
of records written at once begins with a mark: a frame with the segment's nonce and the number of the commit. Commits
follow one another only after the disk confirmed the one before; so a mark behind a broken frame proves that the broken
frame had been acknowledged.
"""

import os
import re
import struct
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from clew.errors import IntegrityError, UsageError
from clew.serving.journal import _disk
from clew.serving.journal.frame import frame, unframe

FORMAT: Final = 1
HEADER_BYTES: Final = 256
_MAGIC: Final = b"CLEWJRNL"
_MARK: Final = struct.Struct("<B16sQ")
_NOT_MSGPACK: Final = 0xC1  # the one first byte that no msgpack value has: a mark is never taken for a record
_WRITER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NAME: Final = re.compile(r"(\d{10})\.(?:seg|json|g\d{4})")


class Position(NamedTuple):
    """A place in one writer's journal: just after a record. Positions are ordered; as JSON, a list of two."""

    segment: int
    offset: int


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a segment says of itself."""

    format: int
    writer: str
    segment: int
    nonce: bytes


def check_writer(writer: str) -> str:
    """The writer's name, if it can be a folder's.

    Raises:
        UsageError: it has other characters or is too long.
    """
    if not _WRITER.fullmatch(writer):
        message = f"{writer!r} can't name a journal's writer"
        raise UsageError(message, mend="use 1 to 64 letters, digits, '.', '_' or '-', not beginning with a sign")
    return writer


def raw_path(folder: Path, segment: int) -> Path:
    """The file of frames."""
    return folder / f"{segment:010d}.seg"


def seal_path(folder: Path, segment: int) -> Path:
    """The file of the seal."""
    return folder / f"{segment:010d}.json"


def compacted_path(folder: Path, segment: int, generation: int) -> Path:
    """The folder of the two Parquet files; the highest generation counts."""
    return folder / f"{segment:010d}.g{generation:04d}"


def compacted_generation(folder: Path, segment: int) -> int:
    """The highest generation of a compacted segment, 0 when it is raw."""
    generations = [int(path.name[-4:]) for path in folder.glob(f"{segment:010d}.g????")]
    return max(generations, default=0)


def writers(journal: Path) -> list[Path]:
    """The folders of a journal's writers, by name."""
    if not journal.is_dir():
        return []
    return sorted(path for path in journal.iterdir() if _WRITER.fullmatch(path.name) and path.is_dir())


def segments(folder: Path) -> list[int]:
    """The numbers of one writer's segments, in order."""
    with os.scandir(folder) as entries:
        return sorted({int(match[1]) for entry in entries if (match := _NAME.fullmatch(entry.name))})


def create(folder: Path, header: Header, allocate: int) -> int:
    """Make a segment with `allocate` bytes of space, durable, and return its descriptor.

    Raises:
        OSError: the disk is full or failed.
    """
    path = raw_path(folder, header.segment)
    part = path.with_suffix(".seg.tmp")
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o640)
    try:
        start = _MAGIC + frame(msgspec.msgpack.encode(header))
        _disk.write_all(descriptor, start.ljust(HEADER_BYTES, b"\0"), 0)
        os.posix_fallocate(descriptor, 0, allocate)
        os.fsync(descriptor)
        part.rename(path)
        _disk.sync_folder(folder)
    except OSError:
        os.close(descriptor)
        part.unlink(missing_ok=True)
        raise
    return descriptor


def read_header(descriptor: int, path: Path) -> Header:
    """The header of an open segment.

    Raises:
        IntegrityError: it is broken, of another format, or of another segment than the file's name says.
    """
    start = os.pread(descriptor, HEADER_BYTES, 0)
    payload = unframe(start, len(_MAGIC)) if len(start) == HEADER_BYTES and start.startswith(_MAGIC) else None
    if payload is None or any(start[len(_MAGIC) + 8 + len(payload) :]):
        raise broken(path, 0, "the header is damaged")
    header = msgspec.msgpack.decode(payload, type=Header)
    if header.format != FORMAT:
        message = f"{path} has journal format {header.format}, this version of clew reads {FORMAT}"
        raise IntegrityError(message, mend="use the version of clew that wrote it, or upgrade")
    if (header.writer, header.segment) != (path.parent.name, int(path.name[:10])):
        raise broken(path, 0, f"it is segment {header.segment} of writer {header.writer}, under another name")
    return header


def mark(nonce: bytes, commit: int) -> bytes:
    """The framed mark that begins a commit."""
    return frame(_MARK.pack(_NOT_MSGPACK, nonce, commit))


def marked_commit(payload: bytes, nonce: bytes) -> int | None:
    """The commit that a payload marks, or None when it is a record."""
    if payload[0] != _NOT_MSGPACK or len(payload) != _MARK.size:
        return None
    _, found, commit = _MARK.unpack(payload)
    return commit if found == nonce else None


def broken(path: Path, offset: int, what: str) -> IntegrityError:
    """The error that names file and offset."""
    return IntegrityError(
        f"{path} at byte {offset}: {what}",
        mend=f"restore {path.name} from a copy, or move it out of the journal to go on without its records",
    )
