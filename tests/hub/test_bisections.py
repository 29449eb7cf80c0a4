"""The page of a bisection: what made it worse, with a picture of what each change does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.hub.client import Pages
from tests.hub.test_builds import pictures_of
from tests.models.houses import HELPERS, PIPELINE, sales
from tests.projects import Project, made

from clew import models
from clew.hub import create_app
from clew.models.bisection.bisect import bisect


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    yield from made(tmp_path / "project")


def test_a_bisection_shows_what_it_found(project: Project) -> None:
    project.write(HELPERS, "houses.py")
    project.write(PIPELINE)
    project.workspace.add("sales", sales(600), key=["id"])
    project.run()
    edited = PIPELINE.replace(
        'rows["price"].to_numpy()\n    kept', 'rows["price"].to_numpy() * (0.9 < 1) * 0.9\n    kept'
    )
    project.write(edited)
    project.run(test_share=0.3)
    found = bisect(*(models.find(project.workspace, f"price@{version}") for version in (1, 2)))
    pages = Pages(create_app(project.workspace))
    text = pages.get(f"/runs/{found.run}").text
    assert "What made it worse" in text
    assert "code of train: pipeline.train in pipeline.py" in text
    assert "* (0.9 &lt; 1) * 0.9" in text
    [picture] = [one for one in pictures_of(text) if one.get("class") == "effects"]
    titles = [title.text or "" for title in picture.iter("title")]
    assert "code of train: pipeline.train in pipeline.py" in titles
    assert "test_share 0.2 → 0.3 (does not matter)" in titles
    classes = [str(circle.get("class")) for circle in picture.iter("circle")]
    assert sorted(classes) == ["dot guilty"] * 2 + ["dot innocent"] * 2
    facts = pages.get(f"/api/runs/{found.run}").json()["bisection"]
    assert facts["verdict"] == "found"
    # Its builds stand on its own page and not among all runs; a run is no bisection.
    listed = pages.get("/api/runs").json()["runs"]
    assert [one["name"] for one in listed] == ["bisect price@1 price@2", "price", "price"]
    assert pages.get(f"/api/runs/{listed[1]['id']}").json()["bisection"] is None
