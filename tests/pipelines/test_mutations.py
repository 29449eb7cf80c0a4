"""What must run again after an edit runs again, and what needn't doesn't: three sets, the second written blind."""

import json
import os
import subprocess
import sys

import pytest
from tests.pipelines.mutations import FIRST, Case
from tests.pipelines.mutations_second import SECOND
from tests.pipelines.mutations_third import THIRD
from tests.projects import Project, status, why

NOT_CACHED = {"a decorator runs the docstring as SQL"}  # SQL may read any file, so it must be declared
NEEDLESS = {"a namesake method of a class that the step doesn't use"}  # nobody tells from text whose method it is


def check(project: Project, name: str, case: Case) -> None:
    for file, text in case.before.items():
        project.write(text, file)
    assert project.value(project.run("pipeline.py:main"), "answer") == case.first
    before = project.run("pipeline.py:main")
    assert project.value(before, "answer") == case.first
    assert status(before)["answer"] == ("ran" if name in NOT_CACHED else "cached"), why(before, "answer")
    for file, text in case.after.items():
        project.write(text, file)
    after = project.run("pipeline.py:main")
    assert project.value(after, "answer") == case.then
    assert status(after)["answer"] == ("ran" if case.reruns or name in NEEDLESS else "cached"), why(after, "answer")


@pytest.mark.filterwarnings("ignore:overriding existing custom namespace")  # a new process would register it once
@pytest.mark.parametrize("name", FIRST)
def test_first_set(project: Project, name: str) -> None:
    check(project, name, FIRST[name])


@pytest.mark.filterwarnings("ignore:overriding existing custom namespace")
@pytest.mark.parametrize("name", SECOND)
def test_second_set(project: Project, name: str) -> None:
    check(project, name, SECOND[name])


@pytest.mark.filterwarnings("ignore:registration of accessor")  # a new process would register it once
@pytest.mark.parametrize("name", THIRD)
def test_third_set(project: Project, name: str) -> None:
    check(project, name, THIRD[name])


ANYWHERE = """
import enum
from dataclasses import dataclass

WORDS = {"garden", "garage", "pool", "view", "lift"}
NESTED = {"a": frozenset(WORDS), "b": [WORDS, {1: WORDS}]}

class Kind(enum.Enum):
    FLAT = "flat"
    HOUSE = "house"

@dataclass(frozen=True)
class Limits:
    low: int = 1
    words: frozenset = frozenset(WORDS)

LIMITS = Limits()

def scored(words=frozenset(WORDS)):
    return len(words & LIMITS.words) + len(NESTED["a"]) + len(Kind)

@clew.step
def answer() -> float:
    return scored()

@clew.pipeline
def main() -> None:
    answer()
"""


def test_another_process_path_and_hash_seed(project: Project) -> None:
    project.write(ANYWHERE)
    said = []
    for seed in ("1", "2"):
        pipeline = str(project.code / "pipeline.py")
        command = [sys.executable, "-c", "from clew.cli import main; main()", "run", pipeline, "--json"]
        env = os.environ | {"PYTHONHASHSEED": seed, "CLEW_WORKSPACE": str(project.folder)}
        done = subprocess.run(command, env=env, cwd=project.folder, capture_output=True, text=True, check=True)
        said.append(json.loads(done.stdout)["steps"][0]["status"])
        project.code = project.code.rename(project.folder / "elsewhere")
    assert said == ["ran", "cached"]
