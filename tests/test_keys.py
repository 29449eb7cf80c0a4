"""A key is the owner's alone, stays, and is missed when it is gone."""

import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from clew import keys
from clew.catalog.commands import CreateDataset, RecordKey, SetPolicy
from clew.data import add, policies
from clew.errors import NotFoundError, RefusedError, UsageError
from clew.workspace import Workspace, init, open_folder


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CLEW_WORKSPACE", *keys.VARIABLES.values()):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    init(tmp_path / "one")
    with open_folder(tmp_path / "one") as opened:
        yield opened


def files(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "config").rglob("*") if path.is_file())


def test_a_key_is_made_once_for_its_owner_alone(workspace: Workspace, tmp_path: Path) -> None:
    name, key = keys.secret_key(workspace, "pseudonym")
    assert (name, len(key)) == ("pseudonym-1", 64)
    assert keys.secret_key(workspace, "pseudonym") == (name, key)
    assert keys.secret_key_named(workspace, name) == key
    (path,) = files(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key not in b"".join(one.read_bytes() for one in workspace.folder.rglob("*") if one.is_file())


def test_purposes_and_workspaces_have_keys_of_their_own(workspace: Workspace, tmp_path: Path) -> None:
    init(tmp_path / "two")
    with open_folder(tmp_path / "two") as other:
        found = {keys.secret_key(one, purpose) for one in (workspace, other) for purpose in ("pseudonym", "erasure")}
    assert sorted(name for name, _ in found) == ["erasure-1", "erasure-1", "pseudonym-1", "pseudonym-1"]
    assert len({key for _, key in found}) == 4


def test_a_key_may_be_given(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEW_PSEUDONYM_KEY", "given by the team")
    assert keys.secret_key(workspace, "pseudonym") == ("pseudonym-1", b"given by the team")
    assert files(tmp_path) == []
    monkeypatch.delenv("CLEW_PSEUDONYM_KEY")
    with pytest.raises(NotFoundError, match=r"pseudonym-1, in use since .* is not on this machine"):
        keys.secret_key(workspace, "pseudonym")


def test_a_key_that_could_be_guessed_is_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEW_ERASURE_KEY", "secret")
    with pytest.raises(UsageError, match="holds 6 bytes"):
        keys.secret_key(workspace, "erasure")
    assert keys.known(workspace) == []


def test_a_lost_key_is_missed_and_no_new_one_is_made(workspace: Workspace, tmp_path: Path) -> None:
    _, key = keys.secret_key(workspace, "pseudonym")
    (path,) = files(tmp_path)
    path.unlink()
    with pytest.raises(NotFoundError, match="not on this machine") as caught:
        keys.secret_key(workspace, "pseudonym")
    assert str(path) in str(caught.value.mend)
    assert files(tmp_path) == []
    path.write_bytes(key + b"\n")
    assert keys.secret_key(workspace, "pseudonym")[1] == key


def test_another_key_in_its_place_is_refused(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.secret_key(workspace, "pseudonym")
    (path,) = files(tmp_path)
    path.write_text("0" * 64)
    with pytest.raises(RefusedError, match="holds another key than pseudonym-1"):
        keys.secret_key(workspace, "pseudonym")
    monkeypatch.setenv("CLEW_PSEUDONYM_KEY", "1" * 64)
    with pytest.raises(RefusedError, match="CLEW_PSEUDONYM_KEY holds another key than pseudonym-1"):
        keys.secret_key(workspace, "pseudonym")


def test_a_copy_of_the_workspace_finds_its_key_by_the_fingerprint(workspace: Workspace, tmp_path: Path) -> None:
    name, key = keys.secret_key(workspace, "pseudonym")
    init(tmp_path / "copy")
    with open_folder(tmp_path / "copy") as copy:
        copy.catalog.execute(RecordKey(purpose="pseudonym", fingerprint=keys.fingerprint(key)))
        assert keys.secret_key(copy, "pseudonym") == (name, key)


def test_an_empty_setting_is_none(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    monkeypatch.setenv("CLEW_PSEUDONYM_KEY", "")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    keys.secret_key(workspace, "pseudonym")
    assert [path.name for path in (tmp_path / "me" / ".config" / "clew").rglob("*.key")] == ["pseudonym-1.key"]


def test_many_processes_make_one_key(workspace: Workspace, tmp_path: Path) -> None:
    code = (
        "import sys, clew.workspace as w, clew.keys as k\n"
        "print(k.secret_key(w.open_folder(sys.argv[1]), 'pseudonym')[1].decode())"
    )
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "many")}
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(workspace.root)], stdout=subprocess.PIPE, env=environment)
        for _ in range(4)
    ]
    found = {child.communicate()[0] for child in children}
    assert len(found) == 1
    assert len(found.pop().strip()) == 64


