"""Trials of a sweep: what they have in common, those that there are, and the run of the next one."""

import contextlib
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from clew.catalog.commands import StartRun
from clew.catalog.tables import builds
from clew.data import run_contracts
from clew.errors import UsageError
from clew.pipelines import alive, environment, execute, inputs, project, pruning, sources
from clew.pipelines._pipeline import Pipeline
from clew.pipelines.engine import Engine
from clew.pipelines.graph import Graph
from clew.pipelines.results import Observer as StepObserver
from clew.pipelines.sampling import Direction
from clew.pipelines.scheduler import Scheduler
from clew.pipelines.space import Dimension, Range, parse
from clew.workspace import Workspace

_SCHEME: Final = "s1"


@dataclass(frozen=True)
class Trial:
    """One trial: its run, what it was tried with, and how good that was (None: it failed)."""

    run: str
    parameters: dict[str, Any]
    value: float | None
    state: str
    on_the_way: dict[int, float] = field(default_factory=dict)
    """What it gave before its end, by place, where trials may be ended early."""

    @property
    def pruned(self) -> bool:
        """Whether it was ended early."""
        return self.state == "cancelled"


def finite(value: Any) -> float | None:
    """A number that a database keeps; None for what is none."""
    return None if value is None or not math.isfinite(value) else float(value)


@dataclass
class Plan:
    """What all trials of a sweep have in common."""

    prepared: execute.Prepared
    space: dict[str, Dimension]
    fixed: dict[str, Any]
    metric: str
    direction: Direction
    when: datetime
    watched: str | None = None
    """The step whose calls say on the way how good a trial is."""

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

    def begin(
        self,
        varied: Mapping[str, Any],
        engine: Engine,
        parent: str,
        held: contextlib.ExitStack,
        observer: StepObserver = lambda *_: None,
    ) -> Scheduler:
        """Begin a trial's run; `held` keeps it alive, and `observer` is told of its steps."""
        workspace = self.prepared.workspace
        parameters, graph = self.wired(varied)
        snapshots = inputs.resolve(workspace, parameters, graph)
        contracts = run_contracts.hold(workspace, snapshots)
        hold = held.enter_context(alive.starting(workspace))
        begun = execute.begin(
            self.prepared, parameters, graph, snapshots, self.when, engine.under_way, observer, parent
        )
        run_contracts.record(workspace, begun.result.run, contracts)
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
            .where(
                r.parent_run_id.in_(sweeps),
                r.state.in_(("done", "failed")) | ((r.state == "cancelled") & r.error.startswith(pruning.ENDED)),
            )
            .order_by(r.id)
        )
        given = {} if self.watched is None else pruning.given(catalog, [str(row.id) for row in rows], self.watched)
        return [
            Trial(
                str(row.id),
                {name: self._as_chosen(name, row.parameters[name]) for name in self.space},
                finite(row.value),
                row.state,
                given.get(str(row.id), {}),
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


def planned(
    workspace: Workspace,
    pipeline: Pipeline,
    entry: Path,
    settings: Mapping[str, Any],
    metric: str,
    direction: Direction,
    when: datetime,
    watched: str | None,
) -> Plan:
    """What a sweep varies and what it holds, looked at. Raises UsageError."""
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
    if watched is not None:
        with sources.loading():
            names = {node.step.name for node in pipeline.wire(pipeline.bind(fixed)).nodes}
        if watched not in names:
            raise UsageError(f"pipeline {pipeline.name} has no step {watched!r}; it has: {', '.join(sorted(names))}")
    return Plan(execute.prepare(workspace, pipeline, entry), space, fixed, metric, direction, when, watched)


def _check_range(name: str, dimension: Range, default: Any) -> None:
    if isinstance(default, int) and not dimension.whole:
        raise UsageError(f"{name} is a whole number, and {dimension} isn't", mend=f"--set {name}=4..8")
    if not isinstance(default, int | float | type(None)):
        raise UsageError(f"{name} is a {type(default).__name__}, and {dimension} is a range of numbers")
