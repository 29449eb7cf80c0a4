"""Sweeps: many runs of one pipeline with varying parameters, chosen by Optuna's samplers, side by side.

Each trial is a run of its own, below the run of the sweep, and shares the steps before the first that differs with
all others. The catalog is the only record: a sweep that was interrupted goes on from the trials that it has.
"""

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from clew.catalog import now
from clew.catalog.commands import EndRun, StartRun
from clew.catalog.tables import builds
from clew.errors import ClewError, StepError, UsageError
from clew.pipelines import alive, environment, execute, inputs, project, sources
from clew.pipelines._pipeline import Pipeline
from clew.pipelines.engine import Engine, Mode
from clew.pipelines.graph import Graph
from clew.pipelines.resources import of_machine
from clew.pipelines.results import RunResult
from clew.pipelines.sampling import Direction, Sampler, Sampling
from clew.pipelines.scheduler import Scheduler
from clew.pipelines.space import Dimension, Range, parse
from clew.workspace import Workspace

_SCHEME: Final = "s1"
_FAILED_ENOUGH: Final = 5  # trials, when none has given anything: the next ones won't either


@dataclass(frozen=True)
class Trial:
    """One trial: its run, what it was tried with, and how good that was (None: it failed)."""

    run: str
    parameters: dict[str, Any]
    value: float | None
    state: str


@dataclass
class SweepResult:
    """What became of a sweep."""

    run: str
    metric: str
    direction: Direction
    trials: list[Trial] = field(default_factory=list)
    importance: dict[str, float] = field(default_factory=dict)
    """How much of the metric's variation each parameter accounts for; they add up to 1."""
    last: RunResult | None = None
    """The best trial once more as a run that registers its model, where the pipeline does that."""

    @property
    def best(self) -> Trial | None:
        """The trial with the best value."""
        ranked = self.ranked()
        return ranked[0] if ranked else None

    def ranked(self) -> list[Trial]:
        """The trials that gave a value, best first."""
        sign = 1 if self.direction == "minimize" else -1
        valued = [(sign * trial.value, trial) for trial in self.trials if trial.value is not None]
        return [trial for _, trial in sorted(valued, key=lambda one: one[0])]


Observer = Callable[[SweepResult, Trial], None]
"""Told of each trial that ended."""


def sweep(
    workspace: Workspace,
    pipeline: Pipeline,
    entry: Path,
    settings: Mapping[str, Any],
    *,
    metric: str,
    direction: Direction,
    trials: int,
    sampler: Sampler = "tpe",
    seed: int = 0,
    executor: Mode = "auto",
    workers: int | None = None,
    observer: Observer = lambda _result, _trial: None,
    occurred_at: datetime | None = None,
) -> SweepResult:
    """Run a pipeline with varying parameters until there are so many trials; go on where the same sweep stopped.

    A trial registers no model; where the pipeline does, the best trial is run once more at the end, from the cache, and
    registers its model.

    Args:
        workspace: where data come from and results go to.
        pipeline: the pipeline.
        entry: its file.
        settings: parameters; those written as a range (`4..8`, `log:1e-4..1`) or as choices (`a,b`) are varied.
        metric: what decides: a metric of the evaluation that the pipeline registers or a step gives, or a step that
            gives a number.
        direction: whether less of it is better, or more.
        trials: how many, those of before counted.
        sampler: "tpe" learns from the trials so far (Bergstra et al. 2011), "random" doesn't, "grid" goes through all.
        seed: of the sampler.
        executor: where steps run.
        workers: how many trials side by side, and how many processes.
        observer: told of each trial.
        occurred_at: when this is, in the world.

    Raises:
        UsageError: nothing is varied, or nothing gives the metric; nothing has run then, or one trial.
        StepError: no trial got to its end.
    """
    if trials < 1:
        raise UsageError(f"{trials} trials say nothing", mend="--trials 20")
    plan = _planned(workspace, pipeline, entry, settings, metric, direction, occurred_at or now())
    Sampling(plan.space, direction, sampler, seed, [])  # refused before anything is recorded
    alive.mark_interrupted(workspace)
    mode: Mode = ("processes" if of_machine().cpus > 1 else "inline") if executor == "auto" else executor
    engine = execute.engine_for(plan.prepared, mode, workers)
    result = SweepResult("", metric, direction, plan.trials_before())
    before = [(trial.parameters, trial.value) for trial in result.trials]
    sampling = Sampling(plan.space, direction, sampler, seed, before)
    with alive.starting(workspace) as hold:
        result.run = plan.start()
        hold(result.run)
        with _ended(workspace, result), execute.ending(engine):
            beside = 1 if mode == "inline" else workers or max(1, int(of_machine().cpus))
            _run_trials(plan, result, sampling, engine, beside, trials, observer)
            result.importance = sampling.importance()
    best = result.best
    assert best is not None
    chosen = {**plan.fixed, **best.parameters}
    if any(node.step.in_driver for node in plan.wired(best.parameters)[1].nodes):
        result.last = execute.run(
            workspace, pipeline, entry, chosen, occurred_at=plan.when, executor=executor, workers=workers
        )
    return result


