"""joblib: `speed`, `stale` or `table` in a folder; figures to stdout as JSON. Uses nothing but joblib (and polars)."""

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

joblib: Any = importlib.import_module("joblib")

STEPS, WIDTH = 100, 1000


def one(x: int, k: int) -> int:
    return x + k - k + 1


def same(x: int, k: int) -> int:
    return x + k - k


def timed(act: Any) -> dict[str, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    act()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def speed(folder: Path) -> dict[str, Any]:
    memory = joblib.Memory(folder / "cache", verbose=0)
    cached_one, cached_same = memory.cache(one), memory.cache(same)

    def chain(k: int) -> None:
        x = 0
        for _ in range(STEPS):
            x = cached_one(x, k)

    cached_one(0, 1000)
    found = {"start": {"cpu": time.process_time(), "wall": 0.0}}
    chain(0)
    found |= {"first": timed(lambda: chain(1)), "cached": timed(lambda: chain(1))}
    with joblib.Parallel(n_jobs=2) as pool:
        pool(joblib.delayed(cached_same)(x, 0) for x in range(WIDTH))
        found["map"] = timed(lambda: pool(joblib.delayed(cached_same)(x, 1) for x in range(WIDTH)))
        found["plain map"] = timed(lambda: pool(joblib.delayed(same)(x, 1) for x in range(WIDTH)))
    return found


def stale(folder: Path) -> dict[str, Any]:
    sys.path.insert(0, str(folder))
    steps = importlib.import_module("steps")
    memory = joblib.Memory(folder / "cache", verbose=0)
    return {"value": memory.cache(steps.one)(1)}


def table(folder: Path, rows: str) -> dict[str, Any]:
    sys.path.insert(0, str(Path(__file__).parent))
    tables = importlib.import_module("table_steps")
    memory = joblib.Memory(folder / "cache", verbose=0)

    def steps() -> None:
        made = memory.cache(tables.make)(int(rows))
        memory.cache(tables.summed)(memory.cache(tables.scaled)(made))

    return {"first": timed(steps), "cached": timed(steps)}


if __name__ == "__main__":
    act, where, *more = sys.argv[1:]
    print(json.dumps({"speed": speed, "stale": stale, "table": table}[act](Path(where), *more)))
