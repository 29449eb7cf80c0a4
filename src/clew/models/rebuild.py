"""Rebuilding a version: restored into a folder of its own, run again there, and compared by content."""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import sqlalchemy as sa

import clew
from clew.catalog.tables import builds
from clew.errors import OutsideError, RefusedError
from clew.models import registry
from clew.models.registry import ModelVersion
from clew.models.restore import make_recipe, restore
from clew.pipelines import environment
from clew.workspace import Workspace, open_folder

TOLERANCE = 1e-6
"""Metrics that differ by no more than this share count as within tolerance."""


def rebuild(version: ModelVersion, *, fresh: bool = False) -> dict[str, Any]:
    """Build a version again from what was recorded, in a new workspace, and compare.

    The environment of this process is used when its lock equals the recorded one, else (or with `fresh`) a new
    virtual environment is made from the lock. The verdict is "identical" (content ids of data, rows and predictions,
    and metrics), "within-tolerance" (metrics differ by at most one part in a million), or "different", with causes.

    Raises:
        RefusedError: the version was not recorded by clew, so nothing is promised.
        OutsideError: the environment can't be made, or the run failed; its output is in the message.
    """
    if version.provenance != "recorded":
        raise RefusedError(
            f"{version.reference} is {version.provenance}: a rebuild is promised for recorded versions",
            mend=f"clew model show {version.reference} says what is known",
        )
    with tempfile.TemporaryDirectory(prefix="clew-rebuild-") as folder:
        place = Path(folder) / "restored"
        restore(version, place)
        recorded = _environment(version)
        same_lock = environment.current().content_id == recorded.content_id
        python = sys.executable if same_lock and not fresh else _make_environment(place, Path(folder) / "venv")
        recipe = make_recipe(version, place)
        for command in recipe.commands:
            _run(python, place, command)
        with open_folder(place) as workspace:
            verdict = _compare(version, workspace, recipe.roles)
    kind = "this one, whose lock equals the recorded" if python == sys.executable else "new, from the recorded lock"
    return {"model": version.reference, **verdict, "environment": kind}


def _environment(version: ModelVersion) -> sa.Row[Any]:
    run = version.workspace.catalog.get(builds.runs, version.run_id)
    return version.workspace.catalog.get(builds.environments, str(run.environment_id))


def _run(python: str, place: Path, command: list[str]) -> None:
    clean = {name: value for name, value in os.environ.items() if name not in ("CLEW_WORKSPACE", "PYTHONPATH")}
    clean["PYTHONPATH"] = str(place / "code" / "_elsewhere")
    done = subprocess.run(
        [python, "-m", "clew.cli", *command, "--workspace", str(place)]
        if command[0] != "init"
        else [python, "-m", "clew.cli", *command],
        cwd=place,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    # A version that was refused when it was registered is refused again: that is the same.
    if done.returncode not in (0, RefusedError.exit_code):
        raise OutsideError(
            f"clew {' '.join(command)} failed in the restored folder:\n{done.stderr[-3000:]}",
            mend="clew model restore it, and run the commands of its README by hand",
        )


def _make_environment(place: Path, folder: Path) -> str:
    """A virtual environment with the recorded lock; clew itself from where it runs now."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
    python = str(folder / "bin" / "python")
    lock = (place / "environment" / "requirements.txt").read_text().splitlines()
    wanted = [line for line in lock if line and not line.startswith("clew==")]
    source = Path(clew.__file__).resolve().parents[2]
    install = Path(folder) / "requirements.txt"
    install.write_text("\n".join(wanted) + "\n")
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    pip = [uv, "pip", "install", "--quiet", "--python", python] if uv else [python, "-m", "pip", "install", "--quiet"]
    own = [str(source)] if (source / "pyproject.toml").exists() else [f"clew=={clew.__version__}"]
    for command in ([*pip, "--no-deps", "-r", str(install)], [*pip, "--no-deps", *own]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OutsideError(
                f"the recorded environment can't be made: {done.stderr[-2000:]}",
                mend="check the network, or rebuild in an environment that has this lock",
            )
    return python


def _compare(version: ModelVersion, workspace: Workspace, roles: dict[str, str]) -> dict[str, Any]:
    again = registry.find(workspace, f"{version.model}@latest")
    before = {one["role"]: one["id"] for one in version.inputs()}
    after = {one["role"]: one["id"] for one in again.inputs()}
    same = {
        "data": all(before.get(role) == after.get(role) for role in roles),
        "training rows": before.get("train") == after.get("train"),
        "test rows": before.get("test") == after.get("test"),
        "predictions": version.artifact("predictions").content_id == again.artifact("predictions").content_id,
        "metrics": dict(version.metrics) == dict(again.metrics),
    }
    ids = {
        "predictions": [version.artifact("predictions").content_id, again.artifact("predictions").content_id],
        "data": [[before.get(role), after.get(role)] for role in sorted(roles)],
    }
    if all(same.values()):
        return {"verdict": "identical", "causes": [], "same": same, "ids": ids}
    causes = _causes(version, again, same)
    close = version.metrics.keys() == again.metrics.keys() and all(
        math.isclose(version.metrics[name], again.metrics[name], rel_tol=TOLERANCE) for name in version.metrics
    )
    return {"verdict": "within-tolerance" if close else "different", "causes": causes, "same": same, "ids": ids}


def _causes(version: ModelVersion, again: ModelVersion, same: dict[str, bool]) -> list[str]:
    causes = []
    if not same["data"]:
        causes.append("the restored data are not what was recorded")
    before, after = _outputs(version), _outputs(again)
    # The bytes of a model may differ while it predicts the same (times in its file), so models don't count here.
    first = next((key for key, found in before.items() if after.get(key) != found), None)
    if first is not None:
        causes.append(f"step {first[0]} is the first whose output differs")
        causes.append("likely: randomness without a seed, a source outside of the workspace, or threads")
    then, now = _environment(version), _environment(again)
    if then.content_id != now.content_id:
        causes.append(f"the environment differs: {_lock_difference(version, again) or 'Python or platform'}")
    return causes


def _outputs(version: ModelVersion) -> dict[tuple[str, str], str]:
    s, x, a = builds.steps.c, builds.step_artifacts.c, builds.artifacts.c
    rows = version.workspace.catalog.rows(
        sa.select(s.name, x.name.label("output"), a.content_id)
        .join(builds.step_artifacts, x.step_id == s.id)
        .join(builds.artifacts, a.id == x.artifact_id)
        .where(s.run_id == version.run_id, x.direction == "out", a.kind != "model")
        .order_by(s.ordinal)
    )
    return {(row.name, row.output): row.content_id for row in rows}


def _lock_difference(version: ModelVersion, again: ModelVersion) -> str:
    locks = [set(one.workspace.objects.get(_environment(one).digest).decode().split()) for one in (version, again)]
    return json.dumps({"only then": sorted(locks[0] - locks[1])[:5], "only now": sorted(locks[1] - locks[0])[:5]})
