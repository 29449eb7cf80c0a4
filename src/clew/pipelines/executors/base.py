"""What an executor is."""

from dataclasses import dataclass
from typing import Any, Protocol

from clew.pipelines.resources import Resources
from clew.pipelines.work import Done, Task


@dataclass(eq=False)
class Work:
    """A task on its way: what it needs, and who gave it; or a task that was packed by another process."""

    task: Task | bytes
    step: str
    resources: Resources
    timeout: float | None
    owner: Any


class Executor(Protocol):
    """Runs tasks in other processes."""

    def offer(self, work: Work) -> bool:
        """Take the work, if there is room for it now."""

    def wait(self, seconds: float | None) -> list[tuple[Work, Done]]:
        """What was done since; waits for the first of it, at most so long (None: as long as it takes)."""

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""

    def cancel(self) -> None:
        """End all that is under way, and forget it."""

    def release(self) -> None:
        """The run has ended: give back what the next one couldn't use."""
