"""A thread that does one thing after the other, and doesn't keep the process alive."""

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple


class _Job(NamedTuple):
    call: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    tell: Callable[[Any], None]


class Worker:
    """Runs calls in order, in a daemon thread: a model that hangs must not keep the server from stopping.

    A thread pool's threads are waited for when the process ends, and its futures cost more than a small model.
    """

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True).start()

    def run(self, call: Callable[[], Any], loop: asyncio.AbstractEventLoop, tell: Callable[[Any], None]) -> None:
        """Call in the thread, then `tell` the result on the loop. The call must not raise."""
        self._jobs.put(_Job(call, loop, tell))

    def close(self) -> None:
        """End the thread once what was put before is done."""
        self._jobs.put(None)


def _work(jobs: "SimpleQueue[_Job | None]") -> None:
    limited = False
    while (job := jobs.get()) is not None:
        limited = limited or _limit_threads()
        found = job.call()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            job.loop.call_soon_threadsafe(job.tell, found)
        del job, found  # nothing of a model stays here while the thread waits


def _limit_threads() -> bool:
    """Let OpenMP use one thread when it is called from here; give whether there was anything to limit.

    A request's few rows gain nothing from several threads, and these spin on cores that others want: one row of a
    boosted model took 18 ms so on two busy cores, and 2 ms with one thread. The setting is this thread's own.
    """
    control = sys.modules.get("threadpoolctl")  # loaded by scikit-learn
    if control is None:
        return False
    control.threadpool_limits(limits=1, user_api="openmp")
    return True
