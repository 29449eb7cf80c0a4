"""The way back: restore, and rebuild with a verdict."""

import hashlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.projects import Project

from clew import models
from clew.catalog.tables import builds
from clew.errors import IntegrityError, NotFoundError, RefusedError
from clew.models import environments, wheels
from clew.models.rebuild import rebuild
from clew.models.restore import restore

PIPELINE = """
import numpy as np

class Slope:
    def __init__(self, slope):
        self.slope = slope
    def predict(self, rows):
        return rows["x"].to_numpy() * self.slope

@clew.step
def train(rows: pl.DataFrame, shift: float) -> clew.Model:
    return clew.Model(Slope(float((rows["y"] / rows["x"]).mean()) + shift), example=rows.select("x"))

@clew.step
def evaluate(model: clew.Model, rows: pl.DataFrame) -> clew.Evaluation:
    return clew.Evaluation({"mae": float(abs(model.predict(rows) - rows["y"].to_numpy()).mean())})

@clew.step
def keep(rows: pl.DataFrame) -> pl.DataFrame:
    return rows NOISE

@clew.pipeline(accept=[clew.at_most("mae", 10.0)])
def slope(
    points: pl.DataFrame = clew.dataset("points@latest"), shift: float = 0.0, label: str = "it's a 'test'"
) -> None:
    rows = keep(points)
    model = train(rows, shift)
    clew.register("slope", model=model, evaluation=evaluate(model, rows), train=rows, test=rows, target="y")
"""


def _registered(project: Project, noise: str = "", imports: str = "") -> models.ModelVersion:
    points = pl.DataFrame({"x": [float(at) for at in range(1, 60)], "y": [2.5 * at for at in range(1, 60)]})
    project.workspace.add("points", points, key=["x"])
    project.write(imports + PIPELINE.replace("NOISE", noise))
    assert project.run().models == ["slope@1"]
    # The newest version is not what trained slope@1, and the sources are gone: neither may matter.
    project.workspace.add("points", points.head(7))
    return models.find(project.workspace, "slope@1")


