"""A process that runs steps for another one: it loads the frozen code once, and then does what it is sent.

It ends when the process that started it does, whatever a step is doing then.
"""

import atexit
import faulthandler
import importlib
import os
import pickle
import platform
import shutil
import signal
import sys
import tempfile
import threading
import tomllib
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from clew.data import Snapshot
from clew.data import find as find_snapshot
from clew.errors import ClewError, UsageError
from clew.pipelines import state, work
from clew.pipelines._load import load_frozen
from clew.pipelines._step import Step
from clew.pipelines.project import ELSEWHERE, Project
from clew.pipelines.reach import Reach
from clew.workspace import FOLDER, Workspace


@dataclass(frozen=True)
class Setting:
    """What a process must have before it can run the steps of a run."""

    code: Project
    workspace: Path
    settings: str  # the workspace's own, for a machine that hasn't got its folder
    search: tuple[str, ...]  # sys.path
    rooms: tuple[str, ...]  # modules that store and load kinds of values
    folder: str
    host: str

    def enter(self) -> "Setting":
        """Go to the folder and the modules of that process; on another machine, lay them out. Gives what is here."""
        if self.host == platform.node():
            os.chdir(self.folder)
            sys.path[:] = self.search
            return self
        if "catalog" not in tomllib.loads(self.settings):
            raise UsageError("the workspace is a folder of another machine")
        here = Path(tempfile.mkdtemp(prefix="clew-code-"))
        atexit.register(shutil.rmtree, here, ignore_errors=True)
        code = self.code.laid_out(here / "code")
        workspace = here / "workspace"
        (workspace / FOLDER).mkdir(parents=True)
        (workspace / FOLDER / "config.toml").write_text(self.settings)
        sys.path[:0] = [str(code.root), str(code.root / ELSEWHERE)]
        os.chdir(code.root)
        return replace(self, code=code, workspace=workspace, host=platform.node())


class Worker:
    """The code of one run, loaded, and what its steps need.

    Raises what the code raises while it is imported.
    """

    def __init__(self, setting: Setting) -> None:
        self._code = setting.code
        self._workspace = Workspace(setting.workspace)
        self._snapshots: dict[str, Snapshot] = {}
        self._steps: dict[work.Place, Step[..., Any] | None] = {}
        for room in setting.rooms:
            importlib.import_module(room)
        load_frozen(setting.code)
        self._is_home = not setting.code.is_copy
        self._reach = Reach(setting.code)

    def do(self, task: work.Task) -> work.Done:
        """Run a task, if what the code holds here is what it held where the task's key was made."""
        assert task.place is not None
        step = self._find(task.place)
        if step is None:
            return work.Done(elsewhere=f"{task.place.module}.{task.place.name} isn't found there")
        if step.files and not self._is_home:
            return work.Done(elsewhere="it reads files beside the pipeline, which only this machine has")
        for name, value in task.env.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        for module in self._reach.modules():
            state.forget_memories(module)
        held = self._reach.of(step).values
        if held != task.values:
            other = sorted(name for name in {*held, *task.values} if held.get(name) != task.values.get(name))
            return work.Done(elsewhere=f"{', '.join(other[:3])} differs there")
        done = work.call(task, step, self._workspace.objects, self._code, self._snapshot)
        if done.touched:
            self._reach.settle()
        return done

    def _find(self, place: work.Place) -> Step[..., Any] | None:
        if place not in self._steps:
            found: Any = sys.modules.get(place.module)
            for name in place.name.split("."):
                found = getattr(found, name, None)
            self._steps[place] = found if isinstance(found, Step) else None
        return self._steps[place]

    def _snapshot(self, reference: str) -> Snapshot:
        if reference not in self._snapshots:
            self._snapshots[reference] = find_snapshot(self._workspace, reference)
        return self._snapshots[reference]


def pack(done: work.Done) -> bytes:
    """What was done, to be sent: of an exception, what is said of it."""
    if done.failure is not None:
        done.failure.error = None
        own = done.failure.own
        if own is not None:  # made anew there, of what can be sent
            done.failure.own = None
            return pickle.dumps((done, (type(own), own.message, own.mend)))
    return pickle.dumps((done, None))


def unpack(body: bytes) -> work.Done:
    """What was sent."""
    done: work.Done
    done, own = pickle.loads(body)  # noqa: S301 - from a process that this one started
    if own is not None and done.failure is not None:
        kind, message, mend = own
        error: ClewError = kind(message, mend=mend)
        done.failure.own = done.failure.error = error
    return done


def _serve(pipe: Connection) -> None:
    try:
        setting: Setting = pickle.loads(pipe.recv_bytes())  # noqa: S301 - from the process that started this one
        worker = Worker(setting.enter())
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's code raises when imported
        pipe.send_bytes(pickle.dumps(f"the code can't be loaded in another process: {type(error).__name__}: {error}"))
        return
    pipe.send_bytes(pickle.dumps(None))
    while True:
        body = pipe.recv_bytes()
        try:
            task = pickle.loads(body)  # noqa: S301
        except Exception as error:  # noqa: BLE001 - classes of the user's may do anything here
            done = work.Done(elsewhere=f"its arguments can't be sent: {error}")
        else:
            if task.timeout is not None:
                pipe.send_bytes(b"")  # its time begins
            done = worker.do(task)
        done.log += _native_output()
        pipe.send_bytes(pack(done))


def _native_output() -> str:
    """What was printed past Python: by libraries in C, and by programs that the step started."""
    sys.__stdout__.flush() if sys.__stdout__ else None
    size = os.fstat(1).st_size
    if not size:
        return ""
    body = os.pread(1, size, 0)
    os.ftruncate(1, 0)
    return body.decode(errors="replace")


def _end_with(life: int) -> None:
    os.read(life, 1)  # returns when the other end is closed: when that process is gone
    os._exit(1)


def main() -> None:
    """Begin; the two numbers are the pipe for work and the one that only lives."""
    pipe, life = (int(number) for number in sys.argv[1:])
    threading.Thread(target=_end_with, args=(life,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    faulthandler.enable()
    try:
        _serve(Connection(pipe))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)


if __name__ == "__main__":
    main()
