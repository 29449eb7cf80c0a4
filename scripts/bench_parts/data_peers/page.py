"""What every page of figures says of the machine, and what people wrote on it."""

import os
import platform
from pathlib import Path
from typing import Any, Final

_SAID: Final = "## What is missed, and why"


def machine() -> dict[str, Any]:
    """Where this is measured."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def said_of_them(page: Path) -> str:
    """What people wrote about the figures of an earlier page: to be read again against the new ones."""
    try:
        _, found, said = page.read_text().partition(f"\n{_SAID}\n")
    except FileNotFoundError:
        return ""
    return f"\n{_SAID}\n{said}" if found else ""
