"""The engine: schedules of runs, one or several side by side, and the executor that they share."""

import time
from collections.abc import Callable
from typing import Final, Literal

from clew.pipelines.executors.base import Executor
from clew.pipelines.graph import Node
from clew.pipelines.resources import of_machine
from clew.pipelines.scheduler import Scheduler

Mode = Literal["auto", "inline", "processes", "ray"]
UnderWay = dict[str, list[tuple[Scheduler, Node]]]

_PAYS: Final = 1.0  # seconds: what takes less is done before the first process of a pool is there
_AHEAD: Final = 256  # calls that are prepared before there is room for them


class Engine:
    """Runs schedules to their end.

    Args:
        mode: where steps run. "auto" takes other processes when there is work for several that is worth starting them.
        start: starts the executor; called when it is first needed. It says whether it is warm already, too.
    """

    def __init__(self, mode: Mode, start: Callable[[], Executor], warm: Callable[[], bool] = lambda: False) -> None:
        self.under_way: UnderWay = {}
        self._mode = mode
        self._start = start
        self._warm = warm
        self._executor: Executor | None = None
        self._active: list[Scheduler] = []
        self._stay = 0  # calls to be made here before it is asked again whether others should help

    def add(self, scheduler: Scheduler) -> None:
        """Begin a run."""
        scheduler.parallel = self._executor is not None
        self._active.append(scheduler)

    @property
    def active(self) -> int:
        """How many runs are under way."""
        return len(self._active)

    def turn(self) -> list[Scheduler]:
        """Do what can be done now, or wait for what comes next; give the runs that ended, and forget them.

        Raises ClewError where clew's own part fails: catalog, store, executor.
        """
        moved = False
        for scheduler in self._active:
            moved |= self._advance(scheduler)
        self._collect(0.0 if moved else min((one.due() for one in self._active), default=0.0))
        for scheduler in self._active:
            if scheduler.journal.due() <= 0 or not moved:
                scheduler.journal.write()
        ended = [one for one in self._active if one.ended]
        self._active = [one for one in self._active if not one.ended]
        return ended

    def _advance(self, scheduler: Scheduler) -> bool:
        """Begin what can begin; whether anything did."""
        executor = self._executor
        if executor is None:
            fresh = scheduler.look_ahead(2 if self._mode == "auto" and not self._stay else 1)
            if not fresh:
                return False
            executor = self._executor_for(scheduler)
            if executor is None:
                self._stay = max(0, self._stay - 1)
                if not scheduler.must_wait(fresh[0]):
                    scheduler.call_here(fresh[0])
                scheduler.put_back(0)
                return True
        return self._offer(scheduler, executor)

    def _executor_for(self, scheduler: Scheduler) -> Executor | None:
        """The executor, if it is to be used from now on."""
        fresh = scheduler.look_ahead(1)
        if self._mode == "inline" or scheduler.why_here(fresh[0]) is not None:
            return None
        if self._mode == "auto" and not self._pays(scheduler):
            return None
        self._executor = self._start()
        for one in self._active:
            one.parallel = True
        return self._executor

    def _pays(self, scheduler: Scheduler) -> bool:
        fresh = scheduler.look_ahead(1)
        if any(one.node.step.timeout is not None for one in fresh):
            return True  # only another process can be ended whatever it does
        if len(fresh) < 2 or of_machine().cpus < 2:
            return False
        seconds = 0.0 if self._warm() else scheduler.seconds_before()
        if self._warm() or seconds is None or seconds >= _PAYS:
            return True
        self._stay = scheduler.waiting
        return False

    def _offer(self, scheduler: Scheduler, executor: Executor) -> bool:
        moved = False
        for prepared in list(scheduler.look_ahead(_AHEAD)):
            if scheduler.error is not None:
                break
            if scheduler.must_wait(prepared):
                moved = True
            elif scheduler.why_here(prepared) is not None:
                scheduler.call_here(prepared)
                return True
            elif executor.offer(scheduler.as_work(prepared)):
                scheduler.begin(prepared)
                moved = True
            else:
                break
        return moved

    def _collect(self, seconds: float) -> None:
        """Take what others have done; wait for it at most so long."""
        if self._executor is not None and self._executor.busy:
            for work, done in self._executor.wait(None if seconds == float("inf") else seconds):
                scheduler, prepared = work.owner
                scheduler.take(prepared, done)
        elif 0 < seconds < float("inf"):
            time.sleep(seconds)

    def release(self) -> None:
        """Nothing more will be run."""
        if self._executor is not None:
            self._executor.release()

    def cancel(self) -> list[Scheduler]:
        """End all that is under way; give the runs that were."""
        if self._executor is not None:
            self._executor.cancel()
        active, self._active = self._active, []
        return active
