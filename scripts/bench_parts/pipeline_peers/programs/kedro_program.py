"""Kedro: `speed` or `stale` in a folder; figures to stdout as JSON. Uses nothing but Kedro."""

import importlib
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ |= {"KEDRO_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
io: Any = importlib.import_module("kedro.io")
parts: Any = importlib.import_module("kedro.pipeline")
runner: Any = importlib.import_module("kedro.runner")
STEPS, WIDTH = 100, 1000


def one(x: int) -> int:
    return x + 1


def total(*xs: int) -> int:
    return sum(xs)


def timed(act: Any) -> dict[str, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    act()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def run(nodes: list[Any], x0: int = 0) -> Any:
    catalog = io.DataCatalog({"x0": io.MemoryDataset(x0)})
    return runner.SequentialRunner().run(parts.pipeline(nodes), catalog)


def chain(steps: int) -> None:
    run([parts.node(one, f"x{n}", f"x{n + 1}", name=f"s{n}") for n in range(steps)])


def spread(width: int) -> None:
    nodes = [parts.node(one, "x0", f"y{n}", name=f"m{n}") for n in range(width)]
    run([*nodes, parts.node(total, [f"y{n}" for n in range(width)], "total")])


def speed(folder: Path) -> dict[str, Any]:
    del folder
    chain(1)
    found = {"start": {"cpu": time.process_time(), "wall": 0.0}}
    chain(STEPS)
    return found | {"first": timed(lambda: chain(STEPS)), "map": timed(lambda: spread(WIDTH))}


def stale(folder: Path) -> dict[str, Any]:
    sys.path.insert(0, str(folder))
    steps = importlib.import_module("steps")
    found = run([parts.node(steps.one, "x0", "x1")], x0=1)["x1"]
    return {"value": found.load() if hasattr(found, "load") else found}


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    act, where = sys.argv[1:]
    print(json.dumps({"speed": speed, "stale": stale}[act](Path(where))))
