"""What clew's own work costs around steps that do nothing: a cached one, a fresh one, and a map of a thousand.

Each figure is of a warm process (modules imported, workspace open, the pipeline's file loaded), the median of rounds.
CPU is this process's own (not that of a pool's processes), so that a busy machine shows in wall time alone.
"""

import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clew
from clew import pipelines
from clew.pipelines.engine import Mode

ROUNDS = 5
STEPS = 200
MAP = 1000
PIPELINE = """
import clew

def helper(x):
    return x + 1

@clew.step
def one(x: int, k: int) -> int:
    return helper(x)

@clew.step
def same(x: int, k: int) -> int:
    return x

@clew.step
def total(xs: list[int]) -> int:
    return sum(xs)

@clew.pipeline
def chain(k: int = 0, length: int = 1) -> None:
    x = 0
    for _ in range(length):
        x = one(x, k)

@clew.pipeline
def spread(k: int = 0, width: int = 1) -> None:
    total(same.map(range(width), k=k))
"""


@dataclass
class Timed:
    """What one run cost, in seconds."""

    cpu: float
    wall: float


class Bench:
    """A workspace and a pipeline's file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "pipeline.py"
        self.file.write_text(PIPELINE)
        self.workspace = clew.open_workspace(folder, create=True)
        self.last = 0

    def run(self, name: str, executor: Mode = "inline", **parameters: Any) -> Timed:
        """Run a pipeline; loading its file isn't counted."""
        pipeline, path = pipelines.load(f"{self.file}:{name}")
        cpu, wall = time.process_time(), time.perf_counter()
        pipelines.run(self.workspace, pipeline, path, parameters, executor=executor)
        return Timed(time.process_time() - cpu, time.perf_counter() - wall)

    def fresh(self, name: str, executor: Mode = "inline", **parameters: Any) -> Timed:
        """Run it with a parameter that it never had."""
        self.last += 1
        return self.run(name, executor, k=self.last, **parameters)


def medians(timed: list[Timed], each: int) -> tuple[float, float]:
    """CPU and wall, in milliseconds, of one of so many."""
    return (
        1000 * statistics.median(one.cpu for one in timed) / each,
        1000 * statistics.median(one.wall for one in timed) / each,
    )


def main() -> int:
    """Measure, print and write. Gives 1 when a limit is missed."""
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder:
        bench = Bench(Path(folder))
        bench.fresh("chain", length=STEPS)  # warm
        bench.fresh("spread", "processes", width=MAP)
        fresh, cached, wide, here = [], [], [], []
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS} …", file=sys.stderr)
            fresh.append(bench.fresh("chain", length=STEPS))
            cached.append(bench.run("chain", k=bench.last, length=STEPS))
            wide.append(bench.fresh("spread", "processes", width=MAP))
            here.append(bench.fresh("spread", width=MAP))
        bench.workspace.close()
    rows = {
        "a cached step, CPU ms": (medians(cached, STEPS)[0], 1.0),
        "a cached step, wall ms": (medians(cached, STEPS)[1], None),
        "a fresh step, CPU ms": (medians(fresh, STEPS)[0], 5.0),
        "a fresh step, wall ms": (medians(fresh, STEPS)[1], None),
        f"a map of {MAP:,}, pool, wall ms": (medians(wide, 1)[1], 1000.0),
        f"a map of {MAP:,}, pool, CPU ms": (medians(wide, 1)[0], None),
        f"a map of {MAP:,}, inline, wall ms": (medians(here, 1)[1], None),
    }
    missed = 0
    print(f"{'':32} {'median':>9} {'limit':>9}")
    for name, (value, limit) in rows.items():
        missed += limit is not None and value > limit
        verdict = "" if limit is None else "met" if value <= limit else "MISSED"
        print(f"{name:32} {value:9.2f} {limit or '':>9} {verdict}")
    found = {name: {"median": round(value, 3), "limit": limit} for name, (value, limit) in rows.items()}
    Path("bench-results/pipelines.json").write_text(json.dumps(found, indent=2) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
