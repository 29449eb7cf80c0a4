"""Times, processes and bytes on disk, measured so that a shared and noisy machine does little harm.

What is compared is run in turns in the same minutes, in alternating order, and its medians are taken.
"""

import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

T = TypeVar("T")
MB: Final = 1e6
_LAUNCHER: Final = """
import json, os, sys, time
out, command = sys.argv[1], sys.argv[2:]
with open(out + ".said", "wb") as said:
    nothing = os.open(os.devnull, os.O_RDWR)
    started = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=[
        (os.POSIX_SPAWN_DUP2, nothing, 0), (os.POSIX_SPAWN_DUP2, nothing, 1),
        (os.POSIX_SPAWN_DUP2, said.fileno(), 2)])
    _, status, used = os.wait4(pid, 0)
    wall = time.perf_counter() - started
with open(out, "w") as file:
    json.dump({"code": os.waitstatus_to_exitcode(status), "wall": wall,
               "cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss * 1024}, file)
"""


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, seconds of the processors (all threads), and the peak of memory, where it was taken."""

    wall: float
    cpu: float
    peak: int = 0


def timed(act: Callable[[], T]) -> tuple[Cost, T]:
    """What an act in this process costs, and what it returns."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    found = act()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu), found


def cost(act: Callable[[], object]) -> Callable[[], Cost]:
    """An act that returns what it costs; what it made is let go before the next one."""
    return lambda: timed(act)[0]


def in_turns(acts: Mapping[str, Callable[[], Cost]], rounds: int, *, warm: bool = True) -> dict[str, Cost]:
    """The median costs of acts that are run in turns; one round before, to warm up, isn't counted."""
    found: dict[str, list[Cost]] = {name: [] for name in acts}
    for turn in range(-1 if warm else 0, rounds):
        for name in acts if turn % 2 == 0 else reversed(list(acts)):
            taken = acts[name]()
            if turn >= 0:
                found[name].append(taken)
    return {name: median(costs) for name, costs in found.items()}


def median(costs: Sequence[Cost]) -> Cost:
    """The median of each figure; of the memory the greatest."""
    return Cost(
        statistics.median(one.wall for one in costs),
        statistics.median(one.cpu for one in costs),
        max(one.peak for one in costs),
    )


def process(command: Sequence[str | os.PathLike[str]], folder: Path, settings: Mapping[str, str]) -> Cost:
    """What a whole process costs, its start included. Raises RuntimeError with what it said when it fails.

    A small launcher starts it: a child of this process would be credited with this process's own peak of memory.
    """
    out = folder.parent / f"{folder.name}-cost.json"
    launch = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(out), *(os.fspath(word) for word in command)]
    subprocess.run(launch, cwd=folder, env=os.environ | dict(settings), check=True)
    found: dict[str, Any] = json.loads(out.read_text())
    said = Path(f"{out}.said")
    words = said.read_text(errors="replace")[-2000:]
    out.unlink()
    said.unlink()
    if found.pop("code"):
        raise RuntimeError(f"{' '.join(map(str, command))} failed: {words}")
    return Cost(**found)


def on_disk(folder: Path) -> int:
    """Bytes that a folder takes: of each file its length or the blocks it holds, whichever is more; links once."""
    seen, total = set(), 0
    for place, _, names in os.walk(folder):
        for name in names:
            info = os.lstat(Path(place) / name)
            if info.st_ino not in seen:
                seen.add(info.st_ino)
                total += max(info.st_size, info.st_blocks * 512)
    return total


def fresh(folder: Path) -> Path:
    """An empty folder of this name."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def copy_of(folder: Path, name: str) -> Path:
    """A copy of a folder, beside it, in the place of an earlier one."""
    target = folder.parent / name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    return target
