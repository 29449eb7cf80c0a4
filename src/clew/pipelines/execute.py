"""Running a pipeline: what is known before the first step is recorded, then every step is cached or run and journalled.

Every finished step is in the catalog, so the cache is also the resume.
"""

import contextlib
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any, cast, get_args

import msgspec

from clew.catalog import now
from clew.catalog.commands import EndRun, StartRun
from clew.data import Snapshot, run_contracts
from clew.errors import ClewError, OutsideError, UsageError
from clew.pipelines import alive, environment, inputs, project, sources, values, watch
from clew.pipelines._pipeline import Pipeline
from clew.pipelines.context import RunContext
from clew.pipelines.engine import Engine, Mode, UnderWay
from clew.pipelines.executors.base import Executor
from clew.pipelines.graph import DatasetInput, Graph
from clew.pipelines.plan import plan_of
from clew.pipelines.results import Observer, PrunedError, RunResult
from clew.pipelines.scheduler import Scheduler
from clew.pipelines.secrets import Secret
from clew.pipelines.values import Stored
from clew.workspace import Workspace


@dataclass
class Prepared:
    """A pipeline, looked at: all that its runs have in common."""

    workspace: Workspace
    pipeline: Pipeline
    code: project.Project
    environment: environment.Environment
    imported: dict[str, str | None]
    doubts: list[str]


def prepare(workspace: Workspace, pipeline: Pipeline, entry: Path) -> Prepared:
    """Capture the code and the environment that runs of this pipeline have."""
    code = project.capture(entry)
    seen = watch.imported.get(entry.resolve())
    return Prepared(
        workspace,
        pipeline,
        code,
        environment.current(),
        {} if seen is None else seen.imported(code),
        _doubts(seen, project.modules_of(code)),
    )


def run(
    workspace: Workspace,
    pipeline: Pipeline,
    entry: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    observer: Observer = lambda _name, _state, _why: None,
    occurred_at: datetime | None = None,
    executor: Mode = "auto",
    workers: int | None = None,
    pins: inputs.Pins | None = None,
    parent: str | None = None,
    contracts: bool = True,
) -> RunResult:
    """Run a pipeline; what has run before with the same key is taken from the cache.

    Args:
        workspace: where data come from and results go to.
        pipeline: the pipeline.
        entry: its file.
        settings: parameters that differ from their defaults.
        observer: told of each step.
        occurred_at: when this run is, in the world; the clock's time, if not given.
        executor: where steps run: "inline" in this process, "processes" in a pool of others on this machine; "auto"
            takes the pool when there is parallel work that is worth it; "ray" on the cluster that RAY_ADDRESS names,
            else on one that is started here.
        workers: how many processes at most; as many as there are processors, if not given.
        pins: what is read in place of what references name.
        parent: the run that this one is a trial of; a trial registers no model, and gives what it would have
            registered as `offered`.
        contracts: whether what is read must keep its contracts; not where what was is asked for, as in a bisection.

    Raises:
        RefusedError: a snapshot breaks its dataset's contract; nothing was run.
        UsageError, NotFoundError: something is wrong before anything ran.
        StepError: a step raised; its traceback is in the message, the run is kept as failed.
    """
    parameters = pipeline.bind(settings or {})
    with sources.loading():
        graph = pipeline.wire(parameters)
    snapshots = inputs.resolve(workspace, parameters, graph, pins)
    held = run_contracts.hold(workspace, snapshots) if contracts else []
    prepared = prepare(workspace, pipeline, entry)
    alive.mark_interrupted(workspace)
    engine = engine_for(prepared, executor, workers)
    with alive.starting(workspace) as hold:
        begun = begin(prepared, parameters, graph, snapshots, occurred_at or now(), engine.under_way, observer, parent)
        run_contracts.record(workspace, begun.result.run, held)
        begun.context.trial = parent is not None
        hold(begun.result.run)
        with ending(engine):
            engine.add(begun)
            while engine.active:
                engine.turn()
            finish(begun)
    if begun.error is not None:
        raise begun.error
    return begun.result


def mode(name: str) -> Mode:
    """An executor by its name. Raises UsageError."""
    for one in get_args(Mode):
        if one == name:
            return cast("Mode", one)
    raise UsageError(f"there is no executor {name!r}", mend="auto, inline, processes or ray")


