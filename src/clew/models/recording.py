"""A thread for an existing script or notebook: it says what it uses and makes, and nothing of it is rewritten."""

import contextlib
import math
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

import polars as pl

from clew.catalog import now
from clew.catalog.commands import DescribeRun, EndRun, InputSpec, RegisterModel, StartRun, check_name
from clew.data import Snapshot, run_contracts
from clew.data import find as find_snapshot
from clew.errors import ClewError, OutsideError, RefusedError, UsageError
from clew.models import comparison as comparing
from clew.models._register import check_test, evaluation_of, identity, judge, packaged_signature
from clew.models.criteria import Criterion, NoWorseThanLive
from clew.models.evaluation import Evaluation, regression
from clew.models.leaks import leaks_of
from clew.models.model import Model
from clew.models.registry import ModelVersion, find
from clew.pipelines import alive, environment, project, values
from clew.pipelines.execute import shown
from clew.pipelines.origin import is_users
from clew.workspace import Workspace, open_folder

_INTERACTIVE = "interactive"
_NOTEBOOK = "notebook.py"


class Recording:
    """A run that says itself what it used; get one from `clew.record`."""

    def __init__(
        self,
        workspace: Workspace,
        run_id: str,
        name: str,
        *,
        parameters: dict[str, Any],
        accept: Sequence[Criterion | NoWorseThanLive],
        code: project.Project | None,
        occurred_at: datetime,
    ) -> None:
        self.workspace = workspace
        self.run_id = run_id
        self.name = name
        self.metrics: dict[str, float] = {}
        self._accept = tuple(accept)
        self._occurred_at = occurred_at
        self._snapshots: dict[str, Snapshot] = {}
        self._parameters = parameters
        self._code = code

    def use(self, reference: str, *, role: str | None = None) -> Snapshot:
        """A snapshot, declared as what this run read.

        Args:
            reference: such as "house-sales@latest"; what it names now is what is recorded.
            role: what it is used as; the dataset's name, if not given.

        Raises NotFoundError, and RefusedError where the role has another snapshot already, or where the snapshot breaks
        its dataset's contract.
        """
        snapshot = find_snapshot(self.workspace, reference)
        role = role or snapshot.dataset
        if role in self._snapshots:
            if self._snapshots[role].id != snapshot.id:
                raise RefusedError(
                    f"this run uses {self._snapshots[role].reference} as {role!r} already",
                    mend=f'name another role: use({reference!r}, role="…")',
                )
            return snapshot
        held = run_contracts.hold(self.workspace, {role: snapshot})
        self._describe(inputs={role: (reference, snapshot.id)})
        run_contracts.record(self.workspace, self.run_id, held)
        self._snapshots[role] = snapshot
        return snapshot

    def log_parameters(self, **parameters: Any) -> None:
        """Record parameters: plain values. Raises UsageError; RefusedError where one has another value already."""
        plain = {name: shown(name, value) for name, value in parameters.items()}
        for name, value in plain.items():
            if name in self._parameters and self._parameters[name] != value:
                raise RefusedError(
                    f"parameter {name!r} is {self._parameters[name]!r} already, and can't become {value!r}",
                    mend="record another run for other parameters",
                )
        self._describe(parameters=plain)
        self._parameters |= plain

    def log_metrics(self, **metrics: float) -> None:
        """Record metrics, by which the criteria judge; a later value takes the place of an earlier one.

        Raises UsageError for what is no number.
        """
        for name, value in metrics.items():
            try:
                self.metrics[name] = float(value)
            except (TypeError, ValueError) as error:
                raise UsageError(f"metric {name!r} is {value!r}, which is no number", mend="give a number") from error

    def register(
        self,
        model: Model,
        *,
        name: str | None = None,
        train: pl.DataFrame | None = None,
        test: pl.DataFrame | None = None,
        target: str | None = None,
        slices: Sequence[dict[str, Any]] = (),
        groups: Mapping[str, Sequence[str]] | None = None,
        subject: str | None = None,
        at: str | None = None,
    ) -> ModelVersion:
        """Register a version of a model; provenance `declared`. One that breaks a criterion is kept as refused.

        With `train`, `test` and `target` the rows are kept as proof, predictions on them as well, and live inputs
        are compared with them; of a number, `mae`, `mape` and `bias` are measured where they weren't logged.

        Args:
            model: the model.
            name: its name; that of the run, if not given.
            train: the rows that it was trained on.
            test: the rows that it was tested on.
            target: the column of `test` that holds the truth.
            slices: metrics by slice, such as `clew.models.by_slice` gives.
            groups: by a slice's name, the label of each test row.
            subject: the column that names who a row is about; the datasets' own, if not given.
            at: the column of the moment at which the model answers.

        Raises:
            UsageError: nothing was used, what is no model, or only some of `train`, `test` and `target`.
        """
        name = name or self.name
        check_name(name)
        if not isinstance(model, Model):
            raise UsageError(
                f"a {type(model).__name__} is no clew.Model",
                mend="clew.Model(estimator, example=rows) says what its inputs are",
            )
        if not self._snapshots:
            raise UsageError(
                f"{name} can't be registered before this run says what it used", mend='run.use("DATASET@latest")'
            )
        objects = self.workspace.objects
        stored = values.store(objects, model)
        inputs = [InputSpec(role=role, snapshot_id=one.id) for role, one in self._snapshots.items()]
        evaluations = []
        beside = None
        leaks = None
        judged = Evaluation(dict(self.metrics), list(slices), {key: list(one) for key, one in (groups or {}).items()})
        if train is not None and test is not None and target is not None:
            check_test(train, test, target, judged.groups)
            proof = values.store(objects, test)
            inputs += [
                InputSpec(role="train", artifact=values.store(objects, train).spec),
                InputSpec(role="test", artifact=proof.spec),
            ]
            self._measure(model, test, target)
            judged = replace(judged, metrics=dict(self.metrics))
            beside = comparing.with_live(self.workspace, name, model, test, target, stored.spec.content_id)
            leaks = leaks_of(
                model.signature,
                self._snapshots.values(),
                train=train, test=test, target=target, subject=subject, at=at,
            )  # fmt: skip
            evaluations.append(
                evaluation_of(
                    objects,
                    model,
                    judged,
                    train=train,
                    test=test,
                    proof=proof,
                    target=target,
                    beside=beside,
                    leaks=leaks,
                )
            )
        elif not (train is None and test is None and target is None):
            raise UsageError("train, test and target belong together", mend="give all three, or none")
        elif any(isinstance(one, NoWorseThanLive) for one in self._accept):
            raise UsageError(
                "without test rows the version can't be compared with the live one", mend="give train, test and target"
            )
        by = judge(self._accept, self.metrics, beside, leaks)
        code = None if self._code is None else self._code.content_id
        metrics = _finite(self.metrics)
        answer = self.workspace.catalog.execute(
            RegisterModel(
                model=name,
                run_id=self.run_id,
                artifact=stored.spec,
                identity=identity(
                    stored.spec.content_id,
                    values.store(objects, replace(judged, metrics=dict(self.metrics))).spec.content_id,
                    by.verdicts,
                    self._snapshots,
                    code,
                    environment.current().content_id,
                ),
                provenance="declared",
                signature=packaged_signature(model),
                metrics=metrics,
                verdicts=by.verdicts,
                refused_because=by.refused,
                inputs=inputs,
                evaluations=evaluations,
                occurred_at=self._occurred_at,
            )
        )
        return find(self.workspace, f"{name}@{answer['version']}")

    def _measure(self, model: Model, test: pl.DataFrame, target: str) -> None:
        if target in test.columns and test[target].dtype.is_numeric():
            predicted = model.predict(test)
            if predicted.dtype.kind in "iuf":
                self.metrics = {**regression(test[target].to_numpy(), predicted), **self.metrics}

    def _describe(self, **what: Any) -> None:
        self.workspace.catalog.execute(DescribeRun(run_id=self.run_id, **what))

    def complete_code(self, frame: FrameType) -> None:
        """Add what was imported, or typed, since the run began; of files that were there, the text of then counts.

        `clew.record` calls it when its block ends.
        """
        if self._code is None:
            return
        later = _code_of(frame)
        if later is None:
            return
        files = {**later.files, **self._code.files}
        if later.entry == _NOTEBOOK:
            files[_NOTEBOOK] = later.files[_NOTEBOOK]
        if files != self._code.files:
            whole = project.Project(later.root, later.entry, files, later.git_commit, later.git_dirty, later.places)
            self._describe(code_id=project.record(self.workspace, whole))


