"""The pages of a run with branches and of a sweep: what was planned, what became of it, which trial was best."""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from tests.hub.client import Pages
from tests.pipelines.test_shapes import BRANCHES, MAPPED
from tests.pipelines.test_sweep import BOWL, SPACE, swept
from tests.projects import Project, made

from clew.hub import create_app


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    yield from made(tmp_path / "project")


def pictures_of(text: str) -> list[ET.Element]:
    return [ET.fromstring(found) for found in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]


def test_a_run_shows_its_plan_and_what_became_of_each_step(project: Project) -> None:
    project.write(BRANCHES.format(good="score > 0.5"))
    done = project.run(x=0.7)
    pages = Pages(create_app(project.workspace))
    [plan] = [one for one in pictures_of(pages.get(f"/runs/{done.run}").text) if one.get("class") == "chain"]
    titles = [title.text or "" for title in plan.iter("title")]
    assert any(re.match(r"publish × 3, pipeline.py:\d+: 2 ran, 1 skipped", title) for title in titles)
    assert any(re.match(r"tell, pipeline.py:\d+: skipped", title) for title in titles)
    project.write(MAPPED)
    mapped = project.run()
    text = pages.get(f"/runs/{mapped.run}").text
    assert "square × 8" in text
    facts = pages.get(f"/api/runs/{mapped.run}").json()
    assert {entry["name"]: entry["after"] for entry in facts["plan"]} == {
        "plan": [], "square": ["plan"], "total": ["square"], "pair": ["plan"], "joined": ["pair"]
    }  # fmt: skip


def test_a_sweep_shows_its_trials(project: Project) -> None:
    project.write(BOWL.format(fails="if depth < 3: raise ValueError('too shallow')"))
    found = swept(project, 25)
    pages = Pages(create_app(project.workspace))
    text = pages.get(f"/runs/{found.run}").text
    facts = pages.get(f"/api/runs/{found.run}").json()["sweep"]
    assert len(facts["trials"]) == 25
    assert facts["ranked"][0]["value"] == found.ranked()[0].value
    assert facts["failed"] == sum(trial.value is None for trial in found.trials)
    curves = [one for one in pictures_of(text) if one.get("class") == "curve"]
    assert len(curves) == 1 + len(SPACE)
    for curve in curves:
        dots = list(curve.iter("circle"))
        assert len(dots) == 25 - facts["failed"]
        assert [one.get("class") for one in dots].count("dot best") == 1
    # Trials stand on their sweep's page, not among all runs.
    assert pages.get("/api/runs").json()["total"] == 1
    assert pages.get(f"/runs/{found.trials[0].run}").status_code == 200


SAYS = """
@clew.step
def says(x: int) -> int:
    print("at first <b>")
    return x
@clew.step
def silent(x: int) -> int:
    return x
@clew.pipeline
def main() -> None:
    silent(says(1))
"""


def test_the_page_follows_a_run_and_shows_what_its_steps_print(project: Project) -> None:
    project.write(SAYS)
    pages = Pages(create_app(project.workspace))
    seen: list[str] = []

    def look(name: str, state: str, _why: str) -> None:
        if (name, state) == ("silent", "running"):
            run = pages.get("/api/runs").json()["runs"][0]["id"]
            seen.append(pages.get(f"/runs/{run}").text)

    done = project.run(observer=look)
    [text] = seen
    assert 'http-equiv="refresh"' in text
    assert "1 of 2 steps done" in text
    text = pages.get(f"/runs/{done.run}").text
    assert "refresh" not in text
    assert f"/runs/{done.run}/steps/says/log" in text
    assert f"/runs/{done.run}/steps/silent/log" not in text
    said = pages.get(f"/runs/{done.run}/steps/says/log").text
    assert "at first &lt;b&gt;" in said
    assert pages.get(f"/api/runs/{done.run}/steps/says/log").json()["text"] == "at first <b>\n"
    assert pages.get(f"/runs/{done.run}/steps/nobody/log").status_code == 404
