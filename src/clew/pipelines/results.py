"""What became of a run and its steps."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from clew.errors import StepError


class PrunedError(StepError):
    """A trial of a sweep was ended early, since it wouldn't have been among the best."""


Observer = Callable[[str, str, str], None]
"""Told of each step: its name, its state (running, ran, cached, failed, skipped), and why."""


@dataclass
class StepResult:
    """What became of a step."""

    name: str
    status: str
    why: str


@dataclass
class RunResult:
    """What became of a run."""

    run: str
    status: str
    steps: list[StepResult] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    offered: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What a trial would have registered: by model, what stands behind each argument of `clew.register`."""