@contextlib.contextmanager
def record(
    name: str,
    *,
    workspace: Workspace | str | os.PathLike[str] | None = None,
    parameters: dict[str, Any] | None = None,
    accept: Sequence[Criterion | NoWorseThanLive] = (),
    occurred_at: datetime | None = None,
) -> Iterator[Recording]:
    """Give an existing script or notebook a thread: a run of provenance `declared`.

    The script's code (or the notebook's cells), the environment, and whatever the script declares are recorded; what
    it doesn't declare isn't. The run is `done` when the block ends, `failed` when it raises, `cancelled` by Ctrl-C,
    and `interrupted` when the process dies.

    Args:
        name: the run's name, and that of the models that it registers: such as "house-price".
        workspace: a workspace, or where one is; the nearest upwards, if not given.
        parameters: plain values.
        accept: criteria, declared before training, by which registered models are judged.
        occurred_at: when this run is, in the world; the clock's time, if not given.

    Raises NoWorkspaceError, UsageError.
    """
    check_name(name)
    frame = _caller()
    own = not isinstance(workspace, Workspace)
    opened = workspace if isinstance(workspace, Workspace) else open_folder(workspace)
    with contextlib.ExitStack() as stack:
        if own:
            stack.callback(opened.close)
        plain = {key: shown(key, value) for key, value in (parameters or {}).items()}
        when = occurred_at or now()
        code = _code_of(frame)
        if code is None:
            warnings.warn(
                f"the code of run {name!r} can't be recorded: it was typed where nobody keeps it "
                "(mend: put it into a file, or use IPython or a notebook)",
                stacklevel=3,
            )
        alive.mark_interrupted(opened)
        hold = stack.enter_context(alive.starting(opened))
        run_id = opened.catalog.execute(
            StartRun(
                name=name,
                pipeline=name,
                entry=_INTERACTIVE if code is None else code.entry,
                provenance="declared",
                code_id=None if code is None else project.record(opened, code),
                environment_id=environment.record(opened, environment.current()),
                parameters=plain,
                criteria=[criterion.describe() for criterion in accept],
                inputs={},
                occurred_at=when,
            )
        )
        hold(run_id)
        run = Recording(opened, run_id, name, parameters=plain, accept=accept, code=code, occurred_at=when)
        try:
            yield run
            run.complete_code(frame)
        except BaseException as error:
            # When the disk is full this can't be kept either: the lock is gone then, and the next start marks the run.
            with contextlib.suppress(OutsideError):
                opened.catalog.execute(_ended(run, error))
            raise
        opened.catalog.execute(EndRun(run_id=run_id, state="done", metrics=_finite(run.metrics)))