def _run_trials(
    plan: "_Plan",
    result: SweepResult,
    sampling: Sampling,
    engine: Engine,
    beside: int,
    trials: int,
    observer: Observer,
) -> None:
    under_way: dict[Scheduler, tuple[Any, contextlib.ExitStack]] = {}
    with contextlib.ExitStack() as all_held:
        while True:
            most = min(trials - len(result.trials) - len(under_way), sampling.left)
            for _ in range(int(min(beside - len(under_way), most))):
                asked = sampling.ask()
                held = all_held.enter_context(contextlib.ExitStack())
                begun = plan.begin(asked.params, engine, result.run, held)
                under_way[begun] = (asked, held)
                engine.add(begun)
            if not under_way:
                return
            for ended in engine.turn():
                asked, held = under_way.pop(ended)
                trial = _taken(result, ended, dict(asked.params))
                held.close()
                sampling.tell(asked, trial.value)
                result.trials.append(trial)
                observer(result, trial)
                if ended.error is not None and result.best is None and len(result.trials) >= _FAILED_ENOUGH:
                    raise ended.error


def _taken(result: SweepResult, ended: Scheduler, parameters: dict[str, Any]) -> Trial:
    """A trial has ended, and gave a value or failed. Raises UsageError when it has no such metric."""
    value = None if ended.error is not None else ended.number_of(result.metric)
    if ended.error is None and value is None:
        known = ", ".join(sorted(ended.result.metrics)) or "no metric"
        ended.error = UsageError(
            f"no step gives {result.metric!r}; there is {known}",
            mend="name a metric of the evaluation, or a step that gives a number",
        )
        execute.finish(ended)
        raise ended.error
    if value is not None:
        ended.result.metrics[result.metric] = value
    execute.finish(ended)
    return Trial(ended.result.run, parameters, _finite(value), ended.result.status)


@contextlib.contextmanager
def _ended(workspace: Workspace, result: SweepResult) -> Iterator[None]:
    """Record how the sweep ended. Raises StepError when no trial gave anything."""

    def end(state: Any, error: str | None, metrics: dict[str, float | None]) -> None:
        workspace.catalog.execute(EndRun(run_id=result.run, state=state, error=error, metrics=metrics))

    try:
        yield
    except KeyboardInterrupt:
        end("cancelled", "cancelled by Ctrl-C", {})
        raise
    except ClewError as error:
        end("failed", error.message, {})
        raise
    best = result.best
    if best is None:
        end("failed", "no trial gave a value", {})
        raise StepError("no trial gave a value", mend="clew runs show latest: each trial says why")
    end("done", None, {result.metric: best.value})


