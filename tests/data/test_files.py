import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clew.data import _file_listing, _stat_cache, add, all_of, checkout, diff, find, verify
from clew.data import files as stored
from clew.data._folder import Found, read_file, walk
from clew.data._packs import PACKED
from clew.data.files import UNKNOWN_SIZE, Entry, safe_target
from clew.errors import DataError, IntegrityError, NotFoundError, UsageError
from clew.objects import open_store
from clew.workspace import Workspace, open_folder


def lay(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_comes_back_and_only_new_files_are_stored(workspace: Workspace, tmp_path: Path) -> None:
    source = lay(tmp_path / "in", a="a" * 5000, sub__b="b", sub__deep__ü="", **{"a[1]": "glob"})
    (source / "inside").symlink_to(source / "a")
    (source / "nothing here").mkdir()
    wanted = content(source)
    first = add(workspace, "files", source)
    assert (first.snapshot.kind, first.snapshot.rows, first.snapshot.content_id[:3]) == ("files", None, "f1:")
    again = add(workspace, "files", source)
    assert (again.changed, again.new_bytes, again.snapshot.version) == (False, 0, 1)
    (source / "sub" / "b").write_text("B")
    (source / "more").write_text("more")
    (source / "sub" / "deep" / "ü").unlink()
    second = add(workspace, "files", source)
    assert second.new_bytes < 1000
    for version, files in ((1, wanted), (2, content(source))):
        found = find(workspace, f"files@{version}")
        written = checkout(found, tmp_path / f"out{version}")
        assert content(tmp_path / f"out{version}") == files
        assert sorted(written) == sorted(tmp_path / f"out{version}" / name for name in files)
    assert [one.fault for one in verify(all_of(workspace))] == [None, None]
    changes = diff(find(workspace, "files@1"), find(workspace, "files@2"))
    assert changes["added"] == ["more"]
    assert changes["changed"] == ["sub/b"]
    assert changes["removed"] == ["sub/deep/ü"]


def test_an_empty_folder_comes_back_as_one(workspace: Workspace, tmp_path: Path) -> None:
    found = add(workspace, "none", lay(tmp_path / "in")).snapshot
    assert checkout(found, tmp_path / "out") == []
    assert (tmp_path / "out").is_dir()


def test_one_file_of_a_folder(workspace: Workspace, tmp_path: Path) -> None:
    found = add(workspace, "files", lay(tmp_path / "in", a="text")).snapshot
    assert found.open("a").read_text() == "text"
    with pytest.raises(NotFoundError, match="has no file 'b'; it has: a"):
        found.open("b")
    with pytest.raises(UsageError, match="not a table"):
        found.scan()


def refused(workspace: Workspace, folder: Path, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        add(workspace, "files", folder)
    assert caught.value.mend
    assert list(workspace.objects.list()) == []
    assert all_of(workspace) == []


def test_links_out_of_the_folder_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    secret = lay(tmp_path / "else", secret="s")
    source = lay(tmp_path / "in", a="a")
    link = source / "z-link"
    link.symlink_to(secret / "secret")
    refused(workspace, source, "link out of the folder")
    link.unlink()
    link.symlink_to(secret)
    refused(workspace, source, "link out of the folder")
    link.unlink()
    link.symlink_to("../else/secret")
    refused(workspace, source, "link out of the folder")


def test_links_that_would_lose_files_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    source = lay(tmp_path / "in", sub__a="a")
    (source / "same").symlink_to(source / "sub")
    refused(workspace, source, "link to a folder")
    (source / "same").unlink()
    (source / "dangling").symlink_to(source / "nothing")
    refused(workspace, source, "neither a file nor a folder")


@pytest.mark.parametrize("name", [b"new\nline", b"back\\slash", b"carriage\rreturn", b"not-utf8-\xff"])
def test_names_that_can_not_be_kept_everywhere_are_refused(workspace: Workspace, tmp_path: Path, name: bytes) -> None:
    source = lay(tmp_path / "in", a="a")
    Path(os.fsdecode(os.fsencode(source) + b"/" + name)).write_text("x")
    refused(workspace, source, "a name that can't be kept")


def test_what_is_no_file_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    source = lay(tmp_path / "in", a="a")
    os.mkfifo(source / "pipe")
    refused(workspace, source, "neither a file nor a folder")


def test_a_workspace_can_not_hold_itself(workspace: Workspace) -> None:
    lay(workspace.root, a="a")
    with pytest.raises(DataError, match="is a workspace"):
        add(workspace, "files", workspace.root)


def test_files_are_listed_in_order(tmp_path: Path) -> None:
    source = lay(tmp_path / "in", b="", a="", sub__c="", A="")
    names = [found.path for found in walk(source)]
    assert names == sorted(names) == ["A", "a", "b", "sub/c"]


@pytest.mark.parametrize("relative", ["../x", "/etc/passwd", "a/../../x"])
def test_a_listing_can_not_write_outside(tmp_path: Path, relative: str) -> None:
    with pytest.raises(DataError, match="leads out of"):
        safe_target(tmp_path / "dest", relative)
    assert safe_target(tmp_path / "dest", "a/b") == tmp_path / "dest" / "a" / "b"


def everything(workspace: Workspace, listing: str) -> dict[str, bytes]:
    return {
        path: stored.read_bytes(workspace.objects, entry)
        for path, entry in stored.read(workspace.objects, listing).items()
    }


def many(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:05}").write_bytes(b"%d" % number * 7)
    return folder


@pytest.mark.parametrize("count", [0, 1, 300, 5000])
def test_any_number_of_files_comes_back(workspace: Workspace, tmp_path: Path, count: int) -> None:
    source = many(tmp_path / "in", count)
    kept, wanted = stored.store(workspace, source, None), content(source)
    assert everything(workspace, kept.listing) == wanted
    assert (kept.files, kept.bytes) == (count, sum(map(len, wanted.values())))
    assert list(stored.read(workspace.objects, kept.listing)) == sorted(wanted)
    assert len(stored.objects_of(workspace.objects, kept.listing)) == (2 if count else 1)
    assert kept.source.bytes == kept.bytes
    digests = {path: hashlib.sha256(body).hexdigest() for path, body in wanted.items()}
    body = json.dumps({"files": digests}, sort_keys=True).encode()
    assert kept.content_id == f"f1:{hashlib.sha256(body).hexdigest()}"


def test_packs_are_bounded_and_large_files_stand_alone(workspace: Workspace, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number in range(35):
        (source / f"m{number:02}").write_bytes(os.urandom(PACKED))
    (source / "large").write_bytes(large := os.urandom(PACKED + 1))
    (source / "copy").write_bytes(large)
    (source / "empty").touch()
    kept = stored.store(workspace, source, None)
    assert everything(workspace, kept.listing) == content(source)
    entries = stored.read(workspace.objects, kept.listing)
    assert entries["large"].place == entries["copy"].place == entries["large"].sha256
    assert entries["empty"].place == ""
    assert len({entry.place for path, entry in entries.items() if path.startswith("m")}) == 2
    sizes = sorted(one.size for one in workspace.objects.list())
    assert sum(sizes) == kept.new_bytes == 36 * PACKED + 1 + workspace.objects.size(kept.listing)
    assert max(sizes) == 32 * PACKED
    assert stored.objects_of(workspace.objects, kept.listing) == {one.digest for one in workspace.objects.list()}


def test_only_the_listing_is_new_when_the_same_bytes_lie_elsewhere(workspace: Workspace, tmp_path: Path) -> None:
    source = many(tmp_path / "in", 600)
    (source / "large").write_bytes(os.urandom(PACKED + 1))
    first = stored.store(workspace, source, None)
    (source / "00003").rename(source / "renamed")
    (source / "copied").write_bytes((source / "00004").read_bytes())
    (source / "00005").write_bytes((source / "00005").read_bytes())
    (source / "large").rename(source / "moved")
    second = stored.store(workspace, source, first.listing)
    assert second.content_id != first.content_id
    assert second.new_bytes == workspace.objects.size(second.listing) < workspace.objects.size(first.listing) / 10
    assert everything(workspace, second.listing) == content(source)
    (source / "00005").write_bytes((source / "00005").read_bytes())
    third = stored.store(workspace, source, second.listing)
    assert (third.new_bytes, third.listing, third.content_id) == (0, second.listing, second.content_id)


def test_a_delta_rests_on_a_whole_listing_however_often_it_changes(workspace: Workspace, tmp_path: Path) -> None:
    source = many(tmp_path / "in", 400)
    base = previous = stored.store(workspace, source, None)
    for turn in range(3):
        (source / f"0000{turn}").write_text(f"turn {turn}")
        (source / f"001{turn}0").unlink()
        previous = stored.store(workspace, source, previous.listing)
        needed = stored.objects_of(workspace.objects, previous.listing)
        assert base.listing in needed
        assert len(needed) == 4 + turn  # itself, its base, the first pack and one for each turn
        assert everything(workspace, previous.listing) == content(source)
    for path in source.iterdir():
        path.write_text(path.name)
    last = stored.store(workspace, source, previous.listing)
    assert base.listing not in stored.objects_of(workspace.objects, last.listing)
    assert everything(workspace, last.listing) == content(source)


def test_what_the_store_has_lost_is_stored_again(workspace: Workspace, tmp_path: Path) -> None:
    source = many(tmp_path / "in", 20)
    first = stored.store(workspace, source, None)
    [pack] = stored.objects_of(workspace.objects, first.listing) - {first.listing}
    workspace.objects.delete(pack)
    (source / "more").write_text("more")
    second = stored.store(workspace, source, first.listing)
    assert everything(workspace, second.listing) == content(source)
    workspace.objects.delete(second.listing)
    third = stored.store(workspace, source, second.listing)
    assert everything(workspace, third.listing) == content(source)


def test_listings_of_the_first_form_are_read_and_built_upon(workspace: Workspace, tmp_path: Path) -> None:
    source = many(tmp_path / "in", 20)
    digests = {path: workspace.objects.put(body).digest for path, body in content(source).items()}
    old = workspace.objects.put(json.dumps({"files": digests}, sort_keys=True).encode()).digest
    entries = stored.read(workspace.objects, old)
    assert entries["00007"] == Entry("00007", digests["00007"], UNKNOWN_SIZE, digests["00007"], 0)
    assert everything(workspace, old) == content(source)
    assert stored.objects_of(workspace.objects, old) == {old, *digests.values()}
    assert stored.verify(workspace.objects, old, {}) == []
    (source / "more").write_text("more")
    new = stored.store(workspace, source, old)
    assert everything(workspace, new.listing) == content(source)
    assert {entry.place for entry in stored.read(workspace.objects, new.listing).values()} > set(digests.values())
    (source / "more").unlink()
    assert stored.store(workspace, source, old).content_id == f"f1:{old}"


def test_a_file_that_changes_or_goes_is_never_kept_under_a_wrong_hash(workspace: Workspace, tmp_path: Path) -> None:
    source = lay(tmp_path / "in", a="text")
    [found] = walk(source)
    assert read_file(str(source), found) == b"text"
    for size, wrong in ((3, "changed"), (5, "changed"), (4, "changed")):
        other = Found("a", size, found.modified_ns - (size == 4), found.changed_ns, found.inode)
        with pytest.raises(DataError, match=wrong):
            read_file(str(source), other)
    (source / "a").unlink()
    with pytest.raises(DataError, match="vanished"):
        read_file(str(source), found)
    os.mkfifo(source / "a")
    with pytest.raises(DataError, match="changed"):
        read_file(str(source), found)


def rewrite(path: str, until: str) -> None:
    end = time.monotonic() + 60
    turn = 0
    while time.monotonic() < end and not Path(until).exists():
        turn += 1
        Path(path).write_bytes(b"%d" % turn * (PACKED // 8))


def test_a_file_that_is_written_all_the_while(workspace: Workspace, tmp_path: Path) -> None:
    """Whatever is kept has the hash of its bytes; else it is refused, and says so."""
    source = many(tmp_path / "in", 3)
    refused_often = tmp_path / "refused-often"
    arguments = (str(source / "00001"), str(refused_often))
    writer = multiprocessing.get_context("spawn").Process(target=rewrite, args=arguments)
    writer.start()
    kept: list[str] = []
    refusals: list[str] = []
    while writer.is_alive():
        try:
            kept.append(stored.store(workspace, source, None).listing)
        except DataError as error:
            refusals.append(error.message)
            if len(refusals) == 5:
                refused_often.touch()
    writer.join()
    assert refusals
    assert all("while it was being stored" in message for message in refusals)
    kept.append(stored.store(workspace, source, None).listing)
    checked: dict[str, str | None] = {}
    assert [stored.verify(workspace.objects, listing, checked) for listing in set(kept)] == [[]] * len(set(kept))
    assert everything(workspace, kept[-1]) == content(source)


def store_in(root: str, source: str) -> tuple[str, str]:
    with open_folder(root) as workspace:
        kept = stored.store(workspace, Path(source), None)
        return kept.content_id, kept.listing


def test_four_processes_add_one_folder(workspace: Workspace, tmp_path: Path) -> None:
    source = many(tmp_path / "in", 500)
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        kept = set(pool.starmap(store_in, [(str(workspace.root), str(source))] * 4))
    assert len(kept) == 1
    [(identity, listing)] = kept
    assert everything(workspace, listing) == content(source)
    assert len(list(workspace.objects.list())) == 2
    time.sleep(0.15)
    assert stored.store(workspace, source, listing).listing == listing
    assert _stat_cache.unchanged(workspace.folder / "cache", source) == identity
    assert list(workspace.temporary().iterdir()) == []


def spoil(workspace: Workspace, digest: str, at: int) -> None:
    path = workspace.objects.open_path(digest)
    body = bytearray(path.read_bytes())
    body[at] ^= 1
    path.chmod(0o600)
    path.write_bytes(body)


def test_a_damaged_pack_names_the_files_whose_bytes_are_wrong(workspace: Workspace, tmp_path: Path) -> None:
    source = many(tmp_path / "in", 50)
    (source / "large").write_bytes(os.urandom(PACKED + 1))
    first = stored.store(workspace, source, None)
    (source / "more").write_text("more")
    second = stored.store(workspace, source, first.listing)
    checked: dict[str, str | None] = {}
    assert stored.verify(workspace.objects, first.listing, checked) == []
    assert stored.verify(workspace.objects, second.listing, checked) == []
    entry = stored.read(workspace.objects, first.listing)["00017"]
    spoil(workspace, entry.place, entry.offset + 1)
    assert stored.verify(workspace.objects, first.listing, checked) == []  # remembered: nothing is hashed twice
    for listing in (first.listing, second.listing):
        [fault] = stored.verify(workspace.objects, listing, {})
        assert fault.startswith("'00017'")
        assert entry.place in fault
    with pytest.raises(IntegrityError, match="'00017'"):
        stored.read_bytes(workspace.objects, entry)
    with pytest.raises(IntegrityError, match="'00017'"):
        stored.local_path(workspace, entry)
    large = stored.read(workspace.objects, first.listing)["large"]
    spoil(workspace, large.place, 5)
    assert [fault[:7] for fault in stored.verify(workspace.objects, first.listing, {})] == ["'00017'", "'large'"]
    path = workspace.objects.open_path(entry.place)
    os.truncate(path, stored.read(workspace.objects, first.listing)["00048"].offset)
    faults = stored.verify(workspace.objects, first.listing, {})
    assert [fault.split("'")[1] for fault in faults] == ["00017", "00048", "00049", "large"]


def test_what_is_gone_names_its_files(workspace: Workspace, tmp_path: Path) -> None:
    source = many(tmp_path / "in", 3)
    (source / "large").write_bytes(os.urandom(PACKED + 1))
    (source / "empty").touch()
    kept = stored.store(workspace, source, None)
    entries = stored.read(workspace.objects, kept.listing)
    workspace.objects.delete(entries["00000"].place)
    faults = stored.verify(workspace.objects, kept.listing, {})
    assert [fault.split("'")[1] for fault in faults] == ["00000", "00001", "00002"]
    with pytest.raises(NotFoundError):
        stored.read_bytes(workspace.objects, entries["00000"])
    workspace.objects.delete(kept.listing)
    [fault] = stored.verify(workspace.objects, kept.listing, {})
    assert kept.listing in fault


def test_a_listing_that_says_what_its_pack_does_not_hold(workspace: Workspace) -> None:
    """The pack is whole, the listing too: only the files' own digests tell."""
    pack = workspace.objects.put(b"onetwo").digest
    entries = {
        "right": Entry("right", hashlib.sha256(b"one").hexdigest(), 3, pack, 0),
        "wrong": Entry("wrong", hashlib.sha256(b"one").hexdigest(), 3, pack, 3),
        "beyond": Entry("beyond", hashlib.sha256(b"two").hexdigest(), 3, pack, 4),
    }
    listing = _file_listing.write(workspace.objects, entries, None).digest
    faults = stored.verify(workspace.objects, listing, {})
    assert [fault.split("'")[1] for fault in faults] == ["beyond", "wrong"]


def test_a_local_file_holds_just_these_bytes(workspace: Workspace, tmp_path: Path) -> None:
    source = lay(tmp_path / "in", a="one", b="two", c="")
    (source / "large").write_bytes(os.urandom(PACKED + 1))
    entries = stored.read(workspace.objects, stored.store(workspace, source, None).listing)
    for name, entry in entries.items():
        path = stored.local_path(workspace, entry)
        assert path.read_bytes() == (source / name).read_bytes()
        assert path.stat().st_mode & 0o777 == 0o444
        assert stored.local_path(workspace, entry) == path
    path = stored.local_path(workspace, entries["b"])
    path.chmod(0o600)
    path.write_bytes(b"twe")
    assert stored.local_path(workspace, entries["b"]).read_bytes() == b"two"
    assert list(workspace.temporary().iterdir()) == []


def test_a_store_that_is_no_folder(workspace: Workspace, tmp_path: Path) -> None:
    source = many(tmp_path / "in", 20)
    workspace.objects = open_store("memory://")
    kept = stored.store(workspace, source, None)
    assert everything(workspace, kept.listing) == content(source)
    assert stored.verify(workspace.objects, kept.listing, {}) == []
    entry = stored.read(workspace.objects, kept.listing)["00004"]
    assert stored.local_path(workspace, entry).read_bytes() == (source / "00004").read_bytes()


def test_no_table_library_is_loaded(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 3)
    code = f"""
import sys
from pathlib import Path
from clew.workspace import init, open_folder
from clew.data import _stat_cache, files
from clew.data._lay import lay
init(Path({str(tmp_path)!r}))
with open_folder({str(tmp_path)!r}) as workspace:
    kept = files.store(workspace, Path({str(source)!r}), None)
    _stat_cache.unchanged(workspace.folder / "cache", Path({str(source)!r}))
    Path({str(tmp_path / "out")!r}).mkdir()
    lay(workspace.objects, files.read(workspace.objects, kept.listing), Path({str(tmp_path / "out")!r}))
print([name for name in ("polars", "pyarrow", "pandas", "numpy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert content(tmp_path / "out") == content(source)
