"""Rebuilding a version: restored into a folder of its own, run again there, and compared by content.

Where it comes out different, it is run once more in the same environment: what differs between the two is left to
chance, or to threads; what doesn't comes from what isn't the same as it was.
"""

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from clew.catalog.tables import builds
from clew.errors import OutsideError, RefusedError
from clew.models import environments, registry, wheels
from clew.models.bisection.judging import stored
from clew.models.registry import ModelVersion
from clew.models.restore import erased_rows, make_recipe, restore
from clew.pipelines import environment
from clew.workspace import open_folder

TOLERANCE: Final = 1e-6
"""Metrics and predictions that differ by no more than this share count as within tolerance."""
ONE_THREAD: Final = dict.fromkeys(
    (
        "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS",
        "POLARS_MAX_THREADS", "VECLIB_MAXIMUM_THREADS",
    ),
    "1",
)  # fmt: skip
Say = Callable[[str], None]


@dataclass(frozen=True)
class Built:
    """What a build came to, by content."""

    inputs: dict[str, str]
    """Content id by role."""
    outputs: dict[tuple[str, str], str]
    """Content id of what each step gave, in order, but for models."""
    predictions: str
    predicted: pl.Series
    """For each test row."""
    metrics: Mapping[str, float]
    environment: sa.Row[Any]
    lock: dict[str, str]

    def first_difference(self, other: "Built") -> tuple[str, str] | None:
        """The first step and output that isn't the same; None when all are."""
        return next((key for key, found in self.outputs.items() if other.outputs.get(key) != found), None)


def rebuild(
    version: ModelVersion,
    *,
    fresh: bool = False,
    offline: bool = False,
    tolerance: float = TOLERANCE,
    say: Say = lambda _text: None,
) -> dict[str, Any]:
    """Build a version again from what was recorded, in a new workspace, and compare.

    The environment of this process is used when its lock equals the recorded one, else (or with `fresh`) a new
    virtual environment is made from the lock. The verdict is "identical" (content ids of data, rows and predictions,
    and metrics), "within-tolerance" (metrics differ by at most the tolerance, as a share, and so do predictions on
    average), or "different", with the first step whose output differs, and causes.

    Args:
        version: what is built again.
        fresh: make a new environment in any case.
        offline: make it from the wheels that are kept with the workspace (`clew model wheels`), asking no index.
        tolerance: a share, such as 0.01.
        say: told what is being done.

    Raises:
        RefusedError: the version was not recorded by clew, so nothing is promised; or its data were erased.
        NotFoundError: wheels are wanted that aren't kept.
        OutsideError: the environment can't be made, or the run failed; its output is in the message.
    """
    if version.provenance != "recorded":
        raise RefusedError(
            f"{version.reference} is {version.provenance}: a rebuild is promised for recorded versions"
            f"{_lacks(version)}",
            mend=f"clew model show {version.reference} says what is known",
        )
    if not 0 <= tolerance < 1:
        raise RefusedError(f"{tolerance} is no share", mend="--tolerance 0.01")
    with tempfile.TemporaryDirectory(prefix="clew-rebuild-") as temporary:
        folder = Path(temporary)
        recorded = _recorded(version)
        python, kind = _python(version, recorded, folder, fresh or offline, offline, say)
        say("building it again")
        again = _build(version, folder / "restored", python, {})
        same = _same(recorded, again)
        verdict: dict[str, Any] = {"verdict": "identical", "causes": [], "first_difference": None}
        if not all(same.values()):
            first = recorded.first_difference(again)
            verdict = {
                "verdict": "within-tolerance" if _is_close(recorded, again, tolerance) else "different",
                "causes": _causes(version, recorded, again, first, _repeated(version, folder, python, again, say)),
                "first_difference": None if first is None else {"step": first[0], "output": first[1]},
            }
    ids = {
        "predictions": [recorded.predictions, again.predictions],
        "data": [[recorded.inputs.get(role), again.inputs.get(role)] for role in sorted(recorded.inputs)],
    }
    return {"model": version.reference, **verdict, "same": same, "ids": ids, "environment": kind}


