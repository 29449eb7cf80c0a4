"""clew's own pipelines, run in this process: a chain and a map of steps that do nothing."""

import time
from pathlib import Path
from typing import Any, Final

from scripts.bench_parts.data_peers.measure import Cost

import clew
from clew import pipelines
from clew.pipelines.engine import Mode

PIPELINE: Final = """
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


class Builds:
    """A workspace and a pipeline's file; opened, imported and loaded, so that runs are those of a warm process."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "pipeline.py"
        self.file.write_text(PIPELINE)
        self.workspace = clew.open_workspace(folder, create=True)
        self.last = 0

    def run(self, name: str, executor: Mode = "inline", **parameters: Any) -> Cost:
        """Run a pipeline; loading its file isn't counted."""
        pipeline, path = pipelines.load(f"{self.file}:{name}")
        cpu, wall = time.process_time(), time.perf_counter()
        pipelines.run(self.workspace, pipeline, path, parameters, executor=executor)
        return Cost(time.perf_counter() - wall, time.process_time() - cpu)

    def fresh(self, name: str, executor: Mode = "inline", **parameters: Any) -> Cost:
        """Run it with a parameter that it never had."""
        self.last += 1
        return self.run(name, executor, k=self.last, **parameters)

    def again(self, name: str, executor: Mode = "inline", **parameters: Any) -> Cost:
        """Run it with the parameter that it had last."""
        return self.run(name, executor, k=self.last, **parameters)

    def close(self) -> None:
        """End the pool, and close the workspace."""
        from clew.pipelines.executors.processes import close_pools

        close_pools()
        self.workspace.close()
