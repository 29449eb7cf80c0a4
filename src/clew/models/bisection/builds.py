"""Builds with some of the changes: laid out, run in processes that wait for the next, and measured on the same rows."""

import hashlib
import io
import json
import os
import queue
import subprocess
import threading
import zipfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import polars as pl

from clew.data import Snapshot
from clew.errors import OutsideError
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
        self._lock = threading.Lock()
        self._rows = folder / "rows.arrow"
        judged.rows.write_ipc(self._rows, compression="uncompressed")
        self._truth = judged.rows[judged.target].to_numpy()

    def close(self) -> None:
        """End all processes."""
        for process in self._processes:
            process.close()

    def __call__(self, cells: Sequence[Cell], extra: Mapping[str, Any] | None = None) -> list[Measured | Unbuilt]:
        """Build these, some side by side. Raises BudgetSpentError before the first, when they are too many."""
        requests = [self._request(cell, extra or {}) for cell in cells]
        keys = [msgspec.json.encode(one, order="deterministic").decode() for one in requests]
        new = {key: at for at, key in enumerate(keys) if key not in self._known}
        if len(self.made) + len(new) > self._budget:
            raise BudgetSpentError
        with ThreadPoolExecutor(max_workers=_BESIDE) as pool:
            done = {key: pool.submit(self._build, requests[at], cells[at]) for key, at in new.items()}
            for key, future in done.items():
                self._known[key] = future.result()
        return [self._known[key] for key in keys]

    def _build(self, request: dict[str, Any], cell: Cell) -> Measured | Unbuilt:
        says = describe(cell)
        with self._lock:
            number = len(self.made)
            entry: dict[str, Any] = {"of the bad version": says}
            self.made.append(entry)
        out = self._folder / f"predictions-{number}.arrow"
        answer = self._ask({**request, "out": str(out), "rows": str(self._rows), "parent": self._run_id})
        if "error" in answer:
            entry["error"] = answer["error"]
            self._progress(len(self.made), self._budget, says)
            return Unbuilt(answer["error"])
        predicted = pl.read_ipc(out)["prediction"].to_numpy()
        out.unlink()
        measured = Measured(self._metric.measure(self._truth, predicted), answer["predictions"])
        entry |= {"run": answer["run"], "fresh": answer["fresh"], "value": self._metric.shown(measured.value)}
        self._progress(len(self.made), self._budget, says)
        return measured

    def _request(self, cell: Cell, extra: Mapping[str, Any]) -> dict[str, Any]:
        chosen = {one.key for change in cell for one in leaves(change)}
        differences = self._differences
        units = [unit for key, unit in differences.units.items() if key in chosen]
        bad_entry = bool(units) and len(units) == len(differences.code.units)
        parameters = {
            name: bad if f"parameter {name}" in chosen else good for name, (good, bad) in differences.parameters.items()
        }
        return {
            "archive": str(self._archive(units)),
            "entry": differences.entries[bad_entry],
            "pipeline": differences.pipelines[bad_entry],
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
                process = _Process(python, self._workspace.root, self._folder / f"build-{len(self._processes)}")
                self._processes.append(process)
        answer = process.ask(request)
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
        )

    @property
    def is_alive(self) -> bool:
        """Whether it can take another request."""
        return self._process.poll() is None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """One build; {"error"} when it failed or the process died of it."""
        try:
            _pipe(self._process.stdin).write(json.dumps(request) + "\n")
            _pipe(self._process.stdin).flush()
            line = _pipe(self._process.stdout).readline()
            if line:
                answer: dict[str, Any] = json.loads(line)
                return answer
        except BrokenPipeError:
            pass
        self._process.wait()
        self._log.seek(0)
        said = self._log.read()[-1000:].decode(errors="replace")
        return {"error": f"the process that built it ended with {self._process.returncode}:\n{said}"}

    def close(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                _pipe(pipe).close()
            except BrokenPipeError:
                continue
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def first_or_raise(found: Measured | Unbuilt, what: str) -> Measured:
    """A build that must be there. Raises OutsideError, with what it said."""
    if isinstance(found, Unbuilt):
        raise OutsideError(
            f"{what} can't be built again: {found.error}",
            mend="clew model rebuild it alone, and see what it lacks",
        )
    return found
