"""What clew's own work costs around a step: cached, fresh, and a map of a thousand; with the limits that it has."""

from pathlib import Path
from typing import Final

from scripts.bench_parts.data_peers.measure import Cost, median
from scripts.bench_parts.data_peers.rows import Row, progress

from .clews import Builds

PART: Final = "a step"
_STEPS: Final = 200
_MAP: Final = 1000


def measure(folder: Path, rounds: int) -> list[Row]:
    """CPU of this process, the driver, and time on the clock, in a warm process."""
    builds = Builds(folder)
    builds.fresh("chain", length=_STEPS)  # warm
    builds.fresh("spread", "processes", width=_MAP)
    fresh, cached, wide, here = [], [], [], []
    for number in range(rounds):
        progress(f"{PART}: round {number + 1} of {rounds}")
        fresh.append(builds.fresh("chain", length=_STEPS))
        cached.append(builds.again("chain", length=_STEPS))
        wide.append(builds.fresh("spread", "processes", width=_MAP))
        here.append(builds.fresh("spread", width=_MAP))
    builds.close()
    return [
        _step("a cached step, CPU of the driver", cached, 1.0),
        _step("a fresh step that does nothing, CPU of the driver", fresh, 5.0),
        _map("a map of 1,000 such steps on a warm pool", wide, 1.0),
        _map("the same in one process", here, None),
    ]


def _step(name: str, costs: list[Cost], limit: float) -> Row:
    one = median(costs)
    note = f"{one.wall / _STEPS * 1000:.2f} ms on the clock; of a chain of {_STEPS}"
    return Row(PART, name, one.cpu / _STEPS * 1000, "ms", limit=limit, limit_text=f"≤ {limit:g} ms", note=note)


def _map(name: str, costs: list[Cost], limit: float | None) -> Row:
    one = median(costs)
    text = "" if limit is None else f"≤ {limit:g} s"
    return Row(PART, name, one.wall, "s wall", limit=limit, limit_text=text, note=f"CPU of the driver {one.cpu:.2f} s")
