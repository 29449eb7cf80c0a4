import hashlib
import os
import time
from pathlib import Path

import msgspec
import pytest

from clew.data import _stat_cache, files
from clew.data._folder import Found, read_file, walk
from clew.workspace import Workspace


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c"):
        (folder / name).write_text(f"text {name}")
    return folder


def settle(folder: Path) -> None:
    """Wait until the files are older than the granularity of their timestamps."""
    while any(_stat_cache.is_racy(found, time.time_ns()) for found in walk(folder)):
        time.sleep(0.02)


def cache_file(workspace: Workspace) -> Path:
    [path] = (workspace.folder / "cache" / "folders").iterdir()
    return path


def test_an_unchanged_folder_is_recognised_by_its_stats(
    workspace: Workspace, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _stat_cache.unchanged(workspace.folder / "cache", source) is None
    settle(source)
    kept = files.store(workspace, source, None)
    assert _stat_cache.unchanged(workspace.folder / "cache", source) == kept.content_id
    monkeypatch.chdir(source.parent)
    assert _stat_cache.unchanged(workspace.folder / "cache", Path("in")) == kept.content_id  # however it is named
    (source / "a").touch()
    assert _stat_cache.unchanged(workspace.folder / "cache", source) is None


def test_unchanged_files_are_not_read(workspace: Workspace, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(source)
    kept = files.store(workspace, source, None)
    (source / "b").write_text("new")
    read = []

    def noted(folder: str, found: Found) -> bytes:
        read.append(found.path)
        return read_file(folder, found)

    monkeypatch.setattr("clew.data.files.read_file", noted)
    files.store(workspace, source, kept.listing)
    assert read == ["b"]


@pytest.mark.parametrize("change", ["edit", "add", "remove", "rename", "replace", "swap", "mode"])
def test_any_change_is_seen(workspace: Workspace, source: Path, change: str) -> None:
    settle(source)
    kept = files.store(workspace, source, None)
    before = (source / "a").stat()
    if change == "edit":
        (source / "a").write_text("texT a")
        os.utime(source / "a", ns=(before.st_atime_ns, before.st_mtime_ns))  # the time of change still tells
    elif change == "add":
        (source / "d").touch()
    elif change == "remove":
        (source / "a").unlink()
    elif change == "rename":
        (source / "a").rename(source / "z")
    elif change == "replace":
        (source / "new").write_text("other!")
        os.utime(source / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
        (source / "new").replace(source / "a")
    elif change == "swap":
        (source / "a").rename(source / "x")
        (source / "b").rename(source / "a")
        (source / "x").rename(source / "b")
    else:
        (source / "a").chmod(0o600)
    assert _stat_cache.unchanged(workspace.folder / "cache", source) is None
    now = files.store(workspace, source, kept.listing)
    assert (now.content_id == kept.content_id) == (change == "mode")


def test_an_edit_within_the_granularity_is_seen(workspace: Workspace, source: Path) -> None:
    """Written, stored, and written again at once: often all of it happens in one tick of the file system's clock."""
    listing = None
    unseen = 0
    for turn in range(40):
        (source / "a").write_text(f"{turn:06}")
        kept = files.store(workspace, source, listing)
        listing = kept.listing
        before = (source / "a").stat()
        (source / "a").write_text(f"{turn:05}!")
        after = (source / "a").stat()
        unseen += (before.st_mtime_ns, before.st_ctime_ns) == (after.st_mtime_ns, after.st_ctime_ns)
        assert _stat_cache.unchanged(workspace.folder / "cache", source) is None
        now = files.store(workspace, source, listing)
        assert files.read_bytes(workspace.objects, files.read(workspace.objects, now.listing)["a"]) == b"%05d!" % turn
        if unseen > 3:
            break
    # Where the kernel gives each change a time of its own (Linux 6.13), this shows only that all is seen.


def test_what_is_racy() -> None:
    second, now = 10**9, 1_700_000_000 * 10**9

    def racy(modified: int, changed: int) -> bool:
        return _stat_cache.is_racy(Found("a", 1, modified, changed, 7), now)

    assert racy(now - 3 * second, now - 1)
    assert racy(now - 1, now - 3 * second)
    assert racy(now + 9 * second, now - 9 * second)  # from the future
    assert racy(now - 2 * second + 1, now - 1 * second)  # a clock of whole seconds
    assert not racy(now - 3 * second, now - 3 * second)
    assert racy(now - second // 20, now - second // 20 - 1)
    assert not racy(now - second // 5, now - second // 5 - 1)  # digits below a tick


def test_a_file_that_was_racy_is_trusted_once_it_was_read_later(workspace: Workspace, source: Path) -> None:
    (source / "a").write_text("now")
    first = files.store(workspace, source, None)
    assert _stat_cache.unchanged(workspace.folder / "cache", source) is None
    settle(source)
    assert _stat_cache.unchanged(workspace.folder / "cache", source) is None
    assert files.store(workspace, source, first.listing).new_bytes == 0
    assert _stat_cache.unchanged(workspace.folder / "cache", source) == first.content_id


def test_a_damaged_cache_is_not_believed(workspace: Workspace, source: Path) -> None:
    settle(source)
    kept = files.store(workspace, source, None)
    path = cache_file(workspace)
    body = path.read_bytes()
    flipped = body[:-9] + bytes([body[-9] ^ 1]) + body[-8:]
    other_form = hashlib.sha256(b"\x90").digest() + b"\x90"
    for spoiled in (None, b"", body[:-7], flipped, os.urandom(100), other_form):
        path.unlink()
        if spoiled is not None:
            path.write_bytes(spoiled)
        assert _stat_cache.unchanged(workspace.folder / "cache", source) is None
        again = files.store(workspace, source, kept.listing)
        assert (again.content_id, again.listing, again.new_bytes) == (kept.content_id, kept.listing, 0)
        assert _stat_cache.unchanged(workspace.folder / "cache", source) == kept.content_id
    path.unlink()
    path.mkdir()  # where nothing can be remembered, all still works
    assert files.store(workspace, source, kept.listing).listing == kept.listing
    assert _stat_cache.unchanged(workspace.folder / "cache", source) is None
    assert list(workspace.temporary().iterdir()) == []


def test_a_cache_of_another_folder_is_not_believed(workspace: Workspace, source: Path, tmp_path: Path) -> None:
    settle(source)
    files.store(workspace, source, None)
    mine = cache_file(workspace)
    other = tmp_path / "other"
    other.mkdir()
    files.store(workspace, other, None)
    [others] = set((workspace.folder / "cache" / "folders").iterdir()) - {mine}
    mine.rename(others)
    assert _stat_cache.unchanged(workspace.folder / "cache", other) is None


def test_stats_encode_alike() -> None:
    """The comparison of a whole folder rests on it."""
    found = [Found("ü/a", 1, 2, 3, 4), Found("b", 2**40, 2**62, 2**61, 2**63)]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=list[Found]) == found
