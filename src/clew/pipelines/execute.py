"""Executing a pipeline: every step cached or run, every finished one journalled, so that the cache is the resume."""

import contextlib
import io
import itertools
import random
import time
import traceback
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import msgspec
import sqlalchemy as sa

from clew.catalog import now
from clew.catalog.commands import ArtifactSpec, EndRun, FinishStep, FinishSteps, ForgetStep, StartRun
from clew.catalog.tables import builds
from clew.data import Snapshot
from clew.data import find as find_snapshot
from clew.errors import ClewError, IntegrityError, NotFoundError, OutsideError, StepError, UsageError
from clew.pipelines import alive, environment, handing, keys, project, sources, state, watch
from clew.pipelines._pipeline import Pipeline
from clew.pipelines.graph import DatasetInput, Graph, Handle, Node
from clew.pipelines.reach import Reach, Reached
from clew.pipelines.values import Stored
from clew.workspace import Workspace

_TOGETHER = timedelta(milliseconds=50)
Observer = Callable[[str, str, str], None]
"""Told of each step: its name, its state (running, ran, cached, failed, skipped), and why."""


@dataclass
class StepResult:
    """What became of a step."""

    name: str
    status: str
    why: str


@dataclass
class RunResult:
    """What became of a run."""

    run: str
    status: str
    steps: list[StepResult] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class RunContext:
    """What a step of clew's own may use: the workspace, the run, and what stands behind each handle."""

    workspace: Workspace
    run_id: str
    criteria: tuple[Any, ...]
    code: project.Project
    environment_id: str
    snapshots: dict[str, Snapshot]
    occurred_at: datetime
    result: RunResult


@dataclass
class _Run:
    name: str
    workspace: Workspace
    graph: Graph
    context: RunContext
    observer: Observer
    imported: dict[str, str | None]  # hashes of what the code read while it was imported
    doubts: list[str]  # why no step of this run can be cached
    reach: Reach
    stored: dict[tuple[Node, str], Stored] = field(default_factory=dict)
    before: dict[str, str] | None = None  # the newest step of each name in earlier runs, once it is asked for
    waiting: list[FinishStep] = field(default_factory=list)  # to be journalled: steps from the cache, mostly


def run(
    workspace: Workspace,
    pipeline: Pipeline,
    entry: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    observer: Observer = lambda _name, _state, _why: None,
    occurred_at: datetime | None = None,
) -> RunResult:
    """Run a pipeline; what has run before with the same key is taken from the cache.

    Args:
        workspace: where data come from and results go to.
        pipeline: the pipeline.
        entry: its file.
        settings: parameters that differ from their defaults.
        observer: told of each step.
        occurred_at: when this run is, in the world; the clock's time, if not given.

    Raises:
        UsageError, NotFoundError: something is wrong before anything ran.
        StepError: a step raised; its traceback is in the message, the run is kept as failed.
    """
    parameters = pipeline.bind(settings or {})
    when = occurred_at or now()
    with sources.loading():
        graph = pipeline.wire(parameters)
    snapshots = _resolve(workspace, parameters, graph)
    code = project.capture(entry)
    env = environment.current()
    alive.mark_interrupted(workspace)
    with alive.starting(workspace) as hold:
        run_id = _start(workspace, pipeline, parameters, graph, snapshots, code, env, when)
        hold(run_id)
        result = RunResult(run_id, "running")
        context = RunContext(
            workspace,
            run_id,
            pipeline.accept,
            code,
            env.content_id,
            snapshots,
            when,
            result,
        )
        seen = watch.imported.get(entry.resolve())
        modules = project.modules_of(code)
        this = _Run(
            pipeline.name,
            workspace,
            graph,
            context,
            observer,
            imported={} if seen is None else seen.imported(code),
            doubts=_doubts(seen, modules),
            reach=Reach(code),
        )
        _run_all(this)
    return result


