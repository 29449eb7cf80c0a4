"""`bisect`: builds the crossings of what differs between two versions, and says which of it made one worse."""

import functools
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl
import sqlalchemy as sa

from clew.catalog import now
from clew.catalog.commands import EndRun, FinishStep, StartRun
from clew.catalog.tables import builds as tables
from clew.errors import ClewError, UsageError
from clew.models.bisection.builds import Builds, Differences, Progress
from clew.models.bisection.changes import Change
from clew.models.bisection.differences import find_differences, require_recorded
from clew.models.bisection.judging import Judged, metric_of, rows_to_judge, stored
from clew.models.bisection.metrics import Measured, Metric, contrast
from clew.models.bisection.report import level_facts
from clew.models.bisection.search import BudgetSpentError, Cell, Level, Search, Unbuilt
from clew.models.bisection.tables import score_by
from clew.models.registry import ModelVersion
from clew.pipelines import alive, values

Verdict = Literal["found", "no loss", "no difference", "not built", "budget spent"]

SEEDS: Final = ("seed", "random_seed", "random_state")
"""Parameters by which a pipeline is told what is left to chance."""
_OTHER_SEEDS: Final = 2
_PATIENCE: Final = 600.0


@dataclass
class Bisection:
    """What a bisection found."""

    good: str
    bad: str
    metric: Metric
    judged: Judged
    verdict: Verdict = "no difference"
    says: str = ""
    changes: list[Change] = field(default_factory=list)
    level: Level | None = None
    chance: float | None = None
    """By how much the metric moves when only the seed does; None where no parameter is a seed."""
    notes: list[str] = field(default_factory=list)
    builds: list[dict[str, Any]] = field(default_factory=list)
    run: str = ""

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        level = self.level
        return {
            "good": self.good,
            "bad": self.bad,
            "metric": self.metric.name,
            "rows": self.judged.rows.height,
            "judged_on": self.judged.says,
            "left_out": self.judged.left_out,
            "verdict": self.verdict,
            "says": self.says,
            "changes": [change.says for change in self.changes],
            "chance": self.chance,
            "found": None if level is None else level_facts(level, self.metric),
            "notes": self.notes,
            "builds": self.builds,
            "run": self.run,
        }


def bisect(
    good: ModelVersion,
    bad: ModelVersion,
    *,
    metric: str | None = None,
    on: tuple[str, pl.DataFrame] | None = None,
    budget: int = 40,
    margin: float = 0.0,
    wheels: Path | None = None,
    build_seconds: float | None = None,
    progress: Progress = lambda _done, _most, _says: None,
) -> Bisection:
    """Find which change between two versions made the newer one worse.

    What differs in data, code, parameters and libraries is crossed: builds with some of it, from cached steps where
    these don't change, are all judged on the same rows. Each effect is the mean difference over these rows, with a
    bootstrap-t interval (Efron & Tibshirani 1993); the intervals of one level hold together at 95% (Bonferroni).
    They cover which rows were drawn, not which model another seed would give: that is told apart by building the
    good version with other seeds, where a parameter is one.

    Args:
        good: the version that was good.
        bad: the one that is worse.
        metric: mae, mse, rmse, mape, error_rate or accuracy; what the good version's criteria name, if None.
        on: rows to judge on, with what to call them: with the inputs of both versions and the truth. The test rows of
            the good version, if None; in any case without those on which either was trained.
        budget: how many builds there may be.
        margin: a loss of no more than this is none.
        wheels: a folder of wheels, so that no index is asked for libraries.
        build_seconds: a build that takes longer is ended, and counts as one that failed; ten minutes, or ten times
            as long as the slower of both runs took, if None.
        progress: told of each build.

    Raises:
        UsageError: the versions predict different things, or the metric has no rows.
        RefusedError: a version wasn't recorded, or there are too few rows to judge on.
        OutsideError: the good or the bad version can't be built again.
    """
    if budget < 2:
        raise UsageError(f"{budget} builds tell nothing", mend="--budget 40")
    if build_seconds is not None and not build_seconds > 0:
        raise UsageError(f"no build is done within {build_seconds} s", mend="--build-seconds 600")
    if good.id == bad.id:
        raise UsageError(f"both are {good.reference}", mend="name two versions")
    for one in (good, bad):
        require_recorded(one)
    chosen = metric_of(good, bad, metric)
    judged = rows_to_judge(good, bad, on)
    found = Bisection(good.reference, bad.reference, chosen, judged)
    loaded = functools.cache(good.load)  # only when rows are to be looked at, as it may need other libraries
    score = score_by(lambda rows: loaded().predict(rows), judged.target, good.signature_of().names)
    with tempfile.TemporaryDirectory(prefix="clew-bisect-") as temporary:
        folder = Path(temporary)
        differences, found.changes, found.notes = find_differences(
            good, bad, score=score, target=judged.target, folder=folder, wheels=wheels
        )
        if judged.left_out:
            found.notes.append(f"{judged.left_out:,} rows were left out, as a version was trained on them")
        if not found.changes:
            found.says = f"nothing that is recorded differs between {good.reference} and {bad.reference}"
            return found
        seconds = _patience(good, bad) if build_seconds is None else build_seconds
        _search(found, good, bad, differences, folder, budget, margin, seconds, progress)
    return found


def _patience(*versions: ModelVersion) -> float:
    """How many seconds a build may take."""
    took = 0.0
    for version in versions:
        run = version.workspace.catalog.get(tables.runs, version.run_id)
        if run.ended_at is not None:
            took = max(took, (run.ended_at - run.recorded_at).total_seconds())
    return max(_PATIENCE, 10 * took)


