"""A workspace with small models, a server in the test's own process, and one as a process of its own, over HTTP."""

import asyncio
import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import polars as pl
import pytest

import clew
from clew.serving import create_endpoint
from clew.serving.app import App
from clew.serving.clock import DataClock
from clew.serving.journal import JournalReader, Outcome, Prediction
from clew.serving.server import Server
from clew.workspace import init

T = TypeVar("T")
START = datetime(2020, 1, 1, tzinfo=UTC)
ENDPOINT = "plots"

PIPELINE = """
import os
import time

import numpy as np
import polars as pl

import clew


class Line:
    '''price = slope × area + by_side of the side; `fault` is what happens when the area is above 1000.'''

    def __init__(self, slope, by_side, offset, fault):
        self.slope, self.by_side, self.offset, self.fault = slope, by_side, offset, fault

    def __setstate__(self, state):
        if state["fault"] == "unloadable" and os.environ.get("PLOTS_BREAK"):
            raise KeyError("a file that isn't there any more")
        self.__dict__.update(state)

    def predict(self, rows):
        area = rows["area"].to_numpy()
        said = self.slope * area + self.offset
        if self.by_side:
            said = said + np.where(rows["side"].to_numpy() == "sunny", 10.0, -10.0)
        bad = bool((area > 1000).any())
        return self.answer(said, rows) if bad else said

    def answer(self, said, rows):
        match self.fault:
            case "raise":
                raise ValueError("too large")
            case "exit":
                raise SystemExit(3)
            case "nan":
                return said * np.nan
            case "shape":
                return said[:-1]
            case "number":
                return 1.0
            case "object":
                return np.array([{"price": value} for value in said], dtype=object)
            case "bytes":
                return said.astype("S")
            case "surrogate":
                return np.array(["\\ud800"] * len(said))
            case "unspeakable":
                raise Unspeakable
            case "slow":
                time.sleep(0.3)
                return said
            case "hang":
                time.sleep(3600)
        return said


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


@clew.step
def split(plots: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    return plots.head(2000), plots.tail(1000)


@clew.step
def train(rows: pl.DataFrame, slope: float, by_side: bool, offset: float, fault: str, extra: str) -> clew.Model:
    example = rows.select("area", "rooms", "side", "seen")
    if extra:
        example = example.with_columns(pl.lit(1.0).alias(extra))
    return clew.Model(Line(slope, by_side, offset, fault), example=example)


@clew.step
def evaluate(model: clew.Model, rows: pl.DataFrame) -> clew.Evaluation:
    return clew.Evaluation({"mae": float(np.abs(model.predict(rows) - rows["price"].to_numpy()).mean())})


@clew.pipeline(accept=[clew.at_most("mae", 100)])
def plots(
    plots: pl.DataFrame = clew.dataset("plots@latest"),
    slope: float = 2.0,
    by_side: bool = False,
    offset: float = 0.0,
    fault: str = "",
    extra: str = "",
) -> None:
    train_rows, test_rows = split(plots)
    model = train(train_rows, slope, by_side, offset, fault, extra)
    clew.register(
        "plot", model=model, evaluation=evaluate(model, test_rows), train=train_rows, test=test_rows, target="price"
    )
"""


def plots(count: int, seed: int = 0) -> pl.DataFrame:
    """Plots of land: price = 2 × area ± 10 by the side, and noise of 2. `extra` is 1."""
    rng = np.random.default_rng(seed)
    area = rng.uniform(50, 150, count).round(3)
    side = rng.choice(["sunny", "shady"], count)
    return pl.DataFrame(
        {
            "plot": [f"P{number}" for number in range(count)],
            "area": area,
            "rooms": rng.integers(1, 6, count),
            "side": side,
            "seen": [START.date()] * count,
            "extra": np.ones(count),
            "price": 2 * area + np.where(side == "sunny", 10.0, -10.0) + rng.normal(0, 2, count),
        }
    )


