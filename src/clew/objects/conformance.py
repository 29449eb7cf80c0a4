"""What every store of objects has to pass: a class of tests for pytest, for stores of your own too.

    class TestMine(ObjectStoreConformance):
        @pytest.fixture
        def store(self, tmp_path): return MyStore(tmp_path)

Needs a fixture `store` that gives an empty store, and pytest's own `tmp_path`.
"""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from clew.errors import ClewError, NotFoundError, UsageError
from clew.objects.base import ObjectStore
from clew.objects.conditional import check_conditional_put

ABSENT = "0" * 64
BLOCK = bytes(range(256)) * 4096  # 1 MiB
BAD_DIGESTS = ("", "ab", "A" * 64, "g" * 64, "../" + "a" * 61, "a" * 63 + "/", "a" * 64 + "\n", "a" * 65)
BAD_MARKERS = ("", ".", "..", "a/../b", "/a", "a/", "a//b", ".hidden", "a b", "a!b", "a\n", "ä", "x" * 201)


class _Caught(Protocol):
    error: ClewError


@contextlib.contextmanager
def _raises(kind: type[ClewError]) -> Iterator[_Caught]:
    class Caught:
        error: ClewError

    caught = Caught()
    try:
        yield caught
    except kind as error:
        caught.error = error
    else:
        raise AssertionError(f"{kind.__name__} was not raised")
    assert caught.error.mend, f"{caught.error!r} names no mend"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class ObjectStoreConformance:
    """The tests; each takes an empty `store`."""

    def test_what_was_put_comes_back(self, store: ObjectStore) -> None:
        """Empty, small and large content, from bytes."""
        for data in (b"", b"x", b"thread" * 1000, BLOCK * 20):
            info = store.put(data)
            assert (info.digest, info.size, info.created) == (_sha256(data), len(data), True)
            assert store.get(info.digest) == data
            assert type(store.get(info.digest)) is bytes
            assert store.size(info.digest) == len(data)
            assert store.exists(info.digest)
            store.verify(info.digest)

    def test_file_is_stored_and_left_alone(self, store: ObjectStore, tmp_path: Path) -> None:
        """Of a size that goes up in several parts."""
        path = tmp_path / "source"
        path.write_bytes(BLOCK * 18 + b"tail")
        info = store.put(path)
        assert (info.digest, info.size, info.created) == (_sha256(path.read_bytes()), 18 * len(BLOCK) + 4, True)
        assert store.get(info.digest) == path.read_bytes()
        assert store.put_file(path).created is False

    def test_moved_file_is_gone(self, store: ObjectStore, tmp_path: Path) -> None:
        """Whether its content was new or not."""
        for created in (True, False):
            path = tmp_path / "source"
            path.write_bytes(BLOCK)
            info = store.put_file(path, move=True)
            assert info.created is created
            assert not path.exists()
            assert store.get(info.digest) == BLOCK

    def test_moved_file_with_another_name_stays_untouched_there(self, store: ObjectStore, tmp_path: Path) -> None:
        """Who holds the other name may write to it; the object mustn't change with it."""
        path, other = tmp_path / "source", tmp_path / "other"
        path.write_bytes(b"before")
        other.hardlink_to(path)
        info = store.put_file(path, move=True)
        other.write_bytes(b"after!")
        assert store.get(info.digest) == b"before"

    def test_moved_link_leaves_its_target(self, store: ObjectStore, tmp_path: Path) -> None:
        """What is given up is the link."""
        path, target = tmp_path / "link", tmp_path / "target"
        target.write_bytes(b"kept")
        path.symlink_to(target)
        info = store.put_file(path, move=True)
        assert store.get(info.digest) == target.read_bytes() == b"kept"
        assert not path.is_symlink()

    def test_stream_is_stored(self, store: ObjectStore) -> None:
        """Of chunks of any size, empty ones too."""
        data = BLOCK * 10
        info = store.put(part for part in (b"", data[:1], data[1 : 3 << 20], data[3 << 20 :], b""))
        assert (info.digest, info.size, info.created) == (_sha256(data), len(data), True)
        assert store.get(info.digest) == data
        assert store.put(iter([data])).created is False
        assert store.put(iter(())).digest == _sha256(b"")

    def test_broken_stream_stores_nothing(self, store: ObjectStore) -> None:
        """The error of the stream is the caller's own."""

        def broken() -> Iterator[bytes]:
            yield BLOCK * 9
            raise ZeroDivisionError

        with contextlib.suppress(ZeroDivisionError):
            store.put(broken())
            raise AssertionError("the stream's error was swallowed")
        assert list(store.list()) == []

    def test_equal_content_is_stored_once(self, store: ObjectStore, tmp_path: Path) -> None:
        """Whatever way it comes."""
        path = tmp_path / "source"
        path.write_bytes(b"same")
        assert [store.put(data).created for data in (b"same", path, iter([b"sa", b"me"]))] == [True, False, False]
        assert [found.digest for found in store.list()] == [_sha256(b"same")]

    def test_source_that_is_no_file_is_refused(self, store: ObjectStore, tmp_path: Path) -> None:
        """Missing, or a folder; nothing is stored or removed."""
        for move in (False, True):
            with _raises(NotFoundError):
                store.put_file(tmp_path / "missing", move=move)
            with _raises(UsageError):
                store.put_file(tmp_path, move=move)
        assert tmp_path.is_dir()
        assert list(store.list()) == []

    def test_ranges(self, store: ObjectStore) -> None:
        """Inside they come whole; not wholly inside is an error."""
        digest = store.put(BLOCK).digest
        size = len(BLOCK)
        for start, length in ((0, 10), (1000, 1), (size - 3, 3), (0, size), (5, 0), (size, 0)):
            assert store.read_range(digest, start, length) == BLOCK[start : start + length]
        for start, length in ((-1, 2), (0, -1), (0, size + 1), (size - 1, 2), (size + 1, 0), (size + 5, 5)):
            with _raises(UsageError):
                store.read_range(digest, start, length)

    def test_local_file_holds_the_bytes(self, store: ObjectStore) -> None:
        """Read-only, and the same file each time."""
        digest = store.put(BLOCK).digest
        path = store.open_path(digest)
        assert path.read_bytes() == BLOCK
        assert path.stat().st_mode & 0o777 == 0o444
        assert store.open_path(digest) == path

    def test_missing_object(self, store: ObjectStore) -> None:
        """Each reader says which object is missing."""
        store.put(b"another")
        readers: list[Callable[[], object]] = [
            lambda: store.get(ABSENT),
            lambda: store.size(ABSENT),
            lambda: store.read_range(ABSENT, 0, 1),
            lambda: store.read_range(ABSENT, 0, 0),
            lambda: store.open_path(ABSENT),
            lambda: store.verify(ABSENT),
        ]
        for read in readers:
            with _raises(NotFoundError) as caught:
                read()
            assert ABSENT in caught.error.message
        assert not store.exists(ABSENT)
        assert store.delete(ABSENT) is False

    def test_what_is_no_digest_is_refused(self, store: ObjectStore) -> None:
        """By every method, so that no name leads out of the store."""
        methods: list[Callable[[str], object]] = [
            store.get,
            store.size,
            store.open_path,
            store.verify,
            store.exists,
            store.delete,
            lambda name: store.exists_many([name]),
            lambda name: store.read_range(name, 0, 1),
        ]
        for name in BAD_DIGESTS:
            for method in methods:
                with _raises(UsageError):
                    method(name)

    def test_those_that_exist(self, store: ObjectStore) -> None:
        """Of many digests."""
        digests = {store.put(f"object {number}".encode()).digest for number in range(40)}
        absent = {_sha256(f"absent {number}".encode()) for number in range(40)}
        assert store.exists_many(digests | absent) == digests
        assert store.exists_many([]) == set()

    def test_list(self, store: ObjectStore) -> None:
        """Digests, sizes, and times that have a zone; no markers."""
        assert list(store.list()) == []
        before = datetime.now(UTC) - timedelta(seconds=2)  # services keep whole seconds
        sizes = {store.put(bytes(number)).digest: number for number in range(30)}
        store.create("marker", b"not an object")
        listed = list(store.list())
        assert {found.digest: found.size for found in listed} == sizes
        assert len(listed) == 30
        assert all(before <= found.modified <= datetime.now(UTC) + timedelta(seconds=2) for found in listed)

    def test_deleted_object_is_gone(self, store: ObjectStore) -> None:
        """The local copy too; and it can be put again."""
        digest = store.put(BLOCK).digest
        path = store.open_path(digest)
        assert store.delete(digest) is True
        assert not path.exists()
        assert not store.exists(digest)
        assert list(store.list()) == []
        assert store.delete(digest) is False
        assert store.put(BLOCK).created is True
        assert store.get(digest) == BLOCK

    def test_deletion_spares_what_was_put_since(self, store: ObjectStore) -> None:
        """`older_than` is a bound on when it was last put."""
        digest = store.put(b"put lately").digest
        now = datetime.now(UTC)
        assert store.delete(digest, older_than=now - timedelta(minutes=1)) is False
        assert store.exists(digest)
        assert store.delete(digest, older_than=now + timedelta(minutes=1)) is True
        assert not store.exists(digest)

    def test_many_put_the_same_at_once(self, store: ObjectStore) -> None:
        """All are told the same, and one object is there."""
        start = threading.Barrier(8)

        def put(_: int) -> str:
            start.wait(30)
            return store.put(BLOCK).digest

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(put, range(8))) == {_sha256(BLOCK)}
        assert [(found.digest, found.size) for found in store.list()] == [(_sha256(BLOCK), len(BLOCK))]
        store.verify(_sha256(BLOCK))

    def test_many_put_different_things_at_once(self, store: ObjectStore) -> None:
        """Nothing gets mixed up."""
        contents = [bytes([number]) * (1 + number * 997) for number in range(64)]
        with ThreadPoolExecutor(8) as pool:
            infos = list(pool.map(store.put, contents))
        assert [store.get(info.digest) for info in infos] == contents

    def test_marker_is_created_once(self, store: ObjectStore) -> None:
        """The first data stay; deleted, it can be created again."""
        for name in ("plain", "deep/er/name-1_2.x", "deep", "x" * 200):
            assert store.create(name, b"first") is True
            assert store.create(name, b"second") is False
            assert store.read_marker(name) == b"first"
            assert store.delete_marker(name) is True
            assert store.delete_marker(name) is False
            with _raises(NotFoundError) as caught:
                store.read_marker(name)
            assert name in caught.error.message
            assert store.create(name, b"") is True
            assert store.read_marker(name) == b""

    def test_bad_names_of_markers_are_refused(self, store: ObjectStore) -> None:
        """By every method."""
        for name in BAD_MARKERS:
            for method in (store.read_marker, store.delete_marker):
                with _raises(UsageError):
                    method(name)
            with _raises(UsageError):
                store.create(name, b"")

    def test_one_creator_wins(self, store: ObjectStore) -> None:
        """Of sixteen at once."""
        check_conditional_put(store)
        assert list(store.list()) == []
