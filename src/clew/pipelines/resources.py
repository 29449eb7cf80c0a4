"""What a step needs of a machine, and what the machine has."""

import os
import re
from dataclasses import dataclass
from typing import Final

from clew.errors import UsageError

_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_UNITS_OF_TWO: Final = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_AMOUNT: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?", re.IGNORECASE)


@dataclass(frozen=True)
class Resources:
    """Processors, graphics processors, and memory in bytes."""

    cpus: float = 1
    gpus: float = 0
    memory: int = 0

    def __add__(self, other: "Resources") -> "Resources":
        return Resources(self.cpus + other.cpus, self.gpus + other.gpus, self.memory + other.memory)

    def fits(self, whole: "Resources") -> bool:
        """Whether so much is there."""
        return self.cpus <= whole.cpus and self.gpus <= whole.gpus and self.memory <= whole.memory


ORDINARY: Final = Resources()


def needed(*, cpus: float, gpus: float, memory: int | str | None) -> Resources:
    """What a step says that it needs. Raises UsageError."""
    if not cpus > 0 or gpus < 0:
        raise UsageError(f"cpus={cpus}, gpus={gpus}: that can't be given", mend="cpus=1, gpus=0")
    return Resources(cpus, gpus, 0 if memory is None else _bytes(memory))


def _bytes(memory: int | str) -> int:
    found = _AMOUNT.fullmatch(str(memory).strip())
    units = _UNITS | _UNITS_OF_TWO
    if found is None or found[2].lower() not in units:
        raise UsageError(f"memory={memory!r} is no amount", mend='memory="4 GB"')
    return int(float(found[1]) * units[found[2].lower()])


def of_machine() -> Resources:
    """What this process may use of this machine."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = 1 if visible is None else len([one for one in visible.split(",") if one.strip()])
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Resources(cpus, gpus, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