def _search(
    found: Bisection,
    good: ModelVersion,
    bad: ModelVersion,
    differences: Differences,
    folder: Path,
    budget: int,
    margin: float,
    seconds: float,
    progress: Progress,
) -> None:
    workspace = good.workspace
    alive.mark_interrupted(workspace)
    with alive.starting(workspace) as hold:
        found.run = _start(good, bad, differences)
        hold(found.run)
        state: Literal["done", "failed", "cancelled"] = "failed"
        error: str | None = None
        try:
            made = Builds(
                workspace, good.model, differences, found.judged, found.metric,
                run_id=found.run, budget=budget, folder=folder, seconds=seconds, progress=progress,
            )  # fmt: skip
            with closing(made):
                _explore(found, made, differences, margin)
            found.builds = made.made
            _keep(found, good)
            state = "done"
        except KeyboardInterrupt:
            state, error = "cancelled", "cancelled by Ctrl-C"
            raise
        except ClewError as raised:
            error = raised.message
            raise
        finally:
            workspace.catalog.execute(EndRun(run_id=found.run, state=state, error=error))


def _explore(found: Bisection, made: Builds, differences: Differences, margin: float) -> None:
    search = Search(made, margin=margin)
    every: Cell = frozenset(found.changes)
    good, bad = search.cells([frozenset(), every])
    for end, which in ((good, found.good), (bad, found.bad)):
        if isinstance(end, Unbuilt):
            found.verdict = "not built"
            found.says = f"{which} can't be built again here: {end.error}"
            return
    assert isinstance(good, Measured)
    assert isinstance(bad, Measured)
    try:
        found.chance = _chance(made, good, differences)
    except BudgetSpentError:
        found.notes.append("the budget left no build to see what another seed does")
    limit = max(margin, 2 * found.chance) if found.chance is not None else margin
    search = Search(made, margin=limit)
    level = search.explore(found.changes)
    assert isinstance(level, Level)
    found.level = level
    shown = found.metric.shown
    ends = f"{found.metric.name} {shown(level.good.value):,.6g} → {shown(level.bad.value):,.6g}"
    if level.good.predictions == level.bad.predictions:
        found.verdict, found.says = "no loss", f"both predict the same for all of {found.judged.says}"
    elif not level.is_loss:
        why = "no more than another seed does" if level.loss.estimate > 0 and level.loss.low > 0 else "no loss is shown"
        found.verdict, found.says = "no loss", f"{ends} on {found.judged.says}: {why}"
        if not level.loss.low > 0:
            found.notes.append(
                "if it is worse on other rows, name them: --on DATASET@VERSION, or --outcomes ENDPOINT for what came "
                "true in service"
            )
    else:
        names = "; ".join(change.says for change in level.guilty())
        found.verdict = "found" if level.complete else "budget spent"
        found.says = f"{ends} on {found.judged.says}: {names or 'not narrowed down'}"


def _chance(made: Builds, good: Measured, differences: Differences) -> float | None:
    """The root mean square by which the metric moves with other seeds, where they are no difference themselves."""
    name = next((name for name in SEEDS if name in differences.parameters), None)
    if name is None:
        return None
    seed, other = differences.parameters[name]
    if seed != other or not isinstance(seed, int):
        return None
    moved = []
    for more in range(1, _OTHER_SEEDS + 1):
        [built] = made([frozenset()], {name: seed + 1000 + more})
        if isinstance(built, Measured):
            moved.append(contrast([built], [good], 0.05).estimate)
    return (sum(one * one for one in moved) / len(moved)) ** 0.5 if moved else None


def _start(good: ModelVersion, bad: ModelVersion, differences: Differences) -> str:
    """Record that the bisection begins; it stands beside the runs whose crossings are its trials."""
    workspace = good.workspace
    run = workspace.catalog.get(tables.runs, bad.run_id)
    inputs = {}
    for name, role in differences.roles.items():
        for which, snapshot in (("good", role.good), ("bad", role.bad)):
            if snapshot is not None:
                inputs[f"{name} ({which})"] = (snapshot.reference, snapshot.id)
    run_id: str = workspace.catalog.execute(
        StartRun(
            name=f"bisect {good.reference} {bad.reference}",
            pipeline=run.pipeline,
            entry=run.entry,
            provenance="recorded",
            code_id=str(run.code_id),
            environment_id=str(run.environment_id),
            parameters={"good": good.reference, "bad": bad.reference},
            criteria=[],
            inputs=inputs,
            plan={"bisect": [good.reference, bad.reference]},
            occurred_at=now(),
        )
    )
    return run_id


def _keep(found: Bisection, good: ModelVersion) -> None:
    """Keep what was found, as what the run's one step gave."""
    stored = values.store(good.workspace.objects, found.facts(), inline=True)
    good.workspace.catalog.execute(
        FinishStep(
            run_id=found.run,
            ordinal=0,
            name="bisect",
            state="ran",
            cache_key=None,
            key_parts=None,
            why=found.says[:500],
            inputs={},
            outputs={"result": stored.spec},
            started_at=now(),
        )
    )


def kept(workspace: Any, run_id: str) -> dict[str, Any] | None:
    """What a bisection found, by its run; None for other runs."""
    s, x = tables.steps.c, tables.step_artifacts.c
    row = workspace.catalog.first(
        sa.select(tables.artifacts)
        .select_from(tables.steps)
        .join(tables.step_artifacts, x.step_id == s.id)
        .join(tables.artifacts, tables.artifacts.c.id == x.artifact_id)
        .where(s.run_id == run_id, s.name == "bisect", x.direction == "out")
    )
    if row is None:
        return None
    facts: dict[str, Any] = stored(row).load(workspace.objects)
    return facts