def _start(
    workspace: Workspace,
    pipeline: Pipeline,
    parameters: Mapping[str, Any],
    graph: Graph,
    snapshots: Mapping[str, Snapshot],
    code: project.Project,
    env: environment.Environment,
    occurred_at: datetime,
) -> str:
    run_id: str = workspace.catalog.execute(
        StartRun(
            name=pipeline.name,
            pipeline=pipeline.name,
            entry=code.entry,
            provenance="recorded",
            code_id=project.record(workspace, code),
            environment_id=environment.record(workspace, env),
            parameters={name: shown(name, value) for name, value in parameters.items()},
            criteria=[criterion.describe() for criterion in pipeline.accept],
            inputs={
                role: (source.reference, snapshots[role].id) for role, source in _inputs(parameters, graph).items()
            },
            occurred_at=occurred_at,
        )
    )
    return run_id


def shown(name: str, value: Any) -> Any:
    """A parameter's value as it is recorded. Raises UsageError for what can't be."""
    if isinstance(value, DatasetInput):
        return value.reference
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


def _run_all(this: _Run) -> None:
    result, catalog = this.context.result, this.workspace.catalog
    try:
        for ordinal, node in enumerate(this.graph.nodes):
            _run_node(this, ordinal, node)
    except KeyboardInterrupt:
        _journal(this)
        catalog.execute(EndRun(run_id=result.run, state="cancelled", error="cancelled by Ctrl-C"))
        raise
    except ClewError as error:
        result.status = "failed"
        # When the disk is full, this can't be kept either: the run's lock is gone then, and the next start marks it.
        with contextlib.suppress(OutsideError):
            _skip_rest(this)
            _journal(this)
            catalog.execute(EndRun(run_id=result.run, state="failed", error=error.message, metrics=result.metrics))
        raise
    _journal(this)
    result.status = "done"
    catalog.execute(EndRun(run_id=result.run, state="done", metrics=result.metrics))


def _inputs(parameters: Mapping[str, Any], graph: Graph) -> dict[str, DatasetInput]:
    """Every dataset of the run by its role: the parameter's name, or the reference itself."""
    found = {name: value for name, value in parameters.items() if isinstance(value, DatasetInput)}
    for node in graph.nodes:
        for source in node.datasets():
            found.setdefault(source.role or source.reference, source)
    return found


def _resolve(workspace: Workspace, parameters: Mapping[str, Any], graph: Graph) -> dict[str, Snapshot]:
    return {role: find_snapshot(workspace, source.reference) for role, source in _inputs(parameters, graph).items()}


def _run_node(this: _Run, ordinal: int, node: Node) -> None:
    started = now()
    if node.step.in_driver:
        _journal(this)
        _run_in_driver(this, ordinal, node, started)
        return
    for module in this.reach.modules():
        state.forget_memories(module)
    try:
        reached = this.reach.of(node.step)
        inputs, constants = handing.sort_arguments(node, this.stored, this.context.snapshots)
        of = keys.parts(
            node,
            this.context.code,
            this.context.environment_id,
            {name: handing.content_id(node, name, value) for name, value in inputs.items()},
            constants,
            reached=reached,
            imported=this.imported,
        )
    except ClewError as error:
        _failed(this, ordinal, node, None, None, error, "", started, {})
    key = keys.key(of)
    doubts = [] if not node.step.cache else [*this.doubts, *_unseen(node, reached)]
    cacheable = node.step.cache and not doubts
    found = _from_cache(this, node, key) if cacheable else None
    if found is not None:
        _finish(this, ordinal, node, "cached", key, of, "nothing that it depends on changed", started, inputs, found)
        return
    _journal(this)
    why = _why(this, node, of)
    this.observer(node.name, "running", why)
    log = io.StringIO()
    watched = watch.Watch(this.context.code, _allowed(this, node), node.step.env)
    try:
        value, tried = _called(this, node, log, watched)
        why += tried
        if watched.touched:
            this.reach.settle()
        outputs = handing.store_outputs(node, value, this.workspace.objects)
        if keys.declared(node, this.context.code) != {name: of[name] for name in ("files", "env")}:
            doubts.append("what it declares changed while it ran (mend: run it again)")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's own code may raise anything
        _failed(this, ordinal, node, key, of, error, log.getvalue(), started, inputs)
    if node.step.cache:
        doubts += [f"it reads {what}, which it doesn't declare (mend: {mend})" for what, mend in watched.reads.items()]
    if doubts:
        why = f"{why}; not cached, since {'; '.join(doubts)}"
    kept = key if node.step.cache and not doubts else None
    _finish(this, ordinal, node, "ran", kept, of, why, started, inputs, outputs, log.getvalue())


