"""Ending trials early: what the calls of one step give on the way says whether the rest is worth its time."""

import re
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from clew.catalog import Catalog
from clew.catalog.tables import builds
from clew.pipelines.results import Observer, PrunedError
from clew.pipelines.sampling import Sampling
from clew.pipelines.scheduler import Scheduler
from clew.pipelines.values import plain

ENDED: Final = "ended early: "
_DONE: Final = ("ran", "cached")


class Pruning:
    """Watches the trials that are under way.

    Args:
        sampling: decides.
        step: the step whose calls give a number; None where no trial is to be ended.
    """

    def __init__(self, sampling: Sampling, step: str | None) -> None:
        self._sampling = sampling
        self._step = step
        self._schedules: dict[int, tuple[Any, Scheduler]] = {}
        self._new: list[tuple[Any, str, int]] = []
        self._given: dict[int, dict[int, float]] = {}

    def observer(self, asked: Any) -> Observer:
        """What is to be told of the steps of a trial."""

        def observe(name: str, state: str, why: str) -> None:
            del why
            at = None if self._step is None or state not in _DONE else place(name, self._step)
            if at is not None:
                self._new.append((asked, name, at))

        return observe

    def begun(self, asked: Any, schedule: Scheduler) -> None:
        """A trial is under way."""
        self._schedules[asked.number] = (asked, schedule)

    def look(self) -> None:
        """Take what the steps gave since; end the trials that are hopeless: what runs of them ends, no more begins."""
        new, self._new = self._new, []
        for asked, name, at in new:
            _, schedule = self._schedules[asked.number]
            number = schedule.number_from(name)
            if number is None:
                continue
            self._given.setdefault(asked.number, {})[at] = number
            if self._sampling.is_hopeless(asked, number, at) and schedule.error is None and not schedule.ended:
                schedule.error = PrunedError(f"{ENDED}{name} gave {number:g}, and others did better there")

    def ended(self, asked: Any) -> dict[int, float]:
        """A trial is no longer under way; give what it gave on the way."""
        del self._schedules[asked.number]
        return self._given.pop(asked.number, {})


def place(name: str, step: str) -> int | None:
    """Which call of a step has this name, from 1; None where it is one of another step."""
    found = re.fullmatch(rf"{re.escape(step)}(?:-(\d+))?", name)
    return None if found is None else int(found[1] or 1)


def given(catalog: Catalog, runs: Sequence[str], step: str) -> dict[str, dict[int, float]]:
    """What the calls of a step gave in these runs, by run and place."""
    s, x, a = builds.steps.c, builds.step_artifacts.c, builds.artifacts.c
    rows = catalog.rows(
        sa.select(s.run_id, s.name, a.body)
        .join(builds.step_artifacts, x.step_id == s.id)
        .join(builds.artifacts, a.id == x.artifact_id)
        .where(s.run_id.in_(runs), s.name.startswith(step, autoescape=True), x.direction == "out", a.body.is_not(None))
    )
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        at, value = place(row.name, step), plain(row.body)
        if at is not None and isinstance(value, int | float):
            found.setdefault(str(row.run_id), {})[at] = float(value)
    return found