def engine_for(prepared: Prepared, where: Mode, workers: int | None) -> Engine:
    """An engine for runs of a pipeline. Raises UsageError."""
    if workers is not None and workers < 1:
        raise UsageError(f"{workers} workers can't run anything", mend="give 1 or more")

    def setting() -> Any:
        from clew.pipelines.executors.worker import Setting

        workspace = prepared.workspace
        return Setting(
            code=prepared.code,
            workspace=workspace.root,
            settings=(workspace.folder / "config.toml").read_text(),
            search=tuple(sys.path),
            rooms=tuple(sorted({type(codec).__module__ for codec in values.CODECS})),
            folder=str(Path.cwd()),
            host=platform.node(),
        )

    def start() -> Executor:
        if where == "ray":
            from clew.pipelines.executors.on_ray import RayCluster

            return RayCluster(setting(), is_local=prepared.workspace.is_local)
        from clew.pipelines.executors.processes import pool_for

        return pool_for(setting(), workers)

    def warm() -> bool:
        from clew.pipelines.executors.processes import is_warm

        return is_warm(setting(), workers)

    return Engine(mode(where), start, warm)


def begin(
    prepared: Prepared,
    parameters: Mapping[str, Any],
    graph: Graph,
    snapshots: dict[str, Snapshot | Stored],
    occurred_at: datetime,
    under_way: UnderWay,
    observer: Observer,
    parent: str | None = None,
) -> Scheduler:
    """Record that a run begins; give its schedule."""
    run_id = _start(prepared, parameters, graph, snapshots, occurred_at, parent)
    context = RunContext(
        prepared.workspace,
        run_id,
        prepared.pipeline.accept,
        prepared.code,
        prepared.environment.content_id,
        snapshots,
        occurred_at,
        RunResult(run_id, "running"),
    )
    return Scheduler(
        prepared.pipeline.name,
        graph,
        context,
        observer,
        imported=prepared.imported,
        doubts=prepared.doubts,
        under_way=under_way,
    )


@contextlib.contextmanager
def ending(engine: Engine) -> Any:
    """Whatever happens inside: no step of these runs is left running, and each run has an end."""
    try:
        yield
    except KeyboardInterrupt:
        for one in engine.cancel():
            one.journal.write()
            _end(one, "cancelled", "cancelled by Ctrl-C")
        raise
    except ClewError as error:
        for one in engine.cancel():
            one.error = one.error or error
            finish(one)
        raise
    except BaseException:
        engine.cancel()
        raise
    finally:
        engine.release()


def finish(scheduler: Scheduler) -> None:
    """Record how a run ended."""
    if scheduler.error is None:
        scheduler.journal.write()
        scheduler.result.status = "done"
        _end(scheduler, "done", None)
        return
    error = scheduler.error
    scheduler.result.status = "cancelled" if isinstance(error, PrunedError) else "failed"
    # When the disk is full, this can't be kept either: the run's lock is gone then, and the next start marks it.
    with contextlib.suppress(OutsideError):
        scheduler.skip_rest()
        _end(scheduler, scheduler.result.status, error.message if isinstance(error, ClewError) else str(error))


def _end(scheduler: Scheduler, state: Any, error: str | None) -> None:
    result = scheduler.result
    metrics = {} if state == "cancelled" else result.metrics
    scheduler.context.workspace.catalog.execute(EndRun(run_id=result.run, state=state, error=error, metrics=metrics))


def _start(
    prepared: Prepared,
    parameters: Mapping[str, Any],
    graph: Graph,
    snapshots: Mapping[str, Snapshot | Stored],
    occurred_at: datetime,
    parent: str | None,
) -> str:
    workspace, pipeline = prepared.workspace, prepared.pipeline
    run_id: str = workspace.catalog.execute(
        StartRun(
            name=pipeline.name,
            pipeline=pipeline.name,
            entry=prepared.code.entry,
            provenance="recorded",
            code_id=project.record(workspace, prepared.code),
            environment_id=environment.record(workspace, prepared.environment),
            parameters={name: shown(name, value) for name, value in parameters.items()},
            criteria=[criterion.describe() for criterion in pipeline.accept],
            inputs={
                role: (source.reference, found.id)
                for role, source in inputs.named(parameters, graph).items()
                if isinstance(found := snapshots[role], Snapshot)
            },
            plan=plan_of(graph),
            parent_run_id=parent,
            occurred_at=occurred_at,
        )
    )
    return run_id


def shown(name: str, value: Any) -> Any:
    """A parameter's value as it is recorded. Raises UsageError for what can't be."""
    if isinstance(value, DatasetInput):
        return value.reference
    if isinstance(value, Secret):
        return f"secret {value.name}"
    if isinstance(value, Path):
        return str(value)
    try:
        return msgspec.to_builtins(value)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"parameter {name!r} is a {type(value).__name__}, which can't be recorded",
            mend="give plain values: numbers, text, lists, dataclasses",
        ) from error


def _doubts(seen: watch.Watch | None, modules: Sequence[ModuleType]) -> list[str]:
    found = (
        [f"the code reads {what} while it is imported (mend: {mend})" for what, mend in seen.reads.items()]
        if seen
        else []
    )
    return found + [
        f"{name} was edited since this process imported it (mend: start a new process)"
        for name in sources.edited_since(modules)
    ]
