"""The test servers themselves: they keep what they were given, and don't outlive those who started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from tests.servers.postgres import PostgresServer

ROOT = Path(__file__).parents[2]


def connect(url: str) -> psycopg.Connection:
    return psycopg.connect(url.replace("postgresql+psycopg", "postgresql"))


def test_each_database_is_empty(postgres_server: PostgresServer, postgres_database: str) -> None:
    with connect(postgres_database) as connection:
        connection.execute("CREATE TABLE things (id int)")
    name = postgres_server.create_database()
    with connect(postgres_server.database_url(name)) as connection:
        row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    postgres_server.drop_database(name)
    assert row == (0,)


def test_database_outlives_a_kill(postgres_server: PostgresServer, postgres_database: str) -> None:
    with connect(postgres_database) as connection:
        connection.execute("CREATE TABLE things AS SELECT generate_series(1, 1000) AS id")
    postgres_server.kill()
    try:
        with pytest.raises(psycopg.OperationalError):
            connect(postgres_database)
    finally:
        postgres_server.start()
    with connect(postgres_database) as connection:
        assert connection.execute("SELECT count(*) FROM things").fetchone() == (1000,)


@pytest.mark.parametrize("kind", ["postgres.PostgresServer", "s3.S3Server"])
def test_server_dies_with_a_killed_test_process(kind: str) -> None:
    module, name = kind.split(".")
    code = (
        f"import sys, time; sys.path.insert(0, {str(ROOT)!r}); from tests.servers.{module} import {name}\n"
        f"server = {name}(); server.launch()\n"
        "print(server._child.pid, server._folder.path, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid, folder = owner.stdout.readline().split()
        os.kill(int(pid), 0)
        owner.send_signal(signal.SIGKILL)
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split(") ")[1][:1]:
        assert time.monotonic() < end, f"process {pid} is still there"
        time.sleep(0.02)
    # Its folder goes when the next server of the kind is made.
    server = subprocess.run(
        [sys.executable, "-c", code.split("\n", maxsplit=1)[0] + f"\n{name}().close()"], check=True, capture_output=True
    )
    assert server.returncode == 0
    assert not Path(folder).exists()
