"""Frames: how a payload lies in a file so that its end, a torn write and a flipped byte are all seen.

    crc32 (u32, little-endian) | length (u32) | payload

The checksum is seeded with the length, so it covers both. A length of zero is no frame: the zeros of preallocated
space read as the end.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from typing import Final

from clew.errors import UsageError

HEAD: Final = struct.Struct("<II")
MAX_PAYLOAD: Final = 1 << 30
_CHUNK: Final = 1 << 20


def frame(payload: bytes) -> bytes:
    """The payload in its frame.

    Raises:
        UsageError: it is empty or longer than 1 GiB.
    """
    length = len(payload)
    if not 0 < length <= MAX_PAYLOAD:
        message = f"a frame holds 1 to {MAX_PAYLOAD} bytes, not {length}"
        raise UsageError(message, mend="split the record")
    return HEAD.pack(zlib.crc32(payload, length), length) + payload


def unframe(buffer: bytes, at: int = 0) -> bytes | None:
    """The payload of the frame that begins at `at`, or None where there is no whole frame with a right checksum."""
    start = at + HEAD.size
    if at < 0 or start > len(buffer):
        return None
    crc, length = HEAD.unpack_from(buffer, at)
    payload = buffer[start : start + length]
    if length == 0 or len(payload) < length or zlib.crc32(payload, length) != crc:
        return None
    return payload


def frames(descriptor: int, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """(end offset, payload) of the frames in [start, stop) of an open file, up to the first that isn't whole and right.

    The caller compares the last end with `stop` to know whether it ended early.
    """
    buffer, base, at = b"", start, start
    while at + HEAD.size <= stop:
        if at - base + HEAD.size > len(buffer):
            buffer, base = os.pread(descriptor, min(_CHUNK, stop - at), at), at
            if len(buffer) < HEAD.size:
                return
        _, length = HEAD.unpack_from(buffer, at - base)
        end = at + HEAD.size + length
        if length == 0 or end > stop:
            return
        if end - base > len(buffer):
            buffer, base = os.pread(descriptor, min(max(_CHUNK, end - at), stop - at), at), at
        payload = unframe(buffer, at - base)
        if payload is None:
            return
        yield end, payload
        at = end
