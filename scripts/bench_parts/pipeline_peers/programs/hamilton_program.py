"""Hamilton: `speed` or `stale` in a folder; figures to stdout as JSON. Uses nothing but Hamilton."""

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["HAMILTON_TELEMETRY_ENABLED"] = "false"
driver: Any = importlib.import_module("hamilton.driver")
executors: Any = importlib.import_module("hamilton.execution.executors")
STEPS, WIDTH = 100, 1000
MAP = """
from hamilton.htypes import Collect, Parallelizable
def item(width: int) -> Parallelizable[int]:
    for number in range(width):
        yield number
def same(item: int, k: int) -> int:
    return item + k - k
def total(same: Collect[int]) -> int:
    return sum(same)
"""


def timed(act: Any) -> dict[str, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    act()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def module(folder: Path, name: str, text: str) -> Any:
    (folder / f"{name}.py").write_text(text)
    return importlib.import_module(name)


def speed(folder: Path) -> dict[str, Any]:
    sys.path.insert(0, str(folder))
    text = "def s0(k: int) -> int:\n    return k - k\n"
    text += "".join(f"def s{n}(s{n - 1}: int, k: int) -> int:\n    return s{n - 1} + k - k + 1\n"
                    for n in range(1, STEPS + 1))  # fmt: skip
    chain = driver.Builder().with_modules(module(folder, "chain", text)).with_cache(path=folder / "cache").build()
    chain.execute(["s1"], inputs={"k": 1000})
    found = {"start": {"cpu": time.process_time(), "wall": 0.0}}

    def run(k: int) -> None:
        chain.execute([f"s{STEPS}"], inputs={"k": k})

    run(0)
    found |= {"first": timed(lambda: run(1)), "cached": timed(lambda: run(1))}
    spread = (
        driver.Builder()
        .with_modules(module(folder, "spread", MAP))
        .enable_dynamic_execution(allow_experimental_mode=True)
        .with_remote_executor(executors.MultiThreadingExecutor(max_tasks=2))
        .with_cache(path=folder / "cache2")
        .build()
    )
    found["map"] = timed(lambda: spread.execute(["total"], inputs={"k": 1, "width": WIDTH}))
    return found


def stale(folder: Path) -> dict[str, Any]:
    sys.path.insert(0, str(folder))
    steps = importlib.import_module("steps")
    built = driver.Builder().with_modules(steps).with_cache(path=folder / "cache").build()
    return {"value": built.execute(["one"], inputs={"x": 1})["one"]}


if __name__ == "__main__":
    act, where = sys.argv[1:]
    print(json.dumps({"speed": speed, "stale": stale}[act](Path(where))))
