"""Rollouts: plans, evidence, decisions, and the controller that writes the routing table."""

from typing import TYPE_CHECKING

from clew._lazy import lazy

if TYPE_CHECKING:
    from clew.rollouts._decide import Decision, decide
    from clew.rollouts.controller import Controller
    from clew.rollouts.evidence import Evidence
    from clew.rollouts.operate import end, replay, start, status
    from clew.rollouts.plan import Plan

__all__ = [
    "Controller",
    "Decision",
    "Evidence",
    "Plan",
    "decide",
    "end",
    "replay",
    "start",
    "status",
]

__getattr__ = lazy(
    __name__,
    {
        "Controller": "clew.rollouts.controller",
        "Decision": "clew.rollouts._decide",
        "Evidence": "clew.rollouts.evidence",
        "Plan": "clew.rollouts.plan",
        "decide": "clew.rollouts._decide",
        "end": "clew.rollouts.operate",
        "replay": "clew.rollouts.operate",
        "start": "clew.rollouts.operate",
        "status": "clew.rollouts.operate",
    },
)
