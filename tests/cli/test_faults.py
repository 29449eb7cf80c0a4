"""Many at once, killed at any moment, and on a full disk: what was acknowledged is there, and nothing else is."""

import contextlib
import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from tests.cli.conftest import CLEW, Cli, Said, process, start


def rows(first: int, many: int = 4000) -> pl.DataFrame:
    """Rows of 60 random bytes."""
    return pl.DataFrame({"n": range(first, first + many), "s": [os.urandom(30).hex() for _ in range(many)]})


def all_verify(cli: Cli, wanted: int) -> None:
    verified = cli("data", "verify", "--json")
    assert verified.code == 0, verified
    assert len(verified.json()) == wanted
    assert cli("doctor").code == 0


def test_eight_that_add_at_once_are_all_there(cli: Cli, home: Path) -> None:
    frames = [rows(number * 10, 50) for number in range(8)]
    for number, frame in enumerate(frames):
        frame.write_parquet(home / f"{number}.parquet")
    children = [start("data", "add", "t", f"{number}.parquet", "--json") for number in range(8)]
    said = [child.communicate(timeout=200) for child in children]
    assert [child.returncode for child in children] == [0] * 8, said
    added = [Said(0, out, err).json() for out, err in said]
    assert sorted(one["version"] for one in added) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert len({one["id"] for one in added}) == 8
    for frame, one in zip(frames, added, strict=True):
        checked = home / f"out-{one['version']}.parquet"
        assert cli("data", "checkout", f"t@{one['version']}", checked).code == 0
        assert pl.read_parquet(checked).equals(frame)
    all_verify(cli, 8)


def test_eight_that_add_the_same_at_once_make_one_version(cli: Cli, home: Path) -> None:
    rows(0, 50).write_parquet(home / "t.parquet")
    children = [start("data", "add", "t", "t.parquet", "--json") for _ in range(4)]
    said = [child.communicate(timeout=200) for child in children]
    added = [Said(0, out, err).json() for out, err in said]
    assert [one["version"] for one in added] == [1] * 4
    assert sum(one["changed"] for one in added) == 1
    all_verify(cli, 1)


def killed(cli: Cli, home: Path, seed: int, times: int) -> None:
    """Kill `clew data add` at random moments; each time the dataset has the version before or the new one, whole."""
    chance = random.Random(seed)
    temporary = home / ".clew" / "tmp"
    last = rows(0)
    last.write_parquet(home / "t.parquet")
    assert process("data", "add", "t", "t.parquet").code == 0
    version = 1
    for number in range(times):
        last = pl.concat([last[: 3000 + number], rows(10_000 * (number + 1), 1000), last[3000 + number :]])
        last.write_parquet(home / "t.parquet")
        child = subprocess.Popen([CLEW, "data", "add", "t", "t.parquet"], stdout=subprocess.PIPE, text=True)
        begun = set(temporary.iterdir())  # what those that were killed left behind
        while child.poll() is None and set(temporary.iterdir()) == begun:
            time.sleep(0.001)
        # It has begun to write rows: from here to the answer it takes less than a tenth of a second.
        time.sleep(chance.uniform(0, 0.1))
        child.send_signal(signal.SIGKILL)
        out, _ = child.communicate()
        newest = cli("data", "show", "t", "--json").json()["version"]
        assert newest in (version, version + 1)
        if f"t@{version + 1}" in out:
            assert newest == version + 1  # what was acknowledged is there
        assert cli("data", "verify", "--json").code == 0
        again = cli("data", "add", "t", "t.parquet", "--json").json()
        assert again["version"] == version + 1
        version += 1
    target = home / "last.parquet"
    assert cli("data", "checkout", "t", target).code == 0
    assert pl.read_parquet(target).equals(last)
    all_verify(cli, version)


def test_killed_while_adding(cli: Cli, home: Path) -> None:
    killed(cli, home, seed=1, times=6)


@pytest.mark.slow
def test_killed_while_adding_many_times(cli: Cli, home: Path) -> None:
    killed(cli, home, seed=2, times=40)


# --- full disks ---------------------------------------------------------------------------------------------------


def limited(size: int, *words: object) -> Said:
    """A command that may write no file longer than so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        child = start(*words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    out, err = child.communicate(timeout=120)
    return Said(child.returncode, out, err)


def full(said: Said) -> None:
    assert said.code == 5, said
    assert said.out == ""
    assert "mend:" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("size", [1_000, 60_000])
def test_no_room_for_the_rows_or_for_the_catalog(cli: Cli, home: Path, size: int) -> None:
    rows(0, 100).write_parquet(home / "small.parquet")
    rows(0).write_parquet(home / "t.parquet")
    assert cli("data", "add", "small", "small.parquet").code == 0
    full(limited(size, "data", "add", "t", "t.parquet"))
    assert [one["dataset"] for one in cli("data", "list", "--json").json()] == ["small"]
    assert not list((home / ".clew" / "tmp").iterdir())
    all_verify(cli, 1)
    assert cli("data", "add", "t", "t.parquet").code == 0
    full(limited(size, "data", "checkout", "t", "out"))
    assert not list(home.glob("out/*"))
    assert cli("data", "checkout", "t", "out").code == 0
    all_verify(cli, 2)


@pytest.fixture
def small_disk(cli: Cli, elsewhere: Path) -> Iterator[Path]:
    """A file system of 6 MB of its own, with a workspace; unmounted after the test."""
    disk = elsewhere / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk; the limit on the size of files is tested above")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)], check=False)
    if mounted.returncode != 0:
        pytest.skip("this container may not mount; the limit on the size of files is tested above")
    try:
        assert cli("--workspace", disk, "init").code == 0
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_up(cli: Cli, small_disk: Path, elsewhere: Path) -> None:
    added = 0
    for number in range(40):
        path = elsewhere / f"{number}.parquet"
        rows(number * 10_000, 9000).write_parquet(path)
        said = cli("data", "add", f"d{number}", path)
        if said.code:
            break
        added += 1
    full(said)
    assert added >= 2
    assert not list((small_disk / ".clew" / "tmp").iterdir())
    listed = cli("data", "list", "--json").json()
    assert {one["dataset"] for one in listed} == {f"d{number}" for number in range(added)}
    verified = cli("data", "verify", "--json")
    assert (verified.code, len(verified.json())) == (0, added)
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)
    full(cli("data", "checkout", "d0", small_disk / "out"))
    assert not list(small_disk.glob("out/*"))
    (small_disk / "filler").unlink()  # without any room SQLite can't even be read
    assert cli("data", "checkout", "d0", elsewhere / "out").code == 0