def _finite(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


@dataclass
class _Plan:
    """What all trials of a sweep have in common."""

    prepared: execute.Prepared
    space: dict[str, Dimension]
    fixed: dict[str, Any]
    metric: str
    direction: Direction
    when: datetime

    @property
    def identity(self) -> str:
        """What two sweeps have in common whose trials belong together: pipeline, code, data, space, metric."""
        pipeline = self.prepared.pipeline
        parameters = pipeline.bind(self.fixed)
        snapshots = inputs.snapshots_of(self.prepared.workspace, parameters)
        said = {
            "pipeline": pipeline.name,
            "code": self.prepared.code.content_id,
            "parameters": self.shown,
            "snapshots": {role: one.content_id for role, one in snapshots.items()},
            "metric": [self.metric, self.direction],
        }
        return f"{_SCHEME}:{hashlib.sha256(msgspec.json.encode(said, order='deterministic')).hexdigest()}"

    @property
    def shown(self) -> dict[str, Any]:
        """The parameters as they are recorded."""
        values = self.prepared.pipeline.bind(self.fixed)
        return {
            name: str(self.space[name]) if name in self.space else execute.shown(name, value)
            for name, value in values.items()
        }

    def start(self) -> str:
        """Record that the sweep begins; give its run's id."""
        prepared, workspace = self.prepared, self.prepared.workspace
        run_id: str = workspace.catalog.execute(
            StartRun(
                name=prepared.pipeline.name,
                pipeline=prepared.pipeline.name,
                entry=prepared.code.entry,
                provenance="recorded",
                code_id=project.record(workspace, prepared.code),
                environment_id=environment.record(workspace, prepared.environment),
                parameters=self.shown,
                criteria=[],
                inputs={},
                plan={
                    "sweep": self.identity,
                    "metric": self.metric,
                    "direction": self.direction,
                    "varied": list(self.space),
                },
                occurred_at=self.when,
            )
        )
        return run_id

    def wired(self, varied: Mapping[str, Any]) -> tuple[dict[str, Any], Graph]:
        """The parameters of a trial, and its graph."""
        parameters = self.prepared.pipeline.bind({**self.fixed, **varied})
        with sources.loading():
            return parameters, self.prepared.pipeline.wire(parameters)

    def begin(self, varied: Mapping[str, Any], engine: Engine, parent: str, held: contextlib.ExitStack) -> Scheduler:
        """Begin a trial's run; `held` keeps it alive."""
        workspace = self.prepared.workspace
        parameters, graph = self.wired(varied)
        snapshots = inputs.resolve(workspace, parameters, graph)
        hold = held.enter_context(alive.starting(workspace))
        begun = execute.begin(
            self.prepared, parameters, graph, snapshots, self.when, engine.under_way, lambda *_: None, parent
        )
        begun.context.trial = True
        hold(begun.result.run)
        return begun

    def trials_before(self) -> list[Trial]:
        """The trials that the same sweep has already, oldest first."""
        catalog = self.prepared.workspace.catalog
        r, x = builds.runs.c, builds.run_metrics.c
        top = sa.select(r.id, r.plan).where(
            r.name == self.prepared.pipeline.name, r.parent_run_id.is_(None), r.plan.is_not(None)
        )
        identity = self.identity
        sweeps = [
            str(row.id) for row in catalog.rows(top) if isinstance(row.plan, dict) and row.plan.get("sweep") == identity
        ]
        rows = catalog.rows(
            sa.select(r.id, r.parameters, r.state, x.value)
            .outerjoin(builds.run_metrics, (x.run_id == r.id) & (x.name == self.metric))
            .where(r.parent_run_id.in_(sweeps), r.state.in_(("done", "failed")))
            .order_by(r.id)
        )
        return [
            Trial(
                str(row.id),
                {name: self._as_chosen(name, row.parameters[name]) for name in self.space},
                _finite(row.value),
                row.state,
            )
            for row in rows
        ]

    def _as_chosen(self, name: str, recorded: Any) -> Any:
        """A parameter as the sampler chose it: of choices, the text that gave what was recorded."""
        dimension = self.space[name]
        if isinstance(dimension, Range):
            return recorded
        bind = self.prepared.pipeline.bind
        return next(one for one in dimension.values if execute.shown(name, bind({name: one})[name]) == recorded)


def _planned(
    workspace: Workspace,
    pipeline: Pipeline,
    entry: Path,
    settings: Mapping[str, Any],
    metric: str,
    direction: Direction,
    when: datetime,
) -> _Plan:
    space = {name: found for name, text in settings.items() if (found := parse(name, text)) is not None}
    if not space:
        raise UsageError("nothing is varied", mend="--set depth=4..8 --set lr=log:1e-4..1 --set kind=a,b")
    defaults = pipeline.defaults
    for name, dimension in space.items():
        if name not in defaults:
            known = ", ".join(defaults) or "none"
            raise UsageError(f"pipeline {pipeline.name} has no parameter {name!r}; it has: {known}")
        if isinstance(dimension, Range):
            _check_range(name, dimension, defaults[name])
    fixed = {name: value for name, value in settings.items() if name not in space}
    return _Plan(execute.prepare(workspace, pipeline, entry), space, fixed, metric, direction, when)


def _check_range(name: str, dimension: Range, default: Any) -> None:
    if isinstance(default, int) and not dimension.whole:
        raise UsageError(f"{name} is a whole number, and {dimension} isn't", mend=f"--set {name}=4..8")
    if not isinstance(default, int | float | type(None)):
        raise UsageError(f"{name} is a {type(default).__name__}, and {dimension} is a range of numbers")