# --- rotation -----------------------------------------------------------------------------------------------------


def test_rotation_begins_a_new_key_and_keeps_the_old(workspace: Workspace) -> None:
    _, old = keys.secret_key(workspace, "pseudonym")
    assert keys.rotate(workspace, "pseudonym") == ("pseudonym-2", "pseudonym-1")
    name, new = keys.secret_key(workspace, "pseudonym")
    assert name == "pseudonym-2"
    assert new != old
    assert keys.secret_key_named(workspace, "pseudonym-1") == old
    assert [(one.name, one.in_use, one.at is not None) for one in keys.known(workspace)] == [
        ("pseudonym-1", False, True),
        ("pseudonym-2", True, True),
    ]


def test_a_retired_key_is_used_no_more(workspace: Workspace) -> None:
    keys.secret_key(workspace, "pseudonym")
    with pytest.raises(RefusedError, match="pseudonym-1 is in use"):
        keys.retire(workspace, "pseudonym-1")
    keys.rotate(workspace, "pseudonym")
    path = keys.retire(workspace, "pseudonym-1")
    assert path is not None
    assert path.name == "pseudonym-1.key"
    with pytest.raises(RefusedError, match="was retired on"):
        keys.secret_key_named(workspace, "pseudonym-1")
    with pytest.raises(NotFoundError, match="no key is called 'pseudonym-9'"):
        keys.retire(workspace, "pseudonym-9")


def test_a_given_key_is_rotated_by_giving_another(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEW_ERASURE_KEY", "a" * 32)
    keys.secret_key(workspace, "erasure")
    with pytest.raises(RefusedError, match="still holds erasure-1"):
        keys.rotate(workspace, "erasure")
    monkeypatch.setenv("CLEW_ERASURE_KEY", "b" * 32)
    assert keys.rotate(workspace, "erasure") == ("erasure-2", "erasure-1")
    assert keys.secret_key(workspace, "erasure") == ("erasure-2", b"b" * 32)
    with pytest.raises(NotFoundError, match="erasure-1"):
        keys.secret_key_named(workspace, "erasure-1")


def test_a_rotation_that_lost_the_race_leaves_no_file(workspace: Workspace, tmp_path: Path) -> None:
    keys.secret_key(workspace, "pseudonym")
    workspace.catalog.execute(RecordKey(purpose="pseudonym", fingerprint="2" * 64, after="pseudonym-1"))
    before = files(tmp_path)
    with pytest.raises(RefusedError, match="recorded meanwhile"):
        keys._made(workspace, "pseudonym", 2, "pseudonym-1")
    assert files(tmp_path) == before


# --- from before keys were recorded -------------------------------------------------------------------------------


def test_the_key_of_before_is_taken_over(workspace: Workspace, tmp_path: Path) -> None:
    old = tmp_path / "config" / "clew" / "pseudonym.key"
    old.parent.mkdir(parents=True)
    old.write_text("f" * 64 + "\n")
    dataset_id = workspace.catalog.execute(CreateDataset(name="people"))
    workspace.catalog.execute(SetPolicy(dataset_id=dataset_id, column="mail", action="pseudonym", reason="joins"))
    assert not keys._has_unrecorded_pseudonyms(workspace)
    keep = dict(policies.declared(workspace, "people"))
    policies.declare(workspace, "people", "mail", "drop", "not now")
    add(workspace, "people", pl.DataFrame({"mail": ["x"], "n": [1]}))
    assert not keys._has_unrecorded_pseudonyms(workspace)
    policies.declare(workspace, "people", "mail", keep["mail"].action, "joins")
    # As the version before this one left it: a snapshot with pseudonyms, and no record of the key.
    add(workspace, "people", pl.DataFrame({"mail": ["x", "y"], "n": [1, 2]}))
    shutil.rmtree(tmp_path / "config" / "clew" / "keys", ignore_errors=True)
    _forget_keys(workspace)
    assert keys.secret_key(workspace, "pseudonym") == ("pseudonym-1", b"f" * 64)
    old.unlink()
    assert keys.secret_key(workspace, "pseudonym") == ("pseudonym-1", b"f" * 64)
    _forget_keys(workspace)
    with pytest.raises(NotFoundError, match="were made with the key in"):
        keys.secret_key(workspace, "pseudonym")


def _forget_keys(workspace: Workspace) -> None:
    with contextlib.closing(sqlite3.connect(workspace.folder / "catalog.sqlite")) as connection:
        connection.execute("DELETE FROM secret_keys")
        connection.commit()
