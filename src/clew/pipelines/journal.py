"""The journal of a run: every finished step gets into the catalog, together with others where there are many."""

import time
from typing import Final

from clew.catalog.commands import FinishStep, FinishSteps
from clew.workspace import Workspace

_TOGETHER: Final = 0.05  # seconds that a finished step may wait for others
_MOST: Final = 500  # steps in one transaction


class Journal:
    """Steps that finished, on their way into the catalog."""

    def __init__(self, workspace: Workspace) -> None:
        self._catalog = workspace.catalog
        self._waiting: list[FinishStep] = []
        self._since = 0.0

    def add(self, step: FinishStep) -> None:
        """Take a step in; what waits too long, or is too much, is written."""
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting.append(step)
        if self.due() <= 0 or len(self._waiting) >= _MOST:
            self.write()

    def due(self) -> float:
        """In how many seconds what waits should be written; infinite when nothing does."""
        return self._since + _TOGETHER - time.monotonic() if self._waiting else float("inf")

    def write(self) -> None:
        """Write all that waits. Raises CatalogError."""
        steps, self._waiting = self._waiting, []
        if steps:
            self._catalog.execute(steps[0] if len(steps) == 1 else FinishSteps(steps=steps))
