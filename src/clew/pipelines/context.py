"""What belongs to one run, and what is known of a call of it before it is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from clew.catalog import now
from clew.data import Snapshot
from clew.pipelines import project
from clew.pipelines.graph import Node
from clew.pipelines.handing import Arguments
from clew.pipelines.results import RunResult
from clew.pipelines.values import Stored
from clew.workspace import Workspace


@dataclass
class RunContext:
    """What a step of clew's own may use: the workspace, the run, and what stands behind each handle."""

    workspace: Workspace
    run_id: str
    criteria: tuple[Any, ...]
    code: project.Project
    environment_id: str
    snapshots: dict[str, Snapshot | Stored]
    occurred_at: datetime
    result: RunResult
    trial: bool = False
    """Whether this is a trial of a sweep, which registers nothing."""


@dataclass(eq=False)
class Prepared:
    """A call of which all is known that its key is made of."""

    node: Node
    arguments: Arguments
    parts: dict[str, Any]
    key: str
    doubts: list[str]
    values: Mapping[str, str]
    why: str = ""
    log: str = ""
    attempts: int = 0
    after: int = 0  # how many calls this process had made when the key was
    claimed: bool = False  # whether whoever needs the same waits for this one
    started: datetime = field(default_factory=now)

    @property
    def cacheable(self) -> bool:
        """Whether its result may be taken from the cache, and kept there."""
        return self.node.step.cache and not self.doubts