def _called(this: _Run, node: Node, log: io.StringIO, watched: watch.Watch) -> tuple[Any, str]:
    """What the step's function gives, and how often it was called for that, in words."""
    for attempt in itertools.count(1):
        given = handing.load_arguments(node, this.stored, this.context.snapshots, this.workspace.objects)
        arguments = handing.call_with(node, given)  # anew each time: the function may have changed what it was given
        try:
            with (
                contextlib.redirect_stdout(log),
                contextlib.redirect_stderr(log),
                sources.loading(this.context.code.frozen),
                watch.watching(watched),
            ):
                value = handing.collected(node.step.function(**arguments))
        except Exception as error:
            if attempt > node.step.retries:
                raise
            pause = node.step.wait * 2 ** (attempt - 1) * random.uniform(1, 1.25)  # noqa: S311 - apart from others
            said = f"attempt {attempt} raised {type(error).__name__}; again in {pause:.1f} s"
            log.write(f"{_users_traceback(error)}{said}\n")
            this.observer(node.name, "running", said)
        else:
            return value, f"; it was tried {attempt} times" if attempt > 1 else ""
        time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _unseen(node: Node, reached: Reached) -> list[str]:
    """Why what this step depends on can't be known, in words."""
    hidden = state.of_closure(node.step.function)
    found = [
        f"its function holds a {kind} that can't be seen into (mend: hand it over as an argument)" for kind in hidden
    ]
    if not node.step.vouched:
        found += [
            f"it may use {what}, which can't be seen (mend: declare what it reads and say @clew.step(cache=True))"
            for what in reached.closure.unseen
        ]
    return found


def _allowed(this: _Run, node: Node) -> tuple[Path, ...]:
    """What any step may read: what is named by content; and what it declares."""
    root, folder = this.context.code.root, this.workspace.folder.resolve()
    own = (folder / name for name in ("objects", "cache", "tmp"))
    return (*own, *((root / name).resolve() for name in node.step.files))


def _run_in_driver(this: _Run, ordinal: int, node: Node, started: datetime) -> None:
    """A step of clew's own: it is handed what is stored, not what is loaded."""
    this.observer(node.name, "running", "")
    arguments = {
        name: this.stored[value.node, value.output] if isinstance(value, Handle) else value
        for name, value in node.arguments.items()
    }
    inputs = {name: value for name, value in arguments.items() if isinstance(value, Stored)}
    try:
        status, why = node.step.function(this.context, **arguments)
    except Exception as error:  # noqa: BLE001 - the model's own code may raise anything
        _failed(this, ordinal, node, None, None, error, "", started, inputs)
    _finish(this, ordinal, node, status, None, None, why, started, inputs, {})


def _from_cache(this: _Run, node: Node, key: str) -> dict[str, Stored] | None:
    """What this key gave before, when all of it is still there and whole."""
    a, s = builds.artifacts.c, builds.step_artifacts.c
    rows = this.workspace.catalog.rows(
        sa.select(s.name, a.kind, a.content_id, a.digest, a.bytes, a.rows, a.state)
        .select_from(builds.step_cache)
        .join(builds.step_artifacts, s.step_id == builds.step_cache.c.step_id)
        .join(builds.artifacts, a.id == s.artifact_id)
        .where(builds.step_cache.c.cache_key == key, s.direction == "out")
    )
    if {row.name for row in rows} != set(node.outputs):
        return None
    objects = this.workspace.objects
    for row in rows:
        damage = None if row.state == "live" else f"{row.state}"
        try:
            objects.verify(row.digest)
        except (NotFoundError, IntegrityError) as error:
            damage = error.message
        if damage is not None:
            this.context.result.notes.append(f"{node.name}: what was cached can't be used ({damage}); it runs again")
            this.workspace.catalog.execute(ForgetStep(cache_key=key, reason=damage))
            if damage != row.state and objects.exists(row.digest):
                objects.delete(row.digest)
            return None
    return {
        row.name: Stored(
            ArtifactSpec(
                kind=row.kind, content_id=row.content_id, digest=row.digest, bytes=int(row.bytes), rows=row.rows
            )
        )
        for row in rows
    }


