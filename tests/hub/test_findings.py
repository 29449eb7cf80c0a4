"""What is odd in a dataset stands on its pages."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from tests.hub.client import Pages
from tests.projects import Project, made

from clew.hub import create_app
from clew.hub.queries import odd


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    yield from made(tmp_path / "project")


def test_what_is_odd_in_a_table_is_shown(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pl.DataFrame({"depth": [0.0 if n % 20 == 7 else 30.0 + n % 17 for n in range(400)], "<b>": [7] * 400})
    project.workspace.add("plots", rows)
    pages = Pages(create_app(project.workspace))
    for path in ("/datasets/plots", "/datasets/plots/1"):
        text = pages.get(path).text
        assert "0 in 20 of 400 rows" in text
        assert "has one value only, 7" in text
        assert "<b>" not in text
    facts = pages.get("/api/datasets/plots").json()["findings"]
    assert (facts["reference"], facts["read"]) == ("plots@1", 400)
    assert {(one["column"], one["kind"]) for one in facts["found"]} == {("depth", "zeros"), ("<b>", "constant")}
    project.workspace.add("plots", rows.head(300))
    monkeypatch.setattr(odd, "ROWS", 100)
    assert pages.get("/api/datasets/plots").json()["findings"]["read"] == 100
    assert pages.get("/api/datasets/plots/1").json()["findings"]["read"] == 400  # known, and not looked at again


def test_nothing_is_looked_for_in_files(project: Project, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_text("a")
    project.workspace.add("papers", tmp_path / "files")
    pages = Pages(create_app(project.workspace))
    assert pages.get("/api/datasets/papers").json()["findings"] is None
    assert "Findings" not in pages.get("/datasets/papers").text
