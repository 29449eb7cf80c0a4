"""`clew serve` as a real process, over real sockets."""

import contextlib
import http.client
import json
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serving.served import (
    ENDPOINT,
    ROW,
    Client,
    Process,
    day,
    endpoint,
    journalled,
    label,
    records,
    register,
)

from clew.errors import NotPermittedError, OutsideError
from clew.serving.app import MOST_BYTES
from clew.serving.serve import bind, require_token

BODY = json.dumps({"dataframe_records": [ROW]}).encode()


def head(length: int | None, *extra: str) -> bytes:
    lines = ["POST /invocations HTTP/1.1", "host: x", "content-type: application/json", *extra]
    if length is not None:
        lines.append(f"content-length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.fixture(scope="module")
def port(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """One server for all that leaves it as it is."""
    import shutil

    folder = tmp_path_factory.mktemp("served") / "work"
    shutil.copytree(template, folder)
    endpoint(folder)
    with Process(folder, ENDPOINT, "--port", "0") as process:
        yield process.wait()
        assert process.stop() == 0
        assert "Traceback" not in process.log.read_text()


def exchange(port: int, *sent: bytes, until: int = 1) -> bytes:
    """Send bytes on a connection, and read until so many answers came or the server closes."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for part in sent:
            connection.sendall(part)
        while len(re.findall(rb"HTTP/1\.1 \d+[^\r]*\r\n.*?\r\n\r\n(?:\{.*?\}|)", found, re.DOTALL)) < until:
            received = connection.recv(65536)
            if not received:
                break
            found += received
    return found


def test_it_predicts_and_takes_outcomes(port: int) -> None:
    with Client(port) as client:
        assert client("GET", "/ping").json == {"status": "ok"}
        found = client.predict([ROW, ROW | {"area": 50}])
        assert found["predictions"] == [200.0, 100.0]
        one = {"prediction_id": found["prediction_ids"][0], "name": "price", "kind": "label", "value": 1}
        assert client("POST", "/outcomes", one).json == {"recorded": 1}
        reply = client("GET", "/health")
        assert "server" not in reply.headers
        assert reply.headers["x-content-type-options"] == "nosniff"


def test_head_has_the_headers_and_no_body(port: int) -> None:
    with Client(port) as client:
        reply = client("HEAD", "/ping")
        assert (reply.status, reply.headers["content-length"], reply.content) == (200, "15", b"")
        assert client("HEAD", "/invocations").status == 405
        assert client.predict([ROW])["predictions"] == [200.0]


def test_requests_may_follow_one_another_without_waiting(port: int) -> None:
    requests = [head(len(BODY)) + BODY] * 5
    answers = exchange(port, b"".join(requests), until=5)
    assert answers.count(b"HTTP/1.1 200 OK") == 5
    assert len(set(re.findall(rb"clew-prediction-id: (\S+)", answers))) == 5
    mixed = exchange(port, head(2) + b"{}" + head(len(BODY)) + BODY + head(1) + b"[", until=3)
    assert re.findall(rb"HTTP/1\.1 (\d+)", mixed) == [b"400", b"200", b"400"]


def test_a_body_without_a_length_may_come_in_chunks(port: int) -> None:
    chunks = [BODY[at : at + 7] for at in range(0, len(BODY), 7)]
    framed = b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks) + b"0\r\n\r\n"
    assert b"HTTP/1.1 200 OK" in exchange(port, head(None, "transfer-encoding: chunked"), framed)


def test_an_expectation_is_met(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head(len(BODY), "expect: 100-continue"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")
        connection.sendall(BODY)
        assert b"HTTP/1.1 200 OK" in connection.recv(65536)


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nno colon here\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_the_server_goes_on(port: int, sent: bytes) -> None:
    answer = exchange(port, sent)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    with Client(port) as client:
        assert client.predict([ROW])["predictions"] == [200.0]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_huge_body_is_refused_before_it_is_read(port: int, chunked: bool) -> None:
    """Read or not, the client must be told: an answer that a reset connection swallows helps nobody."""
    size = MOST_BYTES + 5_000_000
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head(None, "transfer-encoding: chunked") if chunked else head(size))
        answer = b""
        with contextlib.suppress(ConnectionError):
            for _ in range(0, size, 100_000):
                part = b"x" * 100_000
                connection.sendall(b"186a0\r\n" + part + b"\r\n" if chunked else part)
        with contextlib.suppress(ConnectionError):
            answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413")
    with Client(port) as client:
        assert client.predict([ROW])["predictions"] == [200.0]


def test_clients_that_leave_leave_the_others_alone(port: int) -> None:
    for sent in (b"", b"POST /inv", head(len(BODY)), head(len(BODY)) + BODY[:20], head(len(BODY)) + BODY):
        for _ in range(5):
            connection = socket.create_connection(("127.0.0.1", port), timeout=20)
            connection.sendall(sent)
            connection.close()
    with Client(port) as client:
        assert client.predict([ROW])["predictions"] == [200.0]


def command(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    clean = {name: value for name, value in os.environ.items() if name != "CLEW_TOKEN"}
    return subprocess.run(
        [sys.executable, "-m", "clew.cli", *arguments],
        env={**clean, "CLEW_WORKSPACE": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_says_why_it_doesnt_start(folder: Path) -> None:
    endpoint(folder)
    open_to_all = command(folder, "serve", ENDPOINT, "--host", "0.0.0.0", "--port", "0")
    assert open_to_all.returncode == 4
    assert "mend: set CLEW_TOKEN" in open_to_all.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        refused = command(folder, "serve", ENDPOINT, "--port", number)
        assert refused.returncode == 5
        assert f"127.0.0.1:{number} can't be served: Address already in use" in refused.stderr
        assert "mend: choose another with --port" in refused.stderr
    unknown = command(folder, "serve", "houses", "--port", "0")
    assert unknown.returncode == 3
    assert "mend: clew endpoint create houses" in unknown.stderr


def test_only_this_machine_is_served_without_a_token() -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8"):
        require_token(host, None)
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.com", ""):
        require_token(host, "secret")
        for none in (None, ""):
            with pytest.raises(NotPermittedError):
                require_token(host, none)


def test_a_host_that_isnt_this_machine_cant_be_served() -> None:
    with pytest.raises(OutsideError) as refused:
        bind("203.0.113.7", 0)
    assert refused.value.exit_code == 5
    assert refused.value.mend


def test_with_a_token_others_may_be_served(folder: Path) -> None:
    endpoint(folder)
    with Process(folder, ENDPOINT, "--host", "0.0.0.0", "--port", "0", CLEW_TOKEN="secret") as process:
        port = process.wait()
        with Client(port) as client, Client(port, authorization="Bearer secret") as friend:
            assert client("GET", "/ping").status == 200
            assert client("POST", "/invocations", BODY).status == 401
            assert friend.predict([ROW])["predictions"] == [200.0]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_finish(folder: Path, how: signal.Signals) -> None:
    endpoint(folder, register(folder, fault="slow"))
    with Process(folder, ENDPOINT, "--port", "0") as process:
        port = process.wait()
        answers: list[Any] = []

        def ask() -> None:
            with Client(port) as client:
                answers.append(client.predict([ROW | {"area": 2000.0}]))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.15)
        process.process.send_signal(how)
        for thread in threads:
            thread.join(20)
        assert process.process.wait(20) == (0 if how == signal.SIGTERM else 130)
    assert [found["predictions"] for found in answers] == [[4000.0]] * 4
    kept, _ = journalled(folder)
    assert {one.id for one in kept} == {found["prediction_ids"][0] for found in answers}
    assert list((folder / ".clew" / "journal").glob("*/*.json"))  # sealed


class Load(threading.Thread):
    """Sends predictions and their outcomes until the server is gone; keeps what was acknowledged."""

    def __init__(self, port: int, seed: int) -> None:
        super().__init__()
        self.port = port
        self.rows = records(50, seed)
        self.predicted: dict[str, Any] = {}
        self.known: set[str] = set()
        self.odd: list[Any] = []

    def run(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException), Client(self.port) as client:
            for row in self.rows * 1000:
                reply = client("POST", "/invocations", {"dataframe_records": [row, row | {"area": 1}]})
                if reply.status != 200:
                    self.odd.append(reply.content)
                    return
                ids, values = reply.json["prediction_ids"], reply.json["predictions"]
                self.predicted |= dict(zip(ids, values, strict=True))
                reply = client("POST", "/outcomes", [label(one, row["price"], day(1)) for one in ids])
                if reply.status != 200:
                    self.odd.append(reply.content)
                    return
                self.known |= set(ids)


def test_what_was_acknowledged_survives_kill_9_under_load(folder: Path) -> None:
    """Ten kills at random moments. Failure model: the process is killed, the machine stays."""
    endpoint(folder)
    chance = random.Random(7)
    predicted: dict[str, Any] = {}
    known: set[str] = set()
    for number in range(10):
        with Process(folder, ENDPOINT, "--port", "0", "--writer", "same") as process:
            port = process.wait()
            loads = [Load(port, seed) for seed in range(4)]
            for load in loads:
                load.start()
            time.sleep(chance.uniform(0.05, 0.6))
            process.process.kill()
            process.process.wait(20)
            for load in loads:
                load.join(20)
                predicted |= load.predicted
                known |= load.known
                assert not load.odd, number
            assert "Traceback" not in process.log.read_text(), process.log.read_text()
    with Process(folder, ENDPOINT, "--port", "0", "--writer", "same") as process:
        with Client(process.wait()) as client:
            client.predict([ROW])
        assert process.stop() == 0
    kept, outcomes = journalled(folder)
    outputs = {one.id: one.output for one in kept}
    assert len(predicted) > 300
    assert predicted.items() <= outputs.items()
    assert known <= {one.prediction_id for one in outcomes}
    assert len(outputs) == len(kept)
    doctor = command(folder, "doctor")
    assert doctor.returncode == 0, doctor.stdout
