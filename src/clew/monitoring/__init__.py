"""Monitors: live inputs and predictions against training, errors against promises."""

from typing import TYPE_CHECKING

from clew._lazy import lazy

if TYPE_CHECKING:
    from clew.monitoring.monitor import Monitor, status
    from clew.monitoring.watch import Watch

__all__ = [
    "Monitor",
    "Watch",
    "status",
]

__getattr__ = lazy(
    __name__,
    {
        "Monitor": "clew.monitoring.monitor",
        "Watch": "clew.monitoring.watch",
        "status": "clew.monitoring.monitor",
    },
)
