"""What an executor is."""

from dataclasses import dataclass
from typing import Any, Protocol

from clew.pipelines._step import Step
from clew.pipelines.work import Done, Task


@dataclass(eq=False)
class Work:
    """A task on its way: who gave it, and what is to be called."""

    task: Task
    step: Step[..., Any]
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

    def close(self) -> None:
        """Give everything back."""
