import os
from pathlib import Path

import pytest

from clew.data import add, all_of, checkout, diff, find, verify
from clew.data.files import list_folder, safe_target
from clew.errors import DataError, NotFoundError, UsageError
from clew.workspace import Workspace


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
    names = [path.relative_to(source).as_posix() for path in list_folder(source)]
    assert names == sorted(names) == ["A", "a", "b", "sub/c"]


@pytest.mark.parametrize("relative", ["../x", "/etc/passwd", "a/../../x"])
def test_a_listing_can_not_write_outside(tmp_path: Path, relative: str) -> None:
    with pytest.raises(DataError, match="leads out of"):
        safe_target(tmp_path / "dest", relative)
    assert safe_target(tmp_path / "dest", "a/b") == tmp_path / "dest" / "a" / "b"
