"""Kills, failing services, races and flipped bytes: what was acknowledged is there, whole, and nothing else is seen."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import polars as pl
import pytest
from tests.servers.s3 import S3Server

from clew.data import add, all_of, find, verify
from clew.data._gc import collect
from clew.errors import ClewError
from clew.objects import s3
from clew.workspace import Workspace, init, open_folder

CHILD = Path(__file__).with_name("faults_child.py")
NONE = timedelta(0)


# --- kills ------------------------------------------------------------------------------------------------------


def kill_once(root: Path, seed: int, chance: random.Random) -> list[list[str]]:
    """Let a child work until it is killed; what it acknowledged."""
    by_itself = chance.random() < 0.5
    kill_at = chance.randint(1, 250) if by_itself else 0
    child = subprocess.Popen(
        [sys.executable, str(CHILD), str(root), str(seed), str(kill_at)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "READY\n"
    if not by_itself:
        time.sleep(chance.uniform(0, 0.8))
        child.send_signal(signal.SIGKILL)
    out, _ = child.communicate(timeout=100)
    assert child.returncode == -signal.SIGKILL
    return [line.split() for line in out.splitlines() if line.startswith("ACK") and line.count(" ") == 2]


def killed(root: Path, seeds: range) -> None:
    init(root)
    chance = random.Random(seeds.start)
    acknowledged: dict[str, str] = {}
    for seed in seeds:
        acknowledged |= {reference: content_id for _, reference, content_id in kill_once(root, seed, chance)}
        with open_folder(root) as workspace:
            seen = {one.reference: one for one in verify(all_of(workspace))}
            assert [one for one in seen.values() if one.fault] == []
            assert {name: seen[name].content_id for name in acknowledged} == acknowledged
    with open_folder(root) as workspace:
        # One more version, so that what a killed child wrote last isn't the newest by luck.
        add(workspace, "t", pl.DataFrame({"n": [0], "x": [0]}), accept_schema=True)
        collect(workspace, grace=NONE)
        assert collect(workspace, grace=NONE, dry_run=True).objects == 0
        assert list(workspace.temporary().iterdir()) == []
        assert all(one.fault is None for one in verify(all_of(workspace)))
        versions = [one.version for one in all_of(workspace, "t")]
        assert sorted(versions) == list(range(1, len(versions) + 1))


def test_killed_at_any_moment(tmp_path: Path) -> None:
    killed(tmp_path / "home", range(1, 6))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(10))
def test_killed_two_hundred_times(tmp_path: Path, part: int) -> None:
    killed(tmp_path / "home", range(100 * part, 100 * part + 20))


# --- a service that fails ---------------------------------------------------------------------------------------


class Faulty:
    """A relay in front of an S3 server that breaks some of the requests: says 500, says nothing, or hangs up midway."""

    def __init__(self, server: S3Server) -> None:
        host, _, port = server.endpoint.removeprefix("http://").partition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.how: str | None = None
        self.share = 0.7
        self._chance = random.Random(3)
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._open.append(client)
        how = self.how if self._chance.random() < self.share else None
        try:
            first = client.recv(65_536)
            if how == "500":
                body = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                client.sendall(body)
            elif how == "silent":
                time.sleep(5)
            else:
                self._relay(client, first, midway=how == "midway")
        except OSError:
            pass
        finally:
            client.close()

    def _relay(self, client: socket.socket, first: bytes, *, midway: bool) -> None:
        with socket.create_connection(self._target) as server:
            server.sendall(first)
            if midway:
                server.close()
                return
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join(5)

    def close(self) -> None:
        self._listener.close()
        for one in self._open:
            one.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture
def faulty(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)
    relay = Faulty(s3_server)
    yield relay
    relay.close()


def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that are made from now on give up soon; the server's first answer of all may take longer than that."""
    monkeypatch.setattr(s3, "_RETRY", {**s3._RETRY, "max_retries": 1, "retry_timeout": timedelta(seconds=2)})
    soon = {"read_timeout": timedelta(seconds=3), "timeout": timedelta(seconds=6)}
    monkeypatch.setattr(s3, "_CLIENT", {**s3._CLIENT, **soon})


@pytest.mark.parametrize("how", ["500", "silent", "midway"])
def test_a_store_that_fails_leaves_whole_versions_only(
    tmp_path: Path,
    faulty: Faulty,
    s3_server: S3Server,
    postgres_database: str,
    how: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = s3_server.url()
    root = tmp_path / "home"
    init(root, catalog=postgres_database, objects=url)
    _impatient(monkeypatch)
    # The workspace goes through the relay from here on; a connection that came through stays, so each add opens anew.
    settings = root / ".clew" / "config.toml"
    settings.write_text(
        settings.read_text().replace(quote(s3_server.endpoint, safe=""), quote(faulty.endpoint, safe=""))
    )
    done, failed = {}, 0
    faulty.how = how
    for number in range(10 if how != "silent" else 4):
        frame = pl.DataFrame({"n": range(number * 10, number * 10 + 500)})
        try:
            with open_folder(root) as workspace:
                added = add(workspace, "t", frame).snapshot
                done[added.reference] = frame
        except ClewError as error:
            failed += 1
            assert error.mend  # noqa: PT017 - whatever it is, it says what to do
    assert failed > 0
    faulty.how = None
    monkeypatch.undo()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)
    with open_folder(root) as workspace:
        listed = {one.reference: one for one in all_of(workspace, "t")}
        assert set(done) <= set(listed)
        assert all(one.fault is None for one in verify(listed.values()))
        for reference, frame in done.items():
            assert listed[reference].collect().equals(frame)
        last = pl.DataFrame({"n": [1, 2, 3]})
        assert add(workspace, "t", last).snapshot.collect().equals(last)
        collect(workspace, grace=NONE)
        assert all(one.fault is None for one in verify(all_of(workspace)))


