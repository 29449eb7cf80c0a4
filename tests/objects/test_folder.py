"""The folder store: crashes, full disks, damage."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clew.errors import IntegrityError, OutsideError, StoreError
from clew.objects.base import digest_of
from clew.objects.folder import FolderStore

# Puts content of all kinds and sizes for ever, and names each digest once `put` has returned.
WRITER = """
    import os, random, sys
    from pathlib import Path
    from clew.objects.folder import FolderStore

    store, scratch = FolderStore(Path(sys.argv[1])), Path(sys.argv[2])
    random.seed(int(sys.argv[3]))
    while True:
        data = random.randbytes(random.choice([0, 10, 5_000, 300_000, 2_000_000]))
        kind = random.randrange(4)
        if kind == 0:
            info = store.put(data)
        elif kind == 1:
            info = store.put(data[start : start + 100_000] for start in range(0, len(data), 100_000))
        else:
            scratch.write_bytes(data)
            info = store.put_file(scratch, move=kind == 3)
        os.write(1, f"{info.digest}\\n".encode())
"""


def run_python(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_killed_writers_lose_nothing_they_acknowledged(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    acknowledged: set[str] = set()
    for seed in range(5):
        with run_python(WRITER, str(store.folder), str(tmp_path / f"scratch{seed}"), str(seed)) as writer:
            assert writer.stdout is not None
            first = writer.stdout.readline()
            assert first, writer.communicate()
            time.sleep(0.05 + 0.037 * seed)
            writer.send_signal(signal.SIGKILL)
            lines = (first + writer.stdout.read()).decode().splitlines()
        acknowledged.update(line for line in lines if len(line) == 64)
    assert len(acknowledged) > 20
    for digest in acknowledged:
        store.verify(digest)
    for found in store.list():
        store.verify(found.digest)
        assert store.size(found.digest) == found.size
    store.sweep_temporary(timedelta(0))
    assert list((store.folder / "temporary").iterdir()) == []
    assert store.exists_many(acknowledged) == acknowledged


def test_sweeping_removes_what_is_old_alone(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    old, young = tmp_path / "temporary" / "old", tmp_path / "temporary" / "young"
    for path in (old, young):
        path.write_bytes(b"half of")
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    assert store.sweep_temporary(timedelta(hours=1)) == 1
    assert young.exists()
    assert not old.exists()


def test_full_disk_leaves_nothing_partial(tmp_path: Path) -> None:
    # A limit on the size of files meets the same code as a full disk, and needs no rights to set up.
    code = """
        import json, resource, sys
        from pathlib import Path
        from clew.errors import OutsideError
        from clew.objects.folder import FolderStore

        store = FolderStore(Path(sys.argv[1]))
        big = Path(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        said = []
        for data in (b"x" * 1_000_000, big, iter([b"x" * 60_000] * 5)):
            try:
                store.put(data)
            except OutsideError as error:
                said.append([type(error).__name__, error.message, error.mend])
        left = [len(list(store.list())), len(list((store.folder / "temporary").iterdir()))]
        print(json.dumps([said, left, store.put(b"small").created]))
    """
    big = tmp_path / "big"
    big.write_bytes(b"y" * 1_000_000)
    with run_python(code, str(tmp_path / "store"), str(big)) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err.decode()
    said, left, created = json.loads(out)
    assert [kind for kind, _, _ in said] == ["StoreError"] * 3
    assert all("no room" in message and "df -h" in mend for _, message, mend in said)
    assert left == [0, 0]
    assert created is True


def test_flipped_byte_is_found(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    digest = store.put(b"a" * 5000).digest
    path = store.open_path(digest)
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(1234)
        file.write(b"b")
    for check in (store.verify, store.get):
        with pytest.raises(IntegrityError, match=digest):
            check(digest)


def test_put_replaces_a_truncated_object(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    source = tmp_path / "source"
    source.write_bytes(b"whole content")
    for put in (store.put, lambda _: store.put(source), lambda data: store.put(iter([data]))):
        digest = store.put(b"whole content").digest
        path = store.open_path(digest)
        path.chmod(0o644)
        path.write_bytes(b"whole")
        assert put(b"whole content").created is True
        assert store.get(digest) == b"whole content"
    assert list((store.folder / "temporary").iterdir()) == []


def test_put_again_makes_fresh_without_writing(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    digest = store.put(b"again").digest
    path = store.open_path(digest)
    long_ago = time.time() - 1e6
    for data in (b"again", iter([b"again"])):
        os.utime(path, (long_ago, long_ago))
        inode = path.stat().st_ino
        assert store.put(data).created is False
        assert path.stat().st_ino == inode
        assert path.stat().st_mtime > time.time() - 60


def test_deleting_as_old_waits_for_a_put_of_the_same(tmp_path: Path) -> None:
    """A put has found the object; until it has marked it as fresh, it mustn't be judged by its old age."""
    store = FolderStore(tmp_path)
    digest = store.put(b"contested").digest
    path = store.open_path(digest)
    long_ago = time.time() - 1e6
    os.utime(path, (long_ago, long_ago))
    deleted: list[bool] = []
    collector = threading.Thread(
        target=lambda: deleted.append(store.delete(digest, older_than=datetime.now(UTC) - timedelta(days=1)))
    )
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # as put holds it
        collector.start()
        collector.join(0.1)
        assert collector.is_alive()
        os.utime(path)
    finally:
        os.close(descriptor)
    collector.join(10)
    assert deleted == [False]
    assert store.exists(digest)


def test_layout_is_readable_by_other_tools(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    digest = digest_of(b"plain")
    store.put(b"plain")
    store.create("a/b", b"marked")
    assert (tmp_path / "objects" / digest[:2] / digest[2:]).read_bytes() == b"plain"
    assert (tmp_path / "refs" / "a!b").read_bytes() == b"marked"


def test_moving_renames(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    source = tmp_path / "source"
    source.write_bytes(b"moved")
    inode = source.stat().st_ino
    info = store.put_file(source, move=True)
    path = store.open_path(info.digest)
    assert path.stat().st_ino == inode
    assert path.stat().st_nlink == 1
    assert path.stat().st_mode & 0o777 == 0o444


def test_foreign_files_are_not_listed(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put(b"mine")
    (tmp_path / "objects" / ".DS_Store").touch()
    (tmp_path / "objects" / "ab").mkdir(exist_ok=True)
    (tmp_path / "objects" / "ab" / "note.txt").touch()
    assert [found.digest for found in store.list()] == [digest_of(b"mine")]


def test_folder_that_is_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as caught:
        FolderStore(tmp_path / "file")
    assert isinstance(caught.value, OutsideError)
    assert caught.value.mend is not None
