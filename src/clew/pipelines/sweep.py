"""Sweeps: many runs of one pipeline with varying parameters, chosen by Optuna's samplers, side by side.

Each trial is a run of its own, below the run of the sweep, and shares the steps before the first that differs with
all others. The catalog is the only record: a sweep that was interrupted goes on from the trials that it has.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from clew.catalog import now
from clew.catalog.commands import EndRun
from clew.data import run_contracts
from clew.errors import ClewError, StepError, UsageError
from clew.pipelines import alive, execute, inputs
from clew.pipelines._pipeline import Pipeline
from clew.pipelines.engine import Engine, Mode
from clew.pipelines.pruning import Pruning
from clew.pipelines.resources import of_machine
from clew.pipelines.results import RunResult
from clew.pipelines.sampling import Direction, Pruner, Sampler, Sampling
from clew.pipelines.scheduler import Scheduler
from clew.pipelines.trials import Plan, Trial, finite, planned
from clew.workspace import Workspace

_FAILED_ENOUGH: Final = 5  # trials, when none has given anything: the next ones won't either


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
    prune: str | None = None,
    pruner: Pruner = "median",
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
        prune: the step whose calls say on the way how good a trial is, each by a number: folds, say, or the error after
            10, 30 and 90 rounds. A trial that does worse there than others did is ended early.
        pruner: "median" or "halving"; see `Sampling`.
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
    plan = planned(workspace, pipeline, entry, settings, metric, direction, occurred_at or now(), prune)
    Sampling(plan.space, direction, sampler, seed, [], pruner)  # refused before anything is recorded
    run_contracts.hold(workspace, inputs.snapshots_of(workspace, pipeline.bind(plan.fixed)))
    alive.mark_interrupted(workspace)
    mode: Mode = ("processes" if of_machine().cpus > 1 else "inline") if executor == "auto" else executor
    engine = execute.engine_for(plan.prepared, mode, workers)
    result = SweepResult("", metric, direction, plan.trials_before())
    before = [(trial.parameters, trial.value, trial.on_the_way) for trial in result.trials]
    sampling = Sampling(plan.space, direction, sampler, seed, before, pruner)
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
    plan: Plan,
    result: SweepResult,
    sampling: Sampling,
    engine: Engine,
    beside: int,
    trials: int,
    observer: Observer,
) -> None:
    under_way: dict[Scheduler, tuple[Any, contextlib.ExitStack]] = {}
    pruning = Pruning(sampling, plan.watched)
    with contextlib.ExitStack() as all_held:
        while True:
            most = min(trials - len(result.trials) - len(under_way), sampling.left)
            for _ in range(int(min(beside - len(under_way), most))):
                asked = sampling.ask()
                held = all_held.enter_context(contextlib.ExitStack())
                begun = plan.begin(asked.params, engine, result.run, held, pruning.observer(asked))
                pruning.begun(asked, begun)
                under_way[begun] = (asked, held)
                engine.add(begun)
            if not under_way:
                return
            over = engine.turn()
            pruning.look()
            for ended in over:
                asked, held = under_way.pop(ended)
                trial = _taken(result, ended, dict(asked.params), pruning.ended(asked))
                held.close()
                sampling.tell(asked, trial.value, pruned=trial.pruned)
                result.trials.append(trial)
                observer(result, trial)
                failed = trial.state == "failed" and result.best is None
                if failed and ended.error is not None and len(result.trials) >= _FAILED_ENOUGH:
                    raise ended.error


def _taken(result: SweepResult, ended: Scheduler, parameters: dict[str, Any], on_the_way: dict[int, float]) -> Trial:
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
    return Trial(ended.result.run, parameters, finite(value), ended.result.status, on_the_way)


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