def _caller() -> FrameType:
    """The frame of the code that begins the block."""
    frame = sys._getframe(2)  # noqa: SLF001 - the only way to the caller
    while frame.f_back is not None and frame.f_code.co_filename == contextlib.__file__:
        frame = frame.f_back
    return frame


def _ended(run: Recording, error: BaseException) -> EndRun:
    metrics = _finite(run.metrics)
    if isinstance(error, KeyboardInterrupt):
        return EndRun(run_id=run.run_id, state="cancelled", error="cancelled by Ctrl-C", metrics=metrics)
    if isinstance(error, SystemExit) and not error.code:
        return EndRun(run_id=run.run_id, state="done", metrics=metrics)
    text = error.message if isinstance(error, ClewError) else "".join(traceback.format_exception(error))
    return EndRun(run_id=run.run_id, state="failed", error=text, metrics=metrics)


def _finite(metrics: dict[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _code_of(frame: FrameType) -> project.Project | None:
    """The code around a frame: its notebook's cells, the script that runs, or its own file; None if none has it."""
    cells = _cells(frame)
    if cells is not None:
        return project.capture_cells(_NOTEBOOK, cells, Path.cwd())
    script = getattr(sys.modules["__main__"], "__file__", None)
    for file in (script, frame.f_code.co_filename):
        if isinstance(file, str) and not file.startswith("<") and is_users(file) and Path(file).is_file():
            return project.capture(Path(file))
    return None


def _cells(frame: FrameType) -> list[str] | None:
    """What was typed into IPython or a notebook so far, if that is where the frame is."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None or frame.f_globals is not shell.user_ns:
        return None
    return [str(cell) for cell in shell.history_manager.input_hist_parsed if cell.strip()]
