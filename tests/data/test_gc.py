"""What garbage collection removes, and what it never does."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from clew.catalog.commands import TakeLease
from clew.data import _compact, add, all_of, find, verify
from clew.data._gc import GRACE, collect
from clew.data._leases import _is_gone, holder, lease
from clew.workspace import Workspace

NONE = timedelta(0)


def sound(workspace: Workspace) -> bool:
    return all(one.fault is None for one in verify(all_of(workspace)))


def digests(workspace: Workspace) -> set[str]:
    return {stored.digest for stored in workspace.objects.list()}


@pytest.fixture
def filled(workspace: Workspace, tmp_path: Path) -> Workspace:
    frame = pl.DataFrame({"n": range(2_000)})
    add(workspace, "t", frame)
    add(workspace, "t", frame.filter(pl.col("n") % 9 > 0))
    (tmp_path / "in").mkdir()
    for name in "abc":
        (tmp_path / "in" / name).write_text(name * 50)
    add(workspace, "photos", tmp_path / "in")
    (tmp_path / "in" / "a").write_text("other")
    add(workspace, "photos", tmp_path / "in")
    return workspace


def test_what_versions_need_stays_and_the_rest_goes(filled: Workspace) -> None:
    needed = digests(filled)
    assert collect(filled, grace=NONE).objects == 0
    garbage = {filled.objects.put(os.urandom(50)).digest for _ in range(3)}
    assert collect(filled).objects == 0  # young
    tried = collect(filled, grace=NONE, dry_run=True)
    assert (tried.objects, tried.bytes) == (3, 150)
    assert garbage < digests(filled)
    assert collect(filled, grace=NONE).bytes == 150
    assert digests(filled) == needed
    assert sound(filled)


def test_a_writer_at_work_keeps_what_it_wrote(filled: Workspace) -> None:
    with lease(filled, "t"):
        filled.objects.put(b"about to be named")
        assert collect(filled, grace=NONE).objects == 0
    assert collect(filled, grace=NONE).objects == 1


def test_the_lease_of_a_process_that_is_gone_holds_nothing(filled: Workspace) -> None:
    code = "from clew.data._leases import holder; print(holder())"
    dead = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    assert _is_gone(dead)
    assert not _is_gone(holder())
    assert not _is_gone(f"elsewhere|boot|1|{os.getpid()}|5")
    filled.catalog.execute(TakeLease(holder=dead, target="t", seconds=3600))
    filled.objects.put(b"left behind")
    assert collect(filled, grace=NONE).objects == 1
    filled.catalog.execute(TakeLease(holder="elsewhere|boot|1|7|5", target="t", seconds=3600))
    filled.objects.put(b"perhaps at work")
    assert collect(filled, grace=NONE).objects == 0


def test_what_compaction_freed_goes_after_its_own_grace(workspace: Workspace) -> None:
    frame = pl.DataFrame({"n": range(2_000)})
    only = add(workspace, "t", frame).snapshot
    old = only.groups()[0].rope.fragments[0].digest
    path = workspace.objects.open_path(old)
    os.utime(path, (1, 1))  # put long ago
    # The same rows would be the same fragment: let them lie in two.
    second = add(workspace, "t", pl.concat([frame, pl.DataFrame({"n": [-1]})])).snapshot
    assert _compact.compact(workspace, second, force=True)
    assert collect(workspace, grace=NONE).objects >= 1  # the rope and the short fragment of before
    assert old in digests(workspace)  # version 1 needs it
    fresh = find(workspace, "t@2").groups()[0].rope.fragments
    assert old not in {fragment.digest for fragment in fresh}
    freed = second.groups()[0].rope.fragments[0].digest
    assert collect(workspace, grace=GRACE).objects == 0
    assert freed in digests(workspace)
    assert sound(workspace)


def test_a_fragment_that_is_wanted_again_is_no_longer_free(workspace: Workspace) -> None:
    frame = pl.DataFrame({"n": range(2_000)})
    add(workspace, "t", frame)
    more = pl.concat([frame, pl.DataFrame({"n": [-1]})])
    second = add(workspace, "t", more).snapshot
    short = second.groups()[0].rope.fragments[1].digest
    assert _compact.compact(workspace, second, force=True)
    assert collect(workspace, grace=NONE, dry_run=True).objects == 2  # its rope, and the fragment
    add(workspace, "other", pl.DataFrame({"n": [-1]}))  # the same bytes, under another name
    assert collect(workspace, grace=NONE).objects == 1
    assert short in digests(workspace)
    assert sound(workspace)


def test_copies_of_files_that_nobody_opens_any_more_go(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a").write_text("a")
    (folder / "b").write_text("b")
    snapshot = add(workspace, "files", folder).snapshot
    old, used = snapshot.open("a"), snapshot.open("b")
    for path in (old, used):
        os.utime(path, (0, 0))
    snapshot.open("b")  # asked for again
    collect(workspace)
    assert (old.exists(), used.exists()) == (False, True)
    assert snapshot.open("a").read_text() == "a"
