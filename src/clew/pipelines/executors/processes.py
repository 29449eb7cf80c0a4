"""A pool of warm processes on this machine, each with the run's code loaded and a pipe of its own.

A process that dies takes one step with it, not the run; one whose time is over is ended alone. The pool stays for the
next run with the same code.
"""

import atexit
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import IO, Final

from clew.data import Snapshot
from clew.pipelines.executors.base import Work
from clew.pipelines.executors.worker import Setting, unpack
from clew.pipelines.handing import SnapshotAt
from clew.pipelines.resources import ORDINARY, Resources, of_machine
from clew.pipelines.work import Done, Failure, Task

_MOST_AHEAD: Final = 16  # short tasks that wait in a process's pipe
_SMALL: Final = 4096  # bytes of such a task: all of them together fit into the pipe, so that nobody waits for room
_SHORT: Final = 0.02  # seconds
_NOT_THE_CODES: Final = ("PYTEST_CURRENT_TEST",)


@dataclass(eq=False)
class _Sent:
    work: Work
    deadline: float | None = None


@dataclass(eq=False)
class _Process:
    process: "subprocess.Popen[bytes]"
    pipe: Connection
    life: int
    output: IO[bytes]
    loaded: bool = False
    done: int = 0
    began: float = 0.0  # when its present task did
    sent: deque[_Sent] = field(default_factory=deque)

    def end(self) -> None:
        """Kill it, and what it started; give back what it held."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.pipe.close()
        os.close(self.life)
        self.output.close()


class ProcessPool:
    """Processes that are started as they are needed, up to a number.

    Args:
        setting: the code, and what it needs.
        most: how many processes at most; one for each processor, if not given.
    """

    def __init__(self, setting: Setting, most: int | None = None) -> None:
        self.setting = setting
        self.most = most or max(1, int(of_machine().cpus))
        self._whole = replace(of_machine(), cpus=max(of_machine().cpus, self.most))
        self._environment = _environment()
        self._pid = os.getpid()
        self._processes: list[_Process] = []
        self._seconds: dict[str, float] = {}  # how long a step takes, lately
        self._unfit = ""
        self._back: deque[_Sent] = deque()  # to be sent to another process
        self._ready: list[tuple[Work, Done]] = []

    def fits(self, setting: Setting, most: int | None) -> bool:
        """Whether this pool can serve such a run too."""
        same = (setting.code.content_id, setting.code.root, setting.workspace, setting.search, setting.folder)
        mine = self.setting
        return (
            same == (mine.code.content_id, mine.code.root, mine.workspace, mine.search, mine.folder)
            and set(setting.rooms) <= set(mine.rooms)
            and self._pid == os.getpid()
            and self._environment == _environment()
            and (most is None or most == self.most)
            and not self._unfit
        )

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._ready or self._back) or any(one.sent for one in self._processes)

    def offer(self, work: Work) -> bool:
        """Take the work, if there is room for it now."""
        if self._unfit:
            self._ready.append((work, Done(elsewhere=self._unfit)))
            return True
        if self._back:
            return False
        return self._place(_Sent(work))

    def _place(self, sent: _Sent) -> bool:
        body = packed(sent.work.task)
        if isinstance(body, Done):
            self._ready.append((sent.work, body))
            return True
        target = self._idle(sent.work.resources) or self._ahead(sent.work, body)
        if target is None:
            return False
        if not target.sent:
            target.began = time.monotonic()
        target.sent.append(sent)
        try:
            target.pipe.send_bytes(body)
        except OSError:
            self._lost(target)
        return True

    def _idle(self, needed: Resources) -> _Process | None:
        """A process with nothing to do, when what is under way leaves enough of the machine."""
        under_way = [one.sent[0].work.resources for one in self._processes if one.sent]
        if under_way:
            taken = needed
            for one in under_way:
                taken += one
            if not taken.fits(self._whole):
                return None
        found = next((one for one in self._processes if not one.sent and one.loaded), None)
        found = found or next((one for one in self._processes if not one.sent), None)
        if found is None and len(self._processes) < self.most:
            found = self._start()
        return found

    def _ahead(self, work: Work, body: bytes) -> _Process | None:
        """A process that will soon have done what it has: a short task's way there takes longer than the task."""
        short = self._seconds.get(work.step, 1.0) < _SHORT
        if not short or len(body) > _SMALL or work.timeout is not None or work.resources != ORDINARY:
            return None
        able = [one for one in self._processes if one.loaded and len(one.sent) < _MOST_AHEAD and _is_short(one)]
        return min(able, key=lambda one: len(one.sent), default=None)

    def _start(self) -> _Process:
        ours, theirs = connection.Pipe()
        ends, life = os.pipe()
        output = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - lives as long as the process
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "clew.pipelines.executors.worker", str(theirs.fileno()), str(ends)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs.fileno(), ends),
                start_new_session=True,  # so that Ctrl-C reaches this process alone, and all it starts ends with it
            )
        except BaseException:
            for one in (ours, output):
                one.close()
            os.close(life)
            raise
        finally:
            theirs.close()
            os.close(ends)
        made = _Process(process, ours, life, output)
        self._processes.append(made)
        with contextlib.suppress(OSError):  # it is gone already: the next look at it says so
            ours.send_bytes(pickle.dumps(self.setting))
        return made

    def wait(self, seconds: float | None) -> list[tuple[Work, Done]]:
        """What was done since; waits for the first of it, at most so long (None: as long as it takes)."""
        while self._back and self._place(self._back[0]):
            self._back.popleft()
        if not self._ready:
            listening = {one.pipe: one for one in self._processes if one.sent or not one.loaded}
            deadlines = [one.sent[0].deadline for one in self._processes if one.sent and one.sent[0].deadline]
            if deadlines:
                until = max(0.0, min(deadlines) - time.monotonic())
                seconds = until if seconds is None else min(seconds, until)
            for pipe in connection.wait(list(listening), seconds):
                self._listen(listening[pipe])  # type: ignore[index]
            for one in [one for one in self._processes if one.sent]:
                deadline = one.sent[0].deadline
                if deadline is not None and time.monotonic() >= deadline:
                    self._overdue(one)
        ready, self._ready = self._ready, []
        return ready

    def _listen(self, process: _Process) -> None:
        """Take all that a process has said."""
        try:
            while process.pipe.poll(0):
                self._heard(process, process.pipe.recv_bytes())
        except (EOFError, OSError):
            self._lost(process)

    def _heard(self, process: _Process, body: bytes) -> None:
        if not process.loaded:
            fault = pickle.loads(body)  # noqa: S301 - from a process that this one started
            if fault is not None:
                self._give_up(fault)
            process.loaded = True
            process.began = time.monotonic()
            return
        if not body:
            timeout = process.sent[0].work.timeout
            process.sent[0].deadline = time.monotonic() + timeout if timeout else None
            return
        done, sent = unpack(body), process.sent.popleft()
        now = time.monotonic()
        name = sent.work.step
        self._seconds[name] = (self._seconds.get(name, now - process.began) + now - process.began) / 2
        process.began = now
        if done.elsewhere and process.done:
            # What an earlier step left in that process may be to blame: another one gets it, a new one at last.
            self._back += [sent, *process.sent]
            process.sent.clear()
            self._processes.remove(process)
            process.end()
            raise EOFError
        process.done += 1
        self._ready.append((sent.work, done))

    def _give_up(self, fault: str) -> None:
        """The code can't be loaded elsewhere: everything comes back, to be run where it was loaded."""
        self._unfit = fault
        for process in self._processes:
            self._back += process.sent
            process.sent.clear()
        self._ready += [(sent.work, Done(elsewhere=fault)) for sent in self._back]
        self._back.clear()

    def _lost(self, process: _Process) -> None:
        """A process has gone: what it did last is a failure, what waited there goes to another one."""
        if process not in self._processes:
            return
        self._processes.remove(process)
        with contextlib.suppress(subprocess.TimeoutExpired):  # it may have closed its pipe, and live on
            process.process.wait(1)
        if not process.loaded:
            said = _tail(process)
            process.end()
            self._back += process.sent
            self._give_up(f"a process with the code ended while it was started{': ' if said else ''}{said}")
            return
        self._ended(process, _how_it_ended(process.process.poll()), "ProcessDied")

    def _overdue(self, process: _Process) -> None:
        self._processes.remove(process)
        timeout = process.sent[0].work.timeout
        self._ended(process, f"it took longer than {timeout:g} s, its timeout, and was ended", "TimeoutError")

    def _ended(self, process: _Process, what: str, kind: str) -> None:
        sent, *others = process.sent or [None]
        self._back += [one for one in others if one is not None]
        said = _tail(process)
        process.end()
        if sent is not None:
            self._ready.append((sent.work, Done(failure=Failure(kind, f"{what}\n"), log=said)))

    def cancel(self) -> None:
        """End all that is under way, and forget it; idle processes stay."""
        for process in [one for one in self._processes if one.sent or not one.loaded]:
            self._processes.remove(process)
            process.end()
        self._back.clear()
        self._ready.clear()

    def release(self) -> None:
        """Nothing: the processes stay for the next run."""

    def close(self) -> None:
        """End all processes."""
        if self._pid == os.getpid():  # in a child that was forked they are somebody else's
            self.cancel()
            for process in self._processes:
                process.end()
            self._processes.clear()


