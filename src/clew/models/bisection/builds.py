"""Builds with some of the changes: laid out, run in processes that wait for the next, and measured on the same rows."""

import hashlib
import io
import json
import os
import queue
import signal
import subprocess
import threading
import zipfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import numpy as np
import polars as pl

from clew._words import number
from clew.data import Snapshot
from clew.errors import OutsideError, UsageError
from clew.models.bisection.changes import Change
from clew.models.bisection.code import CodeDifference, Unit
from clew.models.bisection.judging import Judged
from clew.models.bisection.libraries import Libraries
from clew.models.bisection.metrics import Measured, Metric
from clew.models.bisection.search import BudgetSpentError, Cell, Unbuilt
from clew.models.bisection.tables import Atom, TableDifference
from clew.pipelines import values
from clew.workspace import Workspace

_BESIDE: Final = 2  # builds side by side; each may use several cores itself

Progress = Callable[[int, int, str], None]
"""Told how many builds are done, how many are allowed, and what the newest one has of the bad version."""


@dataclass
class Role:
    """What a parameter reads, in both versions."""

    good: Snapshot | None
    bad: Snapshot | None
    difference: TableDifference | None = None
    atoms: dict[str, Atom] = field(default_factory=dict)
    every: frozenset[str] = frozenset()
    """The keys of the changes that together make the bad version's table of the good one's."""

    @property
    def differs(self) -> bool:
        """Whether both versions read something, and not the same."""
        return self.good is not None and self.bad is not None and self.good.content_id != self.bad.content_id


@dataclass
class Differences:
    """All that can be crossed."""

    roles: dict[str, Role]
    parameters: dict[str, tuple[Any, Any]]
    """As they are handed to a pipeline, of the good and of the bad version; of one that has none, the other's."""
    code: CodeDifference
    units: dict[str, Unit]
    libraries: Libraries
    entries: tuple[str, str]
    pipelines: tuple[str, str]


class Builds:
    """Makes builds, and measures them.

    Args:
        workspace: where everything is.
        model: the model's name.
        differences: what differs.
        judged: the rows.
        metric: how a build is measured on them.
        run_id: the run that all builds are trials of.
        budget: how many there may be.
        folder: for temporary files.
        seconds: what takes longer is ended, and counts as a build that failed.
        progress: told of each build.
    """

    def __init__(
        self,
        workspace: Workspace,
        model: str,
        differences: Differences,
        judged: Judged,
        metric: Metric,
        *,
        run_id: str,
        budget: int,
        folder: Path,
        seconds: float,
        progress: Progress,
    ) -> None:
        self.made: list[dict[str, Any]] = []
        self._workspace = workspace
        self._model = model
        self._differences = differences
        self._judged = judged
        self._metric = metric
        self._run_id = run_id
        self._budget = budget
        self._folder = folder
        self._progress = progress
        self._known: dict[str, Measured | Unbuilt] = {}
        self._idle: dict[str, queue.SimpleQueue[_Process]] = {}
        self._processes: list[_Process] = []
        self._closed = False
        self._seconds = seconds
        self._lock = threading.Lock()
        self._rows = folder / "rows.arrow"
        judged.rows.write_ipc(self._rows, compression="uncompressed")
        self._truth = judged.rows[judged.target].to_numpy()

    def close(self) -> None:
        """End all processes, and what they started."""
        for process in self._processes:
            process.close()

    def __call__(self, cells: Sequence[Cell], extra: Mapping[str, Any] | None = None) -> list[Measured | Unbuilt]:
        """Build these, some side by side. Raises BudgetSpentError before the first, when they are too many."""
        requests = [self._request_or_why_not(cell, extra or {}) for cell in cells]
        keys = [msgspec.json.encode(one, order="deterministic").decode() for one in requests]
        new = {key: at for at, key in enumerate(keys) if key not in self._known}
        if len(self.made) + len(new) > self._budget:
            raise BudgetSpentError
        with ThreadPoolExecutor(max_workers=_BESIDE) as pool:
            done = {key: pool.submit(self._build, requests[at], cells[at]) for key, at in new.items()}
            try:
                for key, future in done.items():
                    self._known[key] = future.result()
            except BaseException:  # Ctrl-C, say: the threads wait for processes that nobody needs any more
                pool.shutdown(wait=False, cancel_futures=True)
                self._closed = True
                for process in list(self._processes):
                    process.kill()
                raise
        return [self._known[key] for key in keys]

    def _build(self, request: dict[str, Any], cell: Cell) -> Measured | Unbuilt:
        says = describe(cell)
        with self._lock:
            at = len(self.made)
            entry: dict[str, Any] = {"of the bad version": says}
            self.made.append(entry)
        out = self._folder / f"predictions-{at}.arrow"
        if "error" in request:
            answer = request
        else:
            answer = self._ask({**request, "out": str(out), "rows": str(self._rows), "parent": self._run_id})
        measured = self._measured(answer, out)
        if isinstance(measured, Unbuilt):
            entry["error"] = measured.error
        else:
            entry |= {"run": answer["run"], "fresh": answer["fresh"], "value": self._metric.shown(measured.value)}
        self._progress(len(self.made), self._budget, says)
        return measured

    def _measured(self, answer: dict[str, Any], out: Path) -> Measured | Unbuilt:
        if "error" in answer:
            return Unbuilt(answer["error"])
        predicted = pl.read_ipc(out)["prediction"]
        out.unlink()
        if len(predicted) != len(self._truth):
            return Unbuilt(f"it gives {len(predicted):,} predictions for {len(self._truth):,} rows")
        try:
            rows = self._metric.measure(self._truth, predicted.to_numpy())
        except UsageError as error:
            return Unbuilt(str(error))
        lacking = int((~np.isfinite(rows)).sum())
        if lacking:
            return Unbuilt(
                f"its {self._metric.name} is no number for {lacking:,} of {len(rows):,} rows: what it predicts there, "
                "or the truth, is none, or they can't be divided"
            )
        return Measured(rows, answer["predictions"])

    def _request_or_why_not(self, cell: Cell, extra: Mapping[str, Any]) -> dict[str, Any]:
        """What is asked of a process; {"error"} for tables that can't be mixed."""
        try:
            return self._request(cell, extra)
        except pl.exceptions.PolarsError as error:
            return {"error": f"the tables can't be mixed so: {error}", "of": describe(cell)}

    def _request(self, cell: Cell, extra: Mapping[str, Any]) -> dict[str, Any]:
        chosen = {one.key for change in cell for one in leaves(change)}
        differences = self._differences
        units = [unit for key, unit in differences.units.items() if key in chosen]
        all_bad = bool(units) and len(units) == len(differences.code.units)
        parameters = {
            name: bad if f"parameter {name}" in chosen else good for name, (good, bad) in differences.parameters.items()
        }
        return {
            "archive": str(self._archive(units)),
            "entry": differences.entries[all_bad],
            "pipeline": differences.pipelines[all_bad or differences.code.wiring in units],
            "settings": {**parameters, **extra},
            "pins": {name: self._pin(name, role, chosen) for name, role in differences.roles.items()},
            "model": self._model,
            "libraries": sorted(key.removeprefix("library ") for key in chosen if key.startswith("library ")),
        }

    def _archive(self, units: Sequence[Unit]) -> Path:
        files = self._differences.code.mixed(units)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in sorted(files.items()):
                archive.writestr(zipfile.ZipInfo(name), content)
        path = self._folder / f"code-{hashlib.sha256(buffer.getvalue()).hexdigest()[:16]}.zip"
        path.write_bytes(buffer.getvalue())
        return path

    def _pin(self, name: str, role: Role, chosen: set[str]) -> dict[str, Any]:
        atoms = [atom for key, atom in role.atoms.items() if key in chosen]
        whole = f"data {name}" in chosen or (role.every and role.every <= chosen)
        if role.bad is not None and (role.good is None or whole):
            return {"snapshot": role.bad.reference}
        assert role.good is not None
        if not atoms or role.difference is None:
            return {"snapshot": role.good.reference}
        mixed = values.store(self._workspace.objects, role.difference.mixed(atoms))
        return {"table": msgspec.to_builtins(mixed.spec)}

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            try:
                python = self._differences.libraries.python(set(request["libraries"]))
            except OutsideError as error:
                return {"error": str(error)}
            idle = self._idle.setdefault(python, queue.SimpleQueue())
        try:
            process = idle.get_nowait()
        except queue.Empty:
            with self._lock:
                if self._closed:
                    return {"error": "it was cancelled"}
                process = _Process(python, self._workspace.root, self._folder / f"build-{len(self._processes)}")
                self._processes.append(process)
        answer = process.ask(request, self._seconds)
        if process.is_alive:
            idle.put(process)
        return answer


