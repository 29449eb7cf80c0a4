"""Where steps are: where another process finds them, and what each may read."""

from pathlib import Path
from typing import Any

from clew.pipelines._step import Step
from clew.pipelines.context import RunContext
from clew.pipelines.reach import Reach
from clew.pipelines.work import Place


class Places:
    """The places of the steps of one run; each is looked for once."""

    def __init__(self, context: RunContext, reach: Reach) -> None:
        self._root = context.code.root
        self._folder = context.workspace.folder.resolve()
        self._reach = reach
        self._places: dict[int, Place | None] = {}
        self._may_read: dict[int, tuple[Path, ...]] = {}

    def readable(self, step: Step[..., Any]) -> tuple[Path, ...]:
        """What any step may read: what is named by content; and what it declares."""
        found = self._may_read.get(id(step))
        if found is None:
            root, folder = self._root, self._folder
            own = (folder / name for name in ("objects", "cache", "tmp"))
            found = self._may_read[id(step)] = (*own, *((root / name).resolve() for name in step.files))
        return found

    def of(self, step: Step[..., Any]) -> Place | None:
        """Where another process finds the step; None when it can't."""
        if id(step) not in self._places:
            self._places[id(step)] = self._look_for(step)
        return self._places[id(step)]

    def _look_for(self, step: Step[..., Any]) -> Place | None:
        for module in self._reach.modules():
            for name, value in vars(module).items():
                if value is step and module.__name__ != "__main__":
                    return Place(module.__name__, name)
        return None