def _is_short(process: _Process) -> bool:
    return all(sent.work.resources == ORDINARY and sent.work.timeout is None for sent in process.sent)


def packed(task: Task | bytes) -> bytes | Done:
    """The task as it is sent; or why it can't be."""
    if isinstance(task, bytes):
        return task
    given = {
        name: SnapshotAt(value.reference) if isinstance(value, Snapshot) else value
        for name, value in task.arguments.values.items()
    }
    try:
        return pickle.dumps(replace(task, arguments=replace(task.arguments, values=given)))
    except Exception as error:  # noqa: BLE001 - classes of the user's may do anything here
        return Done(elsewhere=f"its arguments can't be sent: {error}")


def _tail(process: _Process) -> str:
    process.output.seek(0)
    return process.output.read()[-20_000:].decode(errors="replace")


def _how_it_ended(code: int | None) -> str:
    if code is None:
        return "the process that ran it closed its pipe"
    if code >= 0:
        return f"the process that ran it ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (the machine may have been out of memory)" if name == "SIGKILL" else ""
    return f"the process that ran it was ended by {name}{hint}"


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _NOT_THE_CODES}


_kept: list[ProcessPool] = []


def pool_for(setting: Setting, most: int | None = None) -> ProcessPool:
    """The pool that the last run left, if it has the same code loaded; else a new one."""
    if _kept and not _kept[0].fits(setting, most):
        _kept.pop().close()
    if not _kept:
        _kept.append(ProcessPool(setting, most))
    return _kept[0]


def is_warm(setting: Setting, most: int | None = None) -> bool:
    """Whether the last run left such a pool."""
    return bool(_kept) and _kept[0].fits(setting, most)


def close_pools(pools: Iterable[ProcessPool] = _kept) -> None:
    """End the processes that wait for another run."""
    for pool in pools:
        pool.close()
    _kept.clear()


atexit.register(close_pools)