def test_a_restored_folder_holds_everything_and_its_readme_works(project: Project, tmp_path: Path) -> None:
    version = _registered(project)
    (project.code / "pipeline.py").unlink()
    dest = tmp_path / "restored"
    about = restore(version, dest)
    assert (dest / "code" / "pipeline.py").is_file()
    assert pl.read_parquet(dest / "data" / "points-1.parquet").height == 59
    assert json.loads((dest / "parameters.json").read_text())["label"] == "it's a 'test'"
    assert "polars==" in (dest / "environment" / "requirements.txt").read_text()
    assert json.loads((dest / "provenance.json").read_text())["id"] == version.content_id
    commands = [line for line in (dest / "README.md").read_text().splitlines() if line.startswith("clew ")]
    assert len(commands) == len(about["commands"]) == 3
    environment = {name: value for name, value in os.environ.items() if name != "CLEW_WORKSPACE"}
    for command in commands:
        words = [sys.executable, "-m", "clew.cli", *shlex.split(command)[1:]]
        done = subprocess.run(words, cwd=dest, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "slope@1" in done.stdout


def test_a_folder_that_is_not_empty_is_refused(project: Project, tmp_path: Path) -> None:
    version = _registered(project)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(RefusedError, match="not an empty folder"):
        restore(version, tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_a_rebuild_is_identical_by_content(project: Project) -> None:
    verdict = rebuild(_registered(project))
    assert verdict["verdict"] == "identical"
    assert verdict["causes"] == []
    assert all(verdict["same"].values())
    assert verdict["ids"]["predictions"][0] == verdict["ids"]["predictions"][1]


@pytest.mark.slow
def test_randomness_without_a_seed_is_seen_and_the_step_is_named(project: Project) -> None:
    version = _registered(project, ".with_columns(pl.col('y') + np.random.default_rng().normal(size=len(rows)))")
    verdict = rebuild(version)
    assert verdict["verdict"] == "different"
    assert verdict["same"]["data"]
    assert not verdict["same"]["predictions"]
    assert any("step keep" in cause for cause in verdict["causes"])


def test_a_model_file_that_was_tampered_with_is_refused(project: Project) -> None:
    version = _registered(project)
    path = project.workspace.objects.open_path(version.digest)
    path.chmod(0o644)
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(bytes(body))
    with pytest.raises(IntegrityError, match=version.digest[:12]):
        version.load()


KEPT = ("packaging",)
"""What stands for all that is installed: wheels of a hundred distributions take a minute to pack."""


@pytest.fixture
def small_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks name few distributions only."""
    whole = environments.read_lock
    monkeypatch.setattr(
        environments, "read_lock", lambda text: {name: one for name, one in whole(text).items() if name in KEPT}
    )


@pytest.mark.usefixtures("small_lock")
def test_wheels_are_kept_once_laid_out_and_verified(project: Project, tmp_path: Path) -> None:
    version = _registered(project)
    workspace = project.workspace
    recorded = workspace.catalog.get(
        builds.environments, str(workspace.catalog.get(builds.runs, version.run_id).environment_id)
    )
    with pytest.raises(NotFoundError, match="no wheels are kept for 1 of 1 distributions: packaging"):
        rebuild(version, offline=True)
    assert wheels.keep(version)["new"] == 1
    again = wheels.keep(version)
    assert (again["kept"], again["new"]) == (1, 0)
    [file] = wheels.lay_out(workspace, recorded, tmp_path / "wheels").iterdir()
    python = environments.make({"packaging": file.name.split("-")[1]}, tmp_path / "new", wheels=file.parent)
    subprocess.run([python, "-c", "import packaging"], check=True)
    path = workspace.objects.open_path(hashlib.sha256(file.read_bytes()).hexdigest())
    path.chmod(0o644)
    path.write_bytes(b"damaged" + path.read_bytes()[7:])
    with pytest.raises(IntegrityError):
        wheels.lay_out(workspace, recorded, tmp_path / "again")


def test_wheels_of_what_is_not_installed_here_are_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    version = _registered(project)
    monkeypatch.setattr(environments, "read_lock", _with_another_polars(environments.read_lock))
    with pytest.raises(RefusedError, match=r"1 distributions of slope@1 aren't installed here .* polars==0\.1"):
        wheels.keep(version)


def _with_another_polars(whole: Any) -> Any:
    calls = []

    def read_lock(text: str) -> dict[str, str]:
        calls.append(text)
        return dict(whole(text)) | ({"polars": "0.1"} if len(calls) == 1 else {})

    return read_lock


def test_noise_within_the_tolerance_is_said_to_be(project: Project) -> None:
    version = _registered(project, ".with_columns(pl.col('y') + np.random.default_rng().normal(size=len(rows)) / 1000)")
    verdict = rebuild(version, tolerance=0.9)
    assert verdict["verdict"] == "within-tolerance"
    assert verdict["first_difference"] == {"step": "keep", "output": "result"}
    assert any("randomness without a seed" in cause for cause in verdict["causes"])
    with pytest.raises(RefusedError, match=r"1\.5 is no share"):
        rebuild(version, tolerance=1.5)


def test_a_file_that_changed_since_is_named_and_no_randomness_is_blamed(project: Project, tmp_path: Path) -> None:
    level = tmp_path / "level.txt"
    level.write_text("1")
    version = _registered(
        project, f".with_columns(pl.col('y') * float(Path({str(level)!r}).read_text()))", "from pathlib import Path\n"
    )
    level.write_text("2")
    verdict = rebuild(version)
    assert verdict["verdict"] == "different"
    assert verdict["causes"][0] == "step keep is the first whose output differs"
    assert any("a source outside of the workspace: step keep" in cause for cause in verdict["causes"])
    assert not any("randomness" in cause for cause in verdict["causes"])


def test_threads_are_told_from_chance(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What differs only where there are several threads, as sums of floats do."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)  # a server that ran in this process has set it
    noise = "np.random.default_rng().normal(size=len(rows)) * (os.environ.get('OMP_NUM_THREADS') != '1')"
    version = _registered(project, f".with_columns(pl.col('y') + {noise})", "import os\n")
    verdict = rebuild(version)
    assert any(cause.startswith("threads: ") for cause in verdict["causes"]), verdict["causes"]