def records(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Rows as a client sends them, with the truth under `price`."""
    found: list[dict[str, Any]] = plots(count, seed).with_columns(pl.col("seen").cast(pl.String)).to_dicts()
    return found


ROW = {"plot": "P1", "area": 100.0, "rooms": 3, "side": "sunny", "seen": "2020-01-01"}


def make_workspace(folder: Path) -> None:
    """`plot@1` ignores the side (mean loss 10), `plot@2` knows it (mean loss 1.6)."""
    init(folder)
    (folder / "pipeline.py").write_text(textwrap.dedent(PIPELINE))
    with clew.open_workspace(folder) as session:
        session.add("plots", plots(3000), key=["plot"])
    register(folder)
    register(folder, by_side=True)


def register(folder: Path, **parameters: Any) -> str:
    """Register another version; give its reference. With the same parameters it is the version that is there."""
    with clew.open_workspace(folder) as session:
        return session.run(folder / "pipeline.py", **parameters).models[0]


def endpoint(folder: Path, model: str = "plot@1", name: str = ENDPOINT, *, entity: str | None = "plot") -> None:
    """Create an endpoint, at the beginning of the data's time."""
    with clew.open_workspace(folder) as session:
        create_endpoint(session, name, model, entity_column=entity, occurred_at=START)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace that tests copy, since training takes a second."""
    folder = tmp_path_factory.mktemp("template")
    make_workspace(folder)
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """A workspace of the test's own, with two versions and no endpoint."""
    path = tmp_path / "work"
    shutil.copytree(template, path)
    return path


@contextlib.contextmanager
def serving(
    folder: Path, *names: str, data_clock: bool = False, on_advance: Callable[[datetime], None] = lambda _now: None
) -> Iterator[Server]:
    """A server's state in this process; each test runs its own event loop."""
    with clew.open_workspace(folder) as session:
        server = Server(session, names, "test", on_advance=on_advance)
        if data_clock:
            server.clock = DataClock()
            server.clock.move(START)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def journalled(folder: Path) -> tuple[list[Prediction], list[Outcome]]:
    """All that is in the journal now."""
    found, _ = JournalReader(folder / ".clew" / "journal").read()
    return [one for one in found if isinstance(one, Prediction)], [one for one in found if isinstance(one, Outcome)]


class Reply:
    """An answer of the application."""

    def __init__(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.status, self.headers, self.content = status, headers, content

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class Caller:
    """Calls an ASGI application without a network, so that a test says exactly what comes when."""

    def __init__(self, server: Server, **settings: Any) -> None:
        self.app = App(server, **settings)

    async def __call__(
        self, method: str, path: str, body: Any = b"", headers: Mapping[str, str] | None = None, *, parts: int = 1
    ) -> Reply:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        size = -(-len(content) // parts) or 1
        chunks = [content[at : at + size] for at in range(0, len(content), size)] or [b""]
        messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": chunk, "more_body": number < len(chunks) - 1}
            for number, chunk in enumerate(chunks)
        ]
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        named = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
        await self.app({"type": "http", "method": method, "path": path, "headers": named}, receive, send)
        return Reply(
            sent[0]["status"],
            {name.decode(): value.decode() for name, value in sent[0]["headers"]},
            b"".join(message.get("body", b"") for message in sent[1:]),
        )

    async def predict(self, rows: Any, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self("POST", "/invocations", {"dataframe_records": rows}, named)


def run(test: Callable[[], Awaitable[T]]) -> T:
    """Run a test's coroutine; one that hangs fails."""

    async def limited() -> T:
        return await asyncio.wait_for(test(), 60)

    return asyncio.run(limited())


class Process:
    """`clew serve` as a process."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.log = folder / "serve.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "clew.cli", "serve", *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "CLEW_WORKSPACE": str(folder), **environment},
                cwd=folder,
            )
        self.port = 0

    def wait(self, seconds: float = 60) -> int:
        """Wait until it says where it is; give the port."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            said = self.log.read_text()
            if " at http://" in said:
                self.port = int(said.split(" at http://")[1].split()[0].rsplit(":", 1)[1])
                return self.port
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"the server didn't start: {self.log.read_text()}")

    def stop(self) -> int:
        """SIGTERM; give the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)


class Client:
    """A connection that is kept alive."""

    def __init__(self, port: int, **headers: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def __call__(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        self.connection.request(
            method, path, content, {"content-type": "application/json", **self.headers, **(headers or {})}
        )
        answer = self.connection.getresponse()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    def predict(self, rows: Any, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = self("POST", "/invocations", {"dataframe_records": rows}, named)
        assert reply.status == 200, reply.content
        return reply.json

    def clock(self, day: datetime) -> Any:
        reply = self("POST", "/clock", {"now": day.isoformat()})
        assert reply.status == 200, reply.content
        return reply.json

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.connection.close()


def label(prediction_id: str, value: Any, at: datetime) -> dict[str, Any]:
    """The truth about a prediction."""
    named = {"prediction_id": prediction_id, "name": "price", "kind": "label"}
    return {**named, "value": value, "occurred_at": at.isoformat()}


def day(number: int) -> datetime:
    """The days of the data's time."""
    return START + timedelta(days=number)
