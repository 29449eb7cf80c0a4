"""Requests a second of `clew serve` over loopback: every prediction is journalled, durably, before it is answered.

    python scripts/bench_parts/serving.py [--seconds 5] [--house-price WORKSPACE]

Serves a model whose own work costs nothing, and the endpoint `house-price` of a workspace, if one is given. The loader
is one asyncio process with raw sockets that sends the next request of a connection when the last was answered. Prints
a table (requests a second, median and 99% latency, CPU of server and loader a request), then JSON.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PIPELINE = """
import numpy as np
import polars as pl
import clew


class Sum:
    def predict(self, rows):
        return rows["a"].to_numpy() + rows["b"].to_numpy()


@clew.step
def known(rows: pl.DataFrame) -> pl.DataFrame:
    return rows


@clew.step
def train(rows: pl.DataFrame) -> clew.Model:
    return clew.Model(Sum(), example=rows.select("a", "b", "c", "d", "e", "f", "g", "h"))


@clew.step
def evaluate(model: clew.Model) -> clew.Evaluation:
    return clew.Evaluation({"none": 0.0})


@clew.pipeline
def sums(rows: pl.DataFrame = clew.dataset("rows@latest")) -> None:
    rows = known(rows)
    model = train(rows)
    clew.register("sum", model=model, evaluation=evaluate(model), train=rows, test=rows, target="y")
"""


async def load(port: int, body: bytes, path: str, connections: int, seconds: float) -> tuple[int, list[float]]:
    """Requests answered, and the seconds that each took."""
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    until = time.perf_counter() + seconds
    times: list[float] = []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (begun := time.perf_counter()) < until:
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer.decode())
            length = answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
            await reader.readexactly(int(length))
            times.append(time.perf_counter() - begun)
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return len(times), sorted(times)


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(workspace: Path, endpoint: str, row: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
    environment = {**os.environ, "CLEW_WORKSPACE": str(workspace)}
    command = [sys.executable, "-m", "clew.cli", "serve", endpoint, "--port", "0", "--writer", "bench"]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline().split(" at http://")[1].split()[0].rsplit(":", 1)[1])
        body = json.dumps({"dataframe_records": [row]}).encode()
        found = []
        for path, payload in (("/ping", b""), ("/invocations", body)):
            for connections in (1, 16):
                sent = payload or b"{}"
                asyncio.run(load(port, sent, path, connections, 0.5) if payload else ping(port, connections, 0.5))
                before, mine = cpu_of(server.pid), time.process_time()
                call = load(port, sent, path, connections, seconds) if payload else ping(port, connections, seconds)
                count, times = asyncio.run(call)
                found.append(
                    {
                        "endpoint": endpoint,
                        "path": path,
                        "connections": connections,
                        "requests_per_second": round(count / seconds),
                        "median_ms": round(times[len(times) // 2] * 1e3, 2),
                        "p99_ms": round(times[int(len(times) * 0.99)] * 1e3, 2),
                        "server_cpu_us": round((cpu_of(server.pid) - before) / count * 1e6),
                        "loader_cpu_us": round((time.process_time() - mine) / count * 1e6),
                    }
                )
        return found
    finally:
        server.terminate()
        server.wait()


async def ping(port: int, connections: int, seconds: float) -> tuple[int, list[float]]:
    """GET /ping: what HTTP alone costs."""
    until = time.perf_counter() + seconds
    times: list[float] = []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (begun := time.perf_counter()) < until:
            writer.write(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(15)
            times.append(time.perf_counter() - begun)
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return len(times), sorted(times)


def trivial(folder: Path) -> dict[str, Any]:
    import polars as pl

    import clew
    from clew.catalog import now
    from clew.serving import create_endpoint

    (folder / "sums.py").write_text(PIPELINE)
    values = [float(number % 17) for number in range(200)]
    with clew.open_workspace(folder, create=True) as session:
        session.add("rows", pl.DataFrame({**dict.fromkeys("abcdefgh", values), "y": values}))
        model = session.run(folder / "sums.py").models[0]
        create_endpoint(session, "sum", model, entity_column=None, occurred_at=now())
    return dict.fromkeys("abcdefgh", 1.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--house-price", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), "sum", trivial(Path(folder)), given.seconds)
    if given.house_price:
        row = {
            "sold_on": "1996-05-03",
            "bedrooms": 3,
            "bathrooms": 1,
            "half_bathrooms": 1,
            "rooms": 6,
            "living_area_m2": 120.5,
            "lot_m2": 600,
            "frontage_m": 15.8,
            "depth_m": 36.0,
            "year_built": 1947,
            "garage_m2": 29.7,
            "east_m": 503922,
            "north_m": 211769,
            "stories": "one",
            "wall": "metlvnyl",
            "garage": "detached",
        }
        found += measure(given.house_price, "house-price", row, given.seconds)
    for line in found:
        print("  ".join(f"{value:>12}" for value in line.values()))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
