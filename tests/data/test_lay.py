import hashlib
import os
from pathlib import Path

import pytest

from clew.data import files
from clew.data._lay import check_paths, lay
from clew.data.files import Entry
from clew.errors import DataError, IntegrityError, NotFoundError
from clew.objects import open_store
from clew.objects.memory import MemoryStore
from clew.workspace import Workspace


def entry(path: str, content: bytes, place: str, offset: int = 0) -> Entry:
    return Entry(path, hashlib.sha256(content).hexdigest(), len(content), place, offset)


@pytest.mark.parametrize(
    "path",
    ["../x", "/etc/passwd", "a/../../x", "a/..", "..", ".", "", "a/", "a//b", "./a", "a/./b", "a\0b", "a\nb", "a\\b"],
)
def test_a_hostile_path_is_refused_before_anything_is_written(tmp_path: Path, path: str) -> None:
    objects = MemoryStore()
    place = objects.put(b"x").digest
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(DataError, match="leads out of"):
        lay(objects, {"good": entry("good", b"x", place), path: entry(path, b"x", place)}, out)
    assert list(tmp_path.rglob("*")) == [out]


@pytest.mark.parametrize("paths", [["a", "a/b"], ["a/b/c/d", "a/b"], ["x", "x/y/z"]])
def test_a_file_that_is_a_folder_too_is_refused(paths: list[str]) -> None:
    with pytest.raises(DataError, match="a file and a folder"):
        check_paths({path: entry(path, b"", "") for path in paths})


def test_names_that_only_look_odd_are_kept() -> None:
    odd = ["...", "..a", "a..", "a/.b", "a/...", " ", "ü/\U0001f9f6", "-rf", "a:b", "C:"]
    assert check_paths({path: entry(path, b"", "") for path in odd}) == {"a", "ü"}


def test_two_paths_that_are_one_to_the_disk_are_refused(tmp_path: Path) -> None:
    objects = MemoryStore()
    place = objects.put(b"x").digest
    (tmp_path / "a").touch()
    with pytest.raises(FileExistsError):
        lay(objects, {"a": entry("a", b"x", place)}, tmp_path)


def test_every_file_is_checked(tmp_path: Path) -> None:
    objects = open_store("memory://")
    pack = objects.put(b"onetwo").digest
    for number, wrong in enumerate([entry("b", b"one", pack, 3), entry("b", b"two", pack, 4), entry("b", b"one", "")]):
        out = tmp_path / str(number)
        out.mkdir()
        with pytest.raises(IntegrityError, match="'b'"):
            lay(objects, {"a": entry("a", b"one", pack), "b": wrong}, out)
    with pytest.raises(NotFoundError):
        lay(objects, {"c": entry("c", b"x", "ab" * 32)}, tmp_path)


def test_what_is_laid_out_may_be_edited(workspace: Workspace, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "large").write_bytes(os.urandom(3 << 20))
    (source / "empty").touch()
    for number in range(700):
        (source / "deep" / "er" / f"{number}").write_text(f"{number}")
    entries = files.read(workspace.objects, files.store(workspace, source, None).listing)
    out.mkdir()
    lay(workspace.objects, entries, out)
    for path in entries:
        assert (out / path).read_bytes() == (source / path).read_bytes()
        with (out / path).open("ab") as file:
            file.write(b"edited")
    assert files.verify(workspace.objects, files.store(workspace, source, None).listing, {}) == []