def leaves(change: Change) -> list[Change]:
    """A change, or those that were taken together as one; each at any depth, so that all of them count."""
    if change.kind == "several":
        inner = change.about.get("all") or change.parts
        return [one for part in inner for one in leaves(part)]
    if change.kind in ("code", "libraries") and change.parts:
        return [one for part in change.parts for one in leaves(part)]
    return [change]


def describe(cell: Cell) -> str:
    """What a build has of the bad version, in words."""
    return "; ".join(sorted(change.says for change in cell)) or "nothing"


class _Process:
    """A process that builds, one request after the other."""

    def __init__(self, python: str, root: Path, folder: Path) -> None:
        folder.mkdir()
        clean = {name: value for name, value in os.environ.items() if name not in ("CLEW_WORKSPACE", "PYTHONPATH")}
        self._log = (folder / "log").open("w+b")
        self._process = subprocess.Popen(
            [python, "-m", "clew.models.bisection._worker", str(root), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=clean,
            cwd=folder,
            text=True,
            start_new_session=True,  # so that what its steps start can be ended with it
        )

    @property
    def is_alive(self) -> bool:
        """Whether it can take another request."""
        return self._process.poll() is None

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """One build; {"error"} when it failed, took too long, or the process died of it."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self.kill()

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            _pipe(self._process.stdin).write(json.dumps(request) + "\n")
            _pipe(self._process.stdin).flush()
            line = _pipe(self._process.stdout).readline()
            if line:
                answer: dict[str, Any] = json.loads(line)
                return answer
        except BrokenPipeError:
            pass
        finally:
            timer.cancel()
        self._process.wait()
        if late.is_set():
            return {"error": f"it wasn't done after {number(seconds)} s, and was ended (--build-seconds)"}
        self._log.seek(0)
        said = self._log.read()[-1000:].decode(errors="replace")
        return {"error": f"the process that built it ended with {self._process.returncode}:\n{said}"}

    def kill(self) -> None:
        """End it at once, with all that its steps started."""
        with suppress(ProcessLookupError, PermissionError):  # it is gone already
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it."""
        self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):
                _pipe(pipe).close()
        self._log.close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
