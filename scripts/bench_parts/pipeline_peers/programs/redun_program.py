"""redun: `speed` or `stale` in a folder; figures to stdout as JSON. Uses nothing but redun."""

import importlib
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

redun: Any = importlib.import_module("redun")
config: Any = importlib.import_module("redun.config")
redun_namespace = "bench"
STEPS, WIDTH = 100, 1000


@redun.task()  # type: ignore[untyped-decorator,unused-ignore]
def one(x: int, k: int) -> int:
    return x + k - k + 1


@redun.task()  # type: ignore[untyped-decorator,unused-ignore]
def same(x: int, k: int) -> int:
    return x + k - k


@redun.task()  # type: ignore[untyped-decorator,unused-ignore]
def total(xs: list[int]) -> int:
    return sum(xs)


@redun.task()  # type: ignore[untyped-decorator,unused-ignore]
def chain(k: int, steps: int) -> Any:
    x = 0
    for _ in range(steps):
        x = one(x, k)
    return x


@redun.task()  # type: ignore[untyped-decorator,unused-ignore]
def spread(k: int, width: int) -> Any:
    return total([same(x, k) for x in range(width)])


def timed(act: Any) -> dict[str, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    act()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def scheduler(folder: Path) -> Any:
    logging.disable(logging.CRITICAL)
    made = redun.Scheduler(config=config.Config({"backend": {"db_uri": f"sqlite:///{folder / 'redun.db'}"}}))
    made.load()
    return made


def speed(folder: Path) -> dict[str, Any]:
    made = scheduler(folder)
    made.run(chain(1000, 1))
    found = {"start": {"cpu": time.process_time(), "wall": 0.0}}
    made.run(chain(0, STEPS))
    return found | {
        "first": timed(lambda: made.run(chain(1, STEPS))),
        "cached": timed(lambda: made.run(chain(1, STEPS))),
        "map": timed(lambda: made.run(spread(1, WIDTH))),
    }


def stale(folder: Path) -> dict[str, Any]:
    sys.path.insert(0, str(folder))
    steps = importlib.import_module("steps")
    return {"value": scheduler(folder).run(redun.task(name="one", namespace="stale")(steps.one)(1))}


if __name__ == "__main__":
    act, where = sys.argv[1:]
    answer = {"speed": speed, "stale": stale}[act](Path(where))
    print(json.dumps(answer), flush=True)
    os._exit(0)  # its threads needn't be waited for
