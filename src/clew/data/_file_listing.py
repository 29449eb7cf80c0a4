"""Listings: which files a folder has, and where their bytes lie; as one object, whole or as what changed.

A whole listing holds columns of paths, digests, sizes, places and offsets. One that differs little from an earlier
whole listing names that as its base, and holds only the paths that went and the files that came or changed; a base
never has a base itself. Listings of the first form, JSON of paths and digests, are read too.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec

from clew.errors import ClewError, IntegrityError, NotFoundError
from clew.objects import ObjectInfo, ObjectStore

UNKNOWN_SIZE = -1
"""The size of a file whose listing, one of the first form, doesn't tell it."""

_FORM = 2
_WHOLE_BELOW = 256
"""Files below which a listing is always whole: a base would spare too little."""

_Count = Annotated[int, msgspec.Meta(ge=0)]
_Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A file: its path, the SHA-256 of its bytes, and the object that holds them from `offset` on.

    `place` is `sha256` itself when the file is an object of its own, and empty for a file without bytes.
    """

    path: str
    sha256: str
    size: int
    place: str
    offset: int


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    files: int
    paths: list[str]
    digests: bytes
    sizes: list[_Count]
    places: bytes
    # For each file: 0 when it is an object of its own or empty, else the number of its place, from 1.
    held_by: list[_Count]
    offsets: list[_Count]
    base: _Digest | None = None
    removed: list[str] = []


@dataclass(frozen=True)
class Listing:
    """A listing that was read: its files by path, in order, and the base that it, or its successor, may build on."""

    entries: dict[str, Entry]
    base: str | None
    base_entries: Mapping[str, Entry]


def content_id(digests: Mapping[str, str]) -> str:
    """The content id of a folder: of its paths and the SHA-256 of their bytes, however they are stored."""
    return f"f1:{hashlib.sha256(json.dumps({'files': dict(digests)}, sort_keys=True).encode()).hexdigest()}"


def write(objects: ObjectStore, entries: Mapping[str, Entry], previous: Listing | None) -> ObjectInfo:
    """Store a listing: as what changed since the previous one's base, if that is less than half of it."""
    if previous is not None and previous.base is not None and len(entries) >= _WHOLE_BELOW:
        base = previous.base_entries
        changed = [entry for path, entry in entries.items() if base.get(path) != entry]
        removed = [path for path in base if path not in entries]
        if 2 * (len(changed) + len(removed)) < len(entries):
            return objects.put(_encode(changed, previous.base, removed))
    return objects.put(_encode(entries.values()))


def _encode(entries: Iterable[Entry], base: str | None = None, removed: list[str] | None = None) -> bytes:
    entries = list(entries)
    places: dict[str, int] = {}
    held_by = [
        0 if entry.place in {"", entry.sha256} else places.setdefault(entry.place, len(places) + 1) for entry in entries
    ]
    body = _Body(
        files=_FORM,
        paths=[entry.path for entry in entries],
        digests=bytes.fromhex("".join([entry.sha256 for entry in entries])),
        sizes=[entry.size for entry in entries],
        places=bytes.fromhex("".join(places)),
        held_by=held_by,
        offsets=[entry.offset for entry in entries],
        base=base,
        removed=removed or [],
    )
    return msgspec.msgpack.encode(body)


def load(objects: ObjectStore, listing: str) -> Listing:
    """A listing's files. Raises IntegrityError when it, or its base, is missing or can't be read."""
    raw = _get(objects, listing)
    if raw.startswith(b"{"):  # which MessagePack never begins a map with
        return Listing(_decode_json(listing, raw), None, {})
    body = _decode(listing, raw)
    entries = _entries(listing, body)
    if body.base is None:
        return Listing(entries, listing, entries)
    below = _decode(body.base, _get(objects, body.base))
    if below.base is not None:
        raise _unreadable(listing, f"its base {body.base} has a base itself")
    before = _entries(body.base, below)
    removed = set(body.removed)
    both = {path: entry for path, entry in before.items() if path not in removed} | entries
    return Listing(dict(sorted(both.items())), body.base, before)


def base_of(objects: ObjectStore, listing: str) -> str | None:
    """The listing that this one builds on, if it does. Raises IntegrityError."""
    raw = _get(objects, listing)
    return None if raw.startswith(b"{") else _decode(listing, raw).base


def _get(objects: ObjectStore, listing: str) -> bytes:
    try:
        return objects.get(listing)
    except NotFoundError as error:
        raise _unreadable(listing, error.message) from error
    except IntegrityError as error:
        raise _unreadable(listing, error.message) from error


def _decode(listing: str, raw: bytes) -> _Body:
    try:
        body = msgspec.msgpack.decode(raw, type=_Body)
    except msgspec.DecodeError as error:
        raise _unreadable(listing, str(error)) from error
    count = len(body.paths)
    if body.files != _FORM:
        raise _unreadable(listing, f"it has form {body.files}, and this clew knows form {_FORM}")
    lengths = {len(body.sizes), len(body.held_by), len(body.offsets), len(body.digests) // 32}
    if (lengths | {count}) != {count} or len(body.digests) % 32 or len(body.places) % 32:
        raise _unreadable(listing, "its columns differ in length")
    if max(body.held_by, default=0) > len(body.places) // 32:
        raise _unreadable(listing, "it names a place that it doesn't have")
    return body


def _entries(listing: str, body: _Body) -> dict[str, Entry]:
    digests, places = _split(body.digests), _split(body.places)
    entries = {
        path: Entry(path, digest, size, places[held - 1] if held else digest if size else "", offset)
        for path, digest, size, held, offset in zip(
            body.paths, digests, body.sizes, body.held_by, body.offsets, strict=True
        )
    }
    if len(entries) != len(body.paths):
        raise _unreadable(listing, "it has a path twice")
    return dict(sorted(entries.items()))


def _split(digests: bytes) -> list[str]:
    text = digests.hex()
    return [text[at : at + 64] for at in range(0, len(text), 64)]


def _decode_json(listing: str, raw: bytes) -> dict[str, Entry]:
    class _First(msgspec.Struct, forbid_unknown_fields=True):
        files: dict[str, _Digest]

    try:
        found = msgspec.json.decode(raw, type=_First).files
    except msgspec.DecodeError as error:
        raise _unreadable(listing, str(error)) from error
    return {path: Entry(path, digest, UNKNOWN_SIZE, digest, 0) for path, digest in sorted(found.items())}


def _unreadable(listing: str, why: str) -> ClewError:
    return IntegrityError(
        f"the listing {listing} can't be read: {why}",
        mend="clew data add the folder again with --repair, or restore the object from a backup",
    )
