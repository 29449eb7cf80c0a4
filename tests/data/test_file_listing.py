import hashlib
import json
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.data import _file_listing
from clew.data._file_listing import Entry
from clew.errors import IntegrityError
from clew.objects import open_store
from clew.objects.memory import MemoryStore

DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
# A few places, so that files share them.
PLACES = st.sampled_from([hashlib.sha256(bytes([number])).hexdigest() for number in range(4)])
PATHS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@st.composite
def entry_of(draw: st.DrawFn, path: str) -> Entry:
    digest, size = draw(DIGESTS), draw(st.integers(0, 2**50))
    if not size:
        return Entry(path, digest, 0, "", 0)
    if draw(st.booleans()):
        return Entry(path, digest, size, digest, 0)
    return Entry(path, digest, size, draw(PLACES), draw(st.integers(0, 2**40)))


@st.composite
def listings(draw: st.DrawFn) -> dict[str, Entry]:
    return {path: draw(entry_of(path)) for path in sorted(draw(st.sets(PATHS, max_size=8)))}


def filler(count: int) -> dict[str, Entry]:
    entries = {}
    for number in range(count):
        digest = hashlib.sha256(b"%d" % number).hexdigest()
        entries[f"filler/{number:04}"] = Entry(f"filler/{number:04}", digest, 10, digest, 0)
    return entries


def ordered(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    return dict(sorted(entries.items()))


@given(listings())
def test_a_listing_comes_back(entries: dict[str, Entry]) -> None:
    objects = MemoryStore()
    loaded = _file_listing.load(objects, digest := _file_listing.write(objects, entries, None).digest)
    assert list(loaded.entries.items()) == list(entries.items())
    assert (loaded.base, loaded.base_entries) == (digest, entries)


@given(listings(), listings(), listings())
def test_deltas_come_back_and_never_rest_on_deltas(
    one: dict[str, Entry], two: dict[str, Entry], three: dict[str, Entry]
) -> None:
    objects, many = MemoryStore(), filler(300)
    base = _file_listing.write(objects, ordered(many | one), None)
    loaded = _file_listing.load(objects, base.digest)
    for entries in (two, three, {}):
        wanted = ordered(many | entries)
        info = _file_listing.write(objects, wanted, loaded)
        loaded = _file_listing.load(objects, info.digest)
        assert list(loaded.entries.items()) == list(wanted.items())
        assert loaded.base == base.digest
        assert info.digest == base.digest or info.size < base.size / 3


def test_a_listing_of_which_half_changed_is_whole() -> None:
    objects, many = MemoryStore(), filler(300)
    first = _file_listing.load(objects, _file_listing.write(objects, many, None).digest)
    for kept, delta in ((200, True), (100, False)):
        some = dict(list(many.items())[:kept])
        changed = {path: Entry(path, "ab" * 32, 3, "cd" * 32, at) for at, path in enumerate(list(many)[kept:])}
        info = _file_listing.write(objects, ordered(some | changed), first)
        assert (_file_listing.load(objects, info.digest).base != info.digest) == delta


def test_the_content_id_is_that_of_the_plain_json() -> None:
    digests = {"b": "1" * 64, "ä": "2" * 64, "a/\U0001f9f6": "3" * 64}
    body = json.dumps({"files": digests}, sort_keys=True).encode()
    assert _file_listing.content_id(digests) == "f1:" + hashlib.sha256(body).hexdigest()


GOOD = {
    "files": 2,
    "paths": ["a", "b"],
    "digests": b"x" * 64,
    "sizes": [1, 2],
    "places": b"y" * 32,
    "held_by": [0, 1],
    "offsets": [0, 5],
}


@pytest.mark.parametrize(
    "change",
    [
        {"files": 3},
        {"paths": ["a", "a"]},
        {"paths": ["a"]},
        {"paths": ["a", 7]},
        {"digests": b"x" * 63},
        {"digests": b"x" * 65},
        {"sizes": [1, -2]},
        {"places": b""},
        {"places": b"y" * 33},
        {"held_by": [0, 2]},
        {"offsets": [0, -1]},
        {"offsets": [0]},
        {"more": 1},
    ],
)
def test_a_listing_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    objects = MemoryStore()
    assert list(_file_listing.load(objects, objects.put(msgspec.msgpack.encode(GOOD)).digest).entries) == ["a", "b"]
    listing = objects.put(msgspec.msgpack.encode(GOOD | change)).digest
    with pytest.raises(IntegrityError, match="can't be read"):
        _file_listing.load(objects, listing)


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b'{"files": {"a": "../x"}}', b'{"files": 3}', b"\xc1", b"PAR1"])
def test_what_is_no_listing_is_refused(body: bytes) -> None:
    objects = open_store("memory://")
    with pytest.raises(IntegrityError, match="can't be read"):
        _file_listing.load(objects, objects.put(body).digest)


def test_a_base_that_is_gone_or_no_base_is_refused() -> None:
    objects = MemoryStore()
    for base in ("ab" * 32, objects.put(b"no listing").digest, "../../etc/passwd"):
        listing = objects.put(msgspec.msgpack.encode(GOOD | {"base": base, "removed": []})).digest
        with pytest.raises(IntegrityError, match="can't be read"):
            _file_listing.load(objects, listing)
    below = objects.put(msgspec.msgpack.encode(GOOD | {"base": "ab" * 32, "removed": []})).digest
    above = objects.put(msgspec.msgpack.encode(GOOD | {"base": below, "removed": []})).digest
    with pytest.raises(IntegrityError, match="has a base itself"):
        _file_listing.load(objects, above)