def _lacks(version: ModelVersion) -> str:
    """What would have to be known, in words."""
    run = version.workspace.catalog.get(builds.runs, version.run_id)
    lacking = [name for name, found in (("code", run.code_id), ("environment", run.environment_id)) if found is None]
    if version.provenance == "declared":
        return ", and what a script read beside what it said isn't known"
    return f"; of this one the {' and the '.join(lacking)} isn't known" if lacking else ""


def _python(
    version: ModelVersion, recorded: Built, folder: Path, fresh: bool, offline: bool, say: Say
) -> tuple[str, str]:
    if not fresh and environment.current().content_id == recorded.environment.content_id:
        return sys.executable, "this one, whose lock equals the recorded"
    say("making the recorded environment")
    kept = wheels.lay_out(version.workspace, recorded.environment, folder / "wheels") if offline else None
    python = environments.make(recorded.lock, folder / "environment", wheels=kept)
    return python, f"new, from {'wheels kept with the workspace' if offline else 'the recorded lock'}"


def _recorded(version: ModelVersion) -> Built:
    return _taken(version, version.workspace.catalog.get(builds.runs, version.run_id))


def _taken(version: ModelVersion, run: sa.Row[Any]) -> Built:
    workspace = version.workspace
    found = workspace.catalog.get(builds.environments, str(run.environment_id))
    s, x, a = builds.steps.c, builds.step_artifacts.c, builds.artifacts.c
    # The bytes of a model may differ while it predicts the same (times in its file), so models don't count here.
    outputs = workspace.catalog.rows(
        sa.select(s.name, x.name.label("output"), a.content_id)
        .join(builds.step_artifacts, x.step_id == s.id)
        .join(builds.artifacts, a.id == x.artifact_id)
        .where(s.run_id == version.run_id, x.direction == "out", a.kind != "model")
        .order_by(s.ordinal)
    )
    predictions = version.artifact("predictions")
    return Built(
        inputs={one["role"]: one["id"] for one in version.inputs()},
        outputs={(row.name, row.output): row.content_id for row in outputs},
        predictions=str(predictions.content_id),
        predicted=stored(predictions).load(workspace.objects, pl.DataFrame)["prediction"],
        metrics=dict(version.metrics),
        environment=found,
        lock=environments.read_lock(workspace.objects.get(found.digest).decode()),
    )


def _build(version: ModelVersion, place: Path, python: str, variables: Mapping[str, str]) -> Built:
    """Restore the version there, and run it."""
    restore(version, place)
    for command in make_recipe(version, place).commands:
        _run(python, place, command, variables)
    with open_folder(place) as workspace:
        return _recorded(registry.find(workspace, f"{version.model}@latest"))


def _run(python: str, place: Path, command: list[str], variables: Mapping[str, str]) -> None:
    clean = {name: value for name, value in os.environ.items() if name not in ("CLEW_WORKSPACE", "PYTHONPATH")}
    clean |= {"PYTHONPATH": str(place / "code" / "_elsewhere"), **variables}
    where = [] if command[0] == "init" else ["--workspace", str(place)]
    done = subprocess.run(
        [python, "-m", "clew.cli", *command, *where], cwd=place, env=clean, capture_output=True, text=True, check=False
    )
    # A version that was refused when it was registered is refused again: that is the same.
    if done.returncode not in (0, RefusedError.exit_code):
        raise OutsideError(
            f"clew {' '.join(command)} failed in the restored folder:\n{done.stderr[-3000:]}",
            mend="clew model restore it, and run the commands of its README by hand",
        )


def _same(recorded: Built, again: Built) -> dict[str, bool]:
    rows = ("train", "test")
    return {
        "data": all(again.inputs.get(role) == found for role, found in recorded.inputs.items() if role not in rows),
        "training rows": recorded.inputs.get("train") == again.inputs.get("train"),
        "test rows": recorded.inputs.get("test") == again.inputs.get("test"),
        "predictions": recorded.predictions == again.predictions,
        "metrics": dict(recorded.metrics) == dict(again.metrics),
    }


