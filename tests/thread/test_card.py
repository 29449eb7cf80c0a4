"""The card of a model version, as facts, Markdown and page."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.hub.client import Pages
from tests.projects import Project, made

import clew
from clew import models
from clew.catalog.commands import DescribeModel
from clew.data import add
from clew.errors import NotFoundError, UsageError
from clew.hub import create_app
from clew.models import Model, by_slice, regression
from clew.models.history import alias_history
from clew.thread.card import card
from clew.thread.card_text import markdown, text

HOSTILE = "<script>alert(1)</script> [x](javascript:1) `*_|#"


class Twice:
    def predict(self, rows: pl.DataFrame) -> np.ndarray:
        return rows["x"].to_numpy() * 2


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    for found in made(tmp_path_factory.mktemp("card") / "project"):
        _fill(found)
        yield found


def _fill(project: Project) -> None:
    """price@1, declared, whose errors in one district of four are three times as large; and other@1, without a test."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=400)
    district = ["north", "south", "east", HOSTILE] * 100
    noise = rng.exponential(size=400) * np.where(np.arange(400) % 4 == 3, 3.0, 1.0)
    rows = pl.DataFrame({"x": x, "y": 2 * x + noise, "district": district}).with_columns(
        day=pl.Series([date(2026, 1, 1) + timedelta(days=at) for at in range(400)])
    )
    path = project.folder / "sales.parquet"
    rows.write_parquet(path)
    add(project.workspace, "sales", path)
    model = Model(Twice(), example=rows.select("x"))
    said = model.predict(rows)
    with clew.record("price", workspace=project.workspace, parameters={"odd": HOSTILE}) as run:
        run.use("sales@1")
        slices = by_slice("district", district, rows["y"].to_numpy(), said)
        train, test = rows.head(200), rows
        run.log_metrics(**regression(rows["y"].to_numpy(), said), mape_of_another_kind=0.5)
        run.register(model, train=train, test=test, target="y", slices=slices)
    with clew.record("other", workspace=project.workspace) as run:
        run.use("sales@1")
        run.register(model)


def of(project: Project, reference: str) -> dict[str, Any]:
    return card(models.find(project.workspace, reference))


def test_what_is_recorded_is_on_it(project: Project) -> None:
    found = of(project, "price@1")
    assert (found["provenance"], found["predicts"], found["live"]) == ("declared", "y", [])
    assert found["promise"].startswith("a script or notebook said")
    assert found["data"]["snapshots"][0]["snapshot"] == "sales@1"
    periods = {one["role"]: one["period"] for one in found["data"]["rows"]}
    assert periods["train"] == {"column": "day", "first": "2026-01-01", "last": "2026-07-19"}
    assert periods["test"]["last"] == "2027-02-04"
    metrics = {one["metric"]: one for one in found["metrics"]}
    mae = metrics["mae"]
    assert mae["low"] < mae["value"] < mae["high"] < 1.2 * mae["value"]
    assert metrics["mape_of_another_kind"]["low"] is None  # nothing is known of how it was measured
    weak = found["limits"]["weak_slices"]
    assert [(one["slice"], one["value"]) for one in weak] == [("district", HOSTILE)]
    assert weak[0]["mae"] == pytest.approx(3.0, rel=0.3)
    assert found["lineage"]["parameters"] == {"odd": HOSTILE}
    json.dumps(found, default=str, allow_nan=False)


def test_a_version_without_a_test_has_a_card_too(project: Project) -> None:
    found = of(project, "other@1")
    assert (found["metrics"], found["slices"], found["comparison"], found["predicts"]) == ([], [], None, None)
    assert "Nobody has said yet what it is for." in markdown(found)