def _why(this: _Run, node: Node, of: Mapping[str, Any]) -> str:
    """Why a step isn't cached, in words: what changed since it last ran."""
    if not node.step.cache:
        return "it is declared cache=False"
    if this.before is None:
        this.before = _steps_before(this)
    step_id = this.before.get(node.name)
    if step_id is None:
        return "it has not run before"
    changed = keys.difference(this.workspace.catalog.get(builds.steps, step_id).key_parts, of)
    return "; ".join(changed) if changed else "it was not cached before"


def _steps_before(this: _Run) -> dict[str, str]:
    """The newest step of each name in earlier runs of this pipeline, by id."""
    s, r = builds.steps.c, builds.runs.c
    rows = this.workspace.catalog.rows(
        sa.select(s.name, sa.func.max(sa.cast(s.id, sa.String)).label("newest"))  # ids follow the order of making
        .join(builds.runs, r.id == s.run_id)
        .where(r.name == this.name, r.id != this.context.run_id)
        .where(s.state.in_(("ran", "cached")), s.key_parts.is_not(None))
        .group_by(s.name)
    )
    return {row.name: str(uuid.UUID(row.newest)) for row in rows}


def _finish(
    this: _Run,
    ordinal: int,
    node: Node,
    status: Any,
    key: str | None,
    of: Any,
    why: str,
    started: datetime,
    inputs: Mapping[str, Stored | Snapshot],
    outputs: Mapping[str, Stored],
    log: str = "",
) -> None:
    for name, stored in outputs.items():
        this.stored[node, name] = stored
    this.waiting.append(
        FinishStep(
            run_id=this.context.run_id,
            ordinal=ordinal,
            name=node.name,
            state=status,
            cache_key=key,
            key_parts=of,
            why=why,
            log=this.workspace.objects.put(_text(log).encode()).digest if log else None,
            inputs={name: value.spec for name, value in inputs.items() if isinstance(value, Stored)},
            outputs={name: value.spec for name, value in outputs.items()},
            started_at=started,
        )
    )
    if status != "cached" or now() - this.waiting[0].started_at > _TOGETHER:
        _journal(this)
    this.context.result.steps.append(StepResult(node.name, status, why))
    this.observer(node.name, status, why)


def _journal(this: _Run) -> None:
    """Journal what waits: that a step was in the cache may be told a moment late, and nothing is lost without it."""
    steps, this.waiting = this.waiting, []
    if steps:
        this.workspace.catalog.execute(steps[0] if len(steps) == 1 else FinishSteps(steps=steps))


def _failed(
    this: _Run,
    ordinal: int,
    node: Node,
    key: str | None,
    of: Any,
    error: BaseException,
    log: str,
    started: datetime,
    inputs: Mapping[str, Stored | Snapshot],
) -> NoReturn:
    """Keep the failure, and raise it with the user's own traceback first."""
    own = isinstance(error, ClewError)
    text = _text(str(error) if own else _users_traceback(error))
    with contextlib.suppress(OutsideError):  # the disk may be full: what the step raised is what is to be said
        _journal(this)
        this.workspace.catalog.execute(
            FinishStep(
                run_id=this.context.run_id,
                ordinal=ordinal,
                name=node.name,
                state="failed",
                cache_key=key,
                key_parts=of,
                why="it raised",
                error=text,
                log=this.workspace.objects.put(_text(log).encode()).digest if log else None,
                inputs={name: value.spec for name, value in inputs.items() if isinstance(value, Stored)},
                started_at=started,
            )
        )
    this.context.result.steps.append(StepResult(node.name, "failed", "it raised"))
    this.observer(node.name, "failed", text)
    if own:
        raise error
    raise StepError(
        f"{text}step {node.name} ({node.step.source}) raised {type(error).__name__}",
        mend="mend the step and run again: finished steps are taken from the cache",
    ) from error


def _text(text: str) -> str:
    """Text as a database can keep it: no lone surrogates, no NUL."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


def _users_traceback(error: BaseException) -> str:
    """The traceback from the first frame that isn't clew's."""
    trace = error.__traceback__
    here = str(Path(__file__).parent)
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(here):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


def _skip_rest(this: _Run) -> None:
    done = len(this.context.result.steps)
    for ordinal, node in enumerate(this.graph.nodes[done:], start=done):
        _finish(this, ordinal, node, "skipped", None, None, "a step before it failed", now(), {}, {})