# --- races ------------------------------------------------------------------------------------------------------

ADD = """
import sys
from pathlib import Path
import polars as pl
from clew.data import add
from clew.workspace import open_folder
number = int(sys.argv[2])
frame = pl.DataFrame({"n": range(3000), "by": [number if n % 100 == number else -1 for n in range(3000)]})
with open_folder(Path(sys.argv[1])) as workspace:
    sys.stdin.readline()
    print(add(workspace, "t", frame).snapshot.version)
"""


def sixteen(root: Path) -> None:
    """Sixteen processes add at the same moment; each gets a version of its own, with its own rows."""
    command = [sys.executable, "-c", ADD, str(root)]
    children = [
        subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(16)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    said = [child.communicate(timeout=200)[0].strip() for child in children]
    assert [child.returncode for child in children] == [0] * 16
    assert sorted(int(one) for one in said) == list(range(1, 17))
    with open_folder(root) as workspace:
        for number, version in enumerate(said):
            assert find(workspace, f"t@{version}").collect()["by"].max() == number
        collect(workspace, grace=NONE)
        assert all(one.fault is None for one in verify(all_of(workspace)))


def test_sixteen_add_at_once_in_a_folder(tmp_path: Path) -> None:
    init(tmp_path / "home")
    sixteen(tmp_path / "home")


def test_sixteen_add_at_once_in_a_teams_workspace(
    tmp_path: Path, s3_server: S3Server, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)
    init(tmp_path / "home", catalog=postgres_database, objects=s3_server.url())
    sixteen(tmp_path / "home")


# --- flipped bytes ----------------------------------------------------------------------------------------------


def flipped(workspace: Workspace, folder: Path, times: int) -> None:
    """Each single flipped bit is found, and what it touches is named."""
    frame = pl.DataFrame({"n": range(300), "s": [f"text {n}" for n in range(300)]})
    add(workspace, "t", frame)
    add(workspace, "t", frame.filter(pl.col("n") % 9 > 0))
    folder.mkdir()
    for number in range(12):
        (folder / f"f{number}").write_bytes(os.urandom(200))
    (folder / "large").write_bytes(os.urandom(1_100_000))
    add(workspace, "photos", folder)
    (folder / "f3").write_bytes(b"other")
    add(workspace, "photos", folder)
    paths = sorted(workspace.objects.open_path(stored.digest) for stored in workspace.objects.list())
    whole = {path: path.read_bytes() for path in paths}
    entries = [snapshot.entries() for snapshot in all_of(workspace, "photos")]
    chance = random.Random(11)
    for turn in range(times):
        path = paths[turn % len(paths)]
        at = chance.randrange(len(whole[path]))
        body = bytearray(whole[path])
        body[at] ^= 1 << chance.randrange(8)
        path.chmod(0o644)
        path.write_bytes(body)
        faults = {one.reference: one.fault for one in verify(all_of(workspace)) if one.fault}
        path.write_bytes(whole[path])
        assert faults, (path, at)
        digest = path.parent.name + path.name
        for listing in entries:
            for entry in listing.values():
                if entry.place == digest and entry.offset <= at < entry.offset + entry.size:
                    assert any(repr(entry.path) in str(fault) or entry.path in str(fault) for fault in faults.values())


def test_a_flipped_bit_is_found(workspace: Workspace, tmp_path: Path) -> None:
    flipped(workspace, tmp_path / "in", times=60)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_of_a_thousand_flipped_bits_is_found(workspace: Workspace, tmp_path: Path) -> None:
    flipped(workspace, tmp_path / "in", times=1_000)


# --- a full disk ------------------------------------------------------------------------------------------------


def test_a_disk_that_fills_up_while_files_and_compactions_are_written(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("this container may not mount")
    try:
        init(disk)
        folder = tmp_path / "in"
        failed = 0
        with open_folder(disk) as workspace:
            for turn in range(30):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                for number in range(20):
                    (folder / f"{number}").write_bytes(os.urandom(9_000))
                try:
                    add(workspace, "photos", pl.DataFrame({"n": range(turn, turn + 400)}), files_in=folder)
                except ClewError as error:
                    failed += 1
                    assert "no room" in str(error) or "full" in str(error)  # noqa: PT017
            assert 0 < failed < 25
            assert list(workspace.temporary().iterdir()) == []
            assert all(one.fault is None for one in verify(all_of(workspace)))
            assert len(all_of(workspace)) == 30 - failed
    finally:
        subprocess.run(["umount", str(disk)], check=True)