def test_intended_use_is_declared_and_holds_for_later_versions(project: Project) -> None:
    version = models.find(project.workspace, "other@1")
    say = project.workspace.catalog.execute
    first = say(DescribeModel(model_version_id=version.id, intended_use="a first guess"))
    second = say(DescribeModel(model_version_id=version.id, limits="not for plots"))
    assert first != second == say(DescribeModel(model_version_id=version.id, limits="not for plots"))
    found = of(project, "other@1")
    assert (found["intended_use"], found["limits"]["declared"]) == ("a first guess", "not for plots")
    assert found["described"]["of"] == "other@1"
    assert of(project, "price@1")["intended_use"] is None
    with clew.record("other", workspace=project.workspace) as run:
        run.use("sales@1")
        run.register(Model(Twice(), example=pl.DataFrame({"x": [5.0]})))
    later = of(project, "other@2")
    assert (later["intended_use"], later["described"]["of"]) == ("a first guess", "other@1")
    with pytest.raises(UsageError, match="without a word"):
        say(DescribeModel(model_version_id=version.id))
    with pytest.raises(NotFoundError):
        say(DescribeModel(model_version_id="00000000-0000-7000-8000-000000000000", limits="x"))


def test_the_markdown_is_text_and_nothing_else(project: Project) -> None:
    shown = markdown(of(project, "price@1"))
    assert "<script>" not in shown
    assert "[x](javascript" not in shown
    assert "Worse" not in shown
    for title in ("Intended use", "Data", "Metrics", "By slice", "Limits", "Acceptance", "Takes", "Lineage"):
        assert f"\n## {title}\n" in shown
    for line in shown.splitlines():
        if line.startswith("|") and "---" not in line:
            assert line.replace("\\|", "").count("|") in (4, 7), line
    assert text("a\nb\r# c | <b> & `d`") == "a b \\# c \\| \\<b\\> &amp; \\`d\\`"


def test_the_page_shows_it_escaped(project: Project) -> None:
    pages = Pages(create_app(project.workspace))
    page = pages.get("/models/price/1/card")
    assert page.status_code == 200
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text
    assert "weak" in page.text
    assert 'href="/models/price/1/card"' in pages.get("/models/price/1").text
    twin = pages.get("/api/models/price/1/card").json()
    assert twin["model"] == "price@1"
    assert pages.get("/models/price/9/card").status_code == 404


def test_the_history_of_aliases_says_who_when_why_from_what_to_what(project: Project, tmp_path: Path) -> None:
    del tmp_path
    move = models.move_alias
    assert alias_history(project.workspace, "price") == []
    with clew.record("price", workspace=project.workspace, parameters={"odd": "2"}) as run:
        run.use("sales@1")
        run.register(Model(Twice(), example=pl.DataFrame({"x": [5.0]})))
    move(project.workspace, "price@1", "staging", "first try")
    move(project.workspace, "price@2", "staging", "better")
    move(project.workspace, "price@1", "production", None)
    found = alias_history(project.workspace, "price")
    assert [(one["alias"], one["from"], one["to"], one["why"]) for one in found] == [
        ("price@production", None, "price@1", None),
        ("price@staging", "price@1", "price@2", "better"),
        ("price@staging", None, "price@1", "first try"),
    ]
    assert all(one["by"] and one["at"] for one in found)
    assert [one["why"] for one in alias_history(project.workspace, "price@staging")] == ["better", "first try"]
    with pytest.raises(NotFoundError, match="never had the alias"):
        alias_history(project.workspace, "price@nowhere")
    with pytest.raises(NotFoundError, match="no model"):
        alias_history(project.workspace, "nothing")


def test_what_leaks_stands_on_the_card_and_the_page(project: Project) -> None:
    """The test has the rows of the training as well, and the card says so."""
    facts = card(models.find(project.workspace, "price@1"))
    assert ("(rows)", "same-rows", 200) in {(one["column"], one["kind"], one["rows"]) for one in facts["leakage"]}
    assert "**(rows)**: 200 of 400 test rows are in the training as well" in markdown(facts)
    pages = Pages(create_app(project.workspace))
    for path in ("/models/price/1/card", "/models/price/1"):
        assert "200 of 400 test rows are in the training as well" in pages.get(path).text
    nobody_looked = card(models.find(project.workspace, "other@1"))
    assert nobody_looked["leakage"] is None
    assert "Leakage" not in markdown(nobody_looked)
