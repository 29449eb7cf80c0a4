"""A workspace and a folder of code of its own for each test, run in this process or in others."""

import atexit
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

import clew
from clew import pipelines
from clew.pipelines import RunResult, history, sources, watch
from clew.pipelines.engine import Mode
from clew.pipelines.results import Observer

HEAD = """
import clew
import polars as pl
"""


@functools.cache
def _empty() -> Path:
    """An empty workspace, made once in a process: its copies are ready sooner."""
    folder = Path(tempfile.mkdtemp(prefix="clew-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    clew.open_workspace(folder, create=True).close()
    return folder


# Started once, it forks: to import everything anew takes longer than what is to be tested.
_SERVER = """
import json, os, sys, traceback
import clew.session, clew.cli._app, clew.cli.run, clew.models, clew.pipelines.execute
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(asked["folder"])
        os.environ.update(asked["env"])
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        code = 1
        try:
            exec(asked["code"], {})
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@functools.cache
def _server() -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", _SERVER], stdin=-1, stdout=-1, text=True)

    def stop() -> None:
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        process.wait()

    atexit.register(stop)
    return process


@dataclass
class Child:
    """A process that was started; one at a time."""

    pid: int
    folder: Path

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal, unless it is done."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self) -> int:
        """Its exit code; below 0, the signal that ended it."""
        pipe = _server().stdout
        assert pipe is not None
        return int(pipe.readline())

    @property
    def stdout(self) -> str:
        """What it printed."""
        return (self.folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        """What it said."""
        return (self.folder / "stderr").read_text()


def start(code: str, folder: Path, **env: str) -> Child:
    """Python code in a process of its own, which has imported clew and nothing of the tests."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    places = {name: str(folder / name) for name in ("stdout", "stderr")}
    server.stdin.write(json.dumps({"code": code, "folder": str(folder), "env": env, **places}) + "\n")
    server.stdin.flush()
    return Child(int(server.stdout.readline()), folder)


class Project:
    """A folder with a workspace and code."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.code = folder / "code"
        self.code.mkdir(parents=True)
        shutil.copytree(_empty(), folder, dirs_exist_ok=True)
        self.workspace = clew.open_workspace(folder)

    def write(self, text: str, name: str = "pipeline.py") -> Path:
        """A file of code; the pipeline's file gets the usual imports."""
        path = self.code / name
        path.parent.mkdir(parents=True, exist_ok=True)
        body = textwrap.dedent(text)
        path.write_text(HEAD + body if path.suffix == ".py" else body)
        return path

    def run(
        self,
        name: str = "pipeline.py",
        /,
        *,
        executor: Mode = "inline",
        observer: Observer = lambda _name, _state, _why: None,
        **parameters: Any,
    ) -> RunResult:
        """Run a pipeline of the folder; in this process, unless told otherwise, since that begins sooner."""
        pipeline, path = pipelines.load(str(self.code / name))
        return pipelines.run(self.workspace, pipeline, path, parameters, executor=executor, observer=observer)

    def value(self, result: RunResult | str, step: str, output: str = "result", hint: Any = None) -> Any:
        """What a step of a run gave."""
        run_id = result if isinstance(result, str) else result.run
        return history.output(self.workspace, run_id, step, output, hint=hint)

    def start(self, *arguments: str, before: str = "") -> "Child":
        """The command line in a process of its own, begun."""
        code = f"{before}\nfrom clew.cli import main\nmain({list(arguments)!r})"
        return start(code, self.code, CLEW_WORKSPACE=str(self.folder))


def status(result: RunResult) -> dict[str, str]:
    """Each step's status."""
    return {step.name: step.status for step in result.steps}


def why(result: RunResult, step: str) -> str:
    """Why a step ran."""
    return next(one.why for one in result.steps if one.name == step)


def made(folder: Path) -> Iterator[Project]:
    """A project, and this process as it was before, once it is done with."""
    path, modules = list(sys.path), set(sys.modules)
    found = Project(folder)
    yield found
    found.workspace.close()
    sources.forget(found.code)
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None)
        if file and str(file).startswith(str(folder)):
            del sys.modules[name]
    watch.imported.clear()
    sys.path[:] = path


ROWS = pl.DataFrame({"id": [1, 2, 3, 4], "x": [1.0, 2.0, 3.0, 4.0], "y": [2.0, 4.0, 6.0, 8.0]})