def _is_close(recorded: Built, again: Built, tolerance: float) -> bool:
    return (
        recorded.metrics.keys() == again.metrics.keys()
        and all(
            math.isclose(recorded.metrics[name], again.metrics[name], rel_tol=tolerance) for name in recorded.metrics
        )
        and _moved(recorded.predicted, again.predicted) <= tolerance
    )


def _moved(before: pl.Series, after: pl.Series) -> float:
    """By how much predictions differ: on average, as a share of their mean size; of classes the share that does."""
    if len(before) != len(after) or before.dtype != after.dtype:
        return math.inf
    if not before.dtype.is_float():
        return int(before.ne_missing(after).sum()) / max(1, len(before))
    off, size = (after - before).abs().mean(), before.abs().mean()
    if not isinstance(off, float) or not isinstance(size, float) or math.isnan(off):
        return 0.0 if before.equals(after) else math.inf
    return off / size if size else (0.0 if not off else math.inf)


def _repeated(version: ModelVersion, folder: Path, python: str, again: Built, say: Say) -> str | None:
    """What differs from one build to the next in one environment: "chance", "threads"; None when nothing does."""
    say("building it once more, to see what is left to chance")
    once_more = _build(version, folder / "once-more", python, {})
    if again.first_difference(once_more) is None and again.predictions == once_more.predictions:
        return None
    say("twice with one thread")
    with ExitStack() as held:
        places = [held.enter_context(tempfile.TemporaryDirectory(dir=folder)) for _ in range(2)]
        one, other = (_build(version, Path(place), python, ONE_THREAD) for place in places)
    steady = one.first_difference(other) is None and one.predictions == other.predictions
    return "threads" if steady else "chance"


def _causes(
    version: ModelVersion, recorded: Built, again: Built, first: tuple[str, str] | None, repeated: str | None
) -> list[str]:
    causes = []
    erased = erased_rows(version)
    if erased:
        causes.append(f"{erased:,} rows of its data were erased since")
    elif not _same(recorded, again)["data"]:
        causes.append("the restored data are not what was recorded")
    if first is not None:
        causes.append(f"step {first[0]} is the first whose output differs")
    if repeated == "chance":
        causes.append("randomness without a seed: built twice in one environment, it came out different each time")
    elif repeated == "threads":
        causes.append("threads: built twice it came out different, and with one thread (OMP_NUM_THREADS=1, …) the same")
    if repeated is None:
        causes += _environment_causes(recorded, again)
        causes += _outside(version)
    return causes


def _environment_causes(recorded: Built, again: Built) -> list[str]:
    then, now = recorded.environment, again.environment
    causes = []
    if then.platform != now.platform:
        causes.append(f"the platform: {then.platform} then, {now.platform} now")
    if then.python != now.python:
        causes.append(f"Python: {then.python} then, {now.python} now")
    moved = [name for name in recorded.lock if recorded.lock[name] != again.lock.get(name) and name != "clew"]
    if moved:
        said = ", ".join(f"{name} {recorded.lock[name]} → {again.lock.get(name, 'missing')}" for name in moved[:5])
        causes.append(f"libraries: {said}{f' and {len(moved) - 5} more' if len(moved) > 5 else ''}")
    causes += [
        f"{name} was {then.settings.get(name)} then, and is {now.settings.get(name)} now"
        for name in sorted(then.settings.keys() | now.settings.keys())
        if name.isupper() and then.settings.get(name) != now.settings.get(name)
    ]
    if not causes and then.settings.get("cpus") != now.settings.get("cpus"):
        causes.append(f"the number of cores: {then.settings.get('cpus')} then, {now.settings.get('cpus')} now")
    return causes


def _outside(version: ModelVersion) -> list[str]:
    """Steps that read what the workspace doesn't hold, as was seen when they ran."""
    s = builds.steps.c
    rows = version.workspace.catalog.rows(
        sa.select(s.name, s.why).where(s.run_id == version.run_id, s.state == "ran").order_by(s.ordinal)
    )
    marks = ("which it doesn't declare", "the code reads")
    return [
        f"a source outside of the workspace: step {row.name}: {row.why.partition('not cached, since ')[2] or row.why}"
        for row in rows
        if any(mark in row.why for mark in marks)
    ]
