import logging
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
import pytest
from tests.hub.client import Pages
from tests.hub.conftest import House
from tests.thread.filled import HOSTILE, opened

from clew.data import add
from clew.hub import create_app, queries
from clew.hub.app import PAGES


def paths(house: House) -> list[str]:
    made = house.filled
    failed = house.pages.get(f"/api/runs/{made.runs['failed']}").json()
    return [
        "/",
        "/datasets",
        "/datasets/house-sales",
        "/datasets/house-sales/1",
        "/datasets/house-sales/2",
        "/datasets/house-sales/2/changes",
        "/runs",
        f"/runs/{made.runs['train 2']}",
        f"/runs/{made.runs['failed']}",
        *(f"/runs/{made.runs['failed']}/steps/{quote(step['name'], safe='')}/log" for step in failed["steps"]),
        f"/runs/{made.runs['train 2']}/steps/clean/log",
        "/models",
        "/models/house-price",
        "/models/house-price/2",
        "/models/house-price/3",
        "/models/house-price/2/card",
        "/models/house-price/3/card",
        "/endpoints",
        "/endpoints/house-price",
        "/predictions",
        f"/predictions/{made.predictions[0]}",
        f"/predictions/{made.predictions[1]}",
        "/thread/snapshot/house-sales@2",
        f"/thread/run/{made.runs['failed']}",
        "/compare/house-price@1/house-price@2",
    ]


class Elements(HTMLParser):
    """The elements of a page, its links and its inline styles or scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.links: list[str] = []
        self.active: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]
        self.active += [name for name, _ in attrs if name.startswith("on") or name == "style"]


def test_every_page_answers_is_escaped_and_has_a_json_twin(house: House) -> None:
    shown = 0
    for path in paths(house):
        page = house.pages.get(path)
        assert page.status_code == 200, path
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        elements = Elements(page.text)
        assert "script" not in elements.names, path
        assert "style" not in elements.names, path
        assert elements.active == [], path
        assert all(link.startswith(("/", "#")) for link in elements.links), path
        shown += page.text.count("&lt;script&gt;")
        twin = house.pages.get("/api/overview" if path == "/" else f"/api{path}")
        assert twin.status_code == 200, path
        assert twin.headers["content-type"] == "application/json"
        assert isinstance(twin.json(), dict)
    assert shown > 10  # the hostile texts are there, as text


def test_every_link_of_every_page_leads_somewhere(house: House) -> None:
    links = {link for path in paths(house) for link in Elements(house.pages.get(path).text).links}
    there = {link.partition("#")[0] for link in links} - {""}
    assert len(there) > 25
    assert {link: house.pages.get(link).status_code for link in there if house.pages.get(link).status_code != 200} == {}


def test_the_paths_in_this_test_cover_all_pages(house: House) -> None:
    assert len({(path.split("/")[1], path.count("/")) for path in paths(house)}) == len(PAGES)


def test_the_overview_says_what_is_live_and_what_needs_someone(house: House) -> None:
    facts = house.pages.get("/api/overview").json()
    assert facts["counts"] == {
        "datasets": 1,
        "snapshots": 2,
        "runs": 4,
        "model_versions": 3,
        "endpoints": 1,
        "open_alerts": 1,
    }
    assert [(one["model_version"], one["share"]) for one in facts["endpoints"][0]["shares"]] == [
        ("house-price@1", 0.5),
        ("house-price@2", 0.5),
    ]
    assert (facts["rollouts"][0]["share"], facts["rollouts"][0]["decision"]["verdict"]) == (0.5, "advance")
    assert facts["alerts"][0]["subject"] == "area"
    text = house.pages.get("/").text
    assert "0.82 standard deviations" in text
    assert "1 dataset" not in text  # the number stands alone, its noun beside it
    assert ">dataset in 2 versions<" in text


def test_a_model_version_shows_how_it_did_what_trained_it_and_where_it_is_live(house: House) -> None:
    facts = house.pages.get("/api/models/house-price/2").json()
    assert facts["live"] == [
        {
            "reference": "house-price@2",
            "model": "house-price",
            "endpoint": "house-price",
            "role": "candidate",
            "share": 0.5,
        }
    ]
    assert facts["rollouts"][0]["id"] == house.filled.rollout_id
    assert [rows["rows"] for rows in facts["rows"]] == [17_277, 4320]
    assert [one["alias"] for one in facts["alias_moves"]] == ["staging"]
    text = house.pages.get("/models/house-price/2").text
    for said in ("mae at most 80000", "city = Chur", "house-sales@2", "4f2c9d1e8a7b", 'class="bar"', "staging"):
        assert said in text
    refused = house.pages.get("/models/house-price/3").text
    assert "Refused: mae at most 80000" in refused
    assert "not met" in refused


def test_an_endpoint_shows_its_rollout_with_decisions_pictures_monitor_and_routes(house: House) -> None:
    facts = house.pages.get("/api/endpoints/house-price").json()
    assert facts["live"]["revision"] == 6
    (rollout,) = facts["rollouts"]
    assert [one["ordinal"] for one in rollout["decisions"]] == [5, 4, 3, 2, 1]
    assert [one["share"] for one in rollout["shares"]] == [0.0, 0.01, 0.05, 0.25, 0.5]
    assert rollout["decisions"][0]["evidence"]["guards"]["disagreement"]["max_log_e"] == 1.1
    text = house.pages.get("/endpoints/house-price").text
    assert text.count('class="curve"') == 3
    for said in (
        "harm of more than 2% is excluded",
        "between −7,000 and −3,400",
        "as promised",
        "endpoint created",
        "12.5% → 31%",
        "real, small",
    ):
        assert said in text


def test_a_snapshot_shows_schema_sources_findings_policies_and_users(house: House) -> None:
    facts = house.pages.get("/api/datasets/house-sales/2").json()
    assert facts["schema"][0] == ["sale_id", "int64"]
    assert [one["model"] for one in facts["used_by"]["models"]] == ["house-price@3", "house-price@2"]
    text = house.pages.get("/datasets/house-sales/2").text
    for said in ("sale_id", "house_sales_2.csv.gz", "names a person", "warning", "house-price@3", "61.2 kB"):
        assert said in text


def test_a_prediction_is_found_by_the_form_and_shown_as_a_chain(house: House) -> None:
    wanted = house.filled.predictions[0]
    answer = house.pages.get("/predictions", params={"id": f" {wanted.upper()} "})
    assert answer.status_code == 303
    text = house.pages.get(answer.headers["location"]).text
    assert text.count('class="thread"') == 7
    for href in (
        "/datasets/house-sales/2",
        f"/runs/{house.filled.runs['train 2']}",
        "/models/house-price/2",
        "/endpoints/house-price",
    ):
        assert f'<a href="{href}"><g>' in text
    for said in ("412,000", "customer-0", "431,500", "−19,500", "land registry"):
        assert said in text


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/nothing", 404, "not found"),
        ("/datasets/none", 404, "clew data list"),
        ("/datasets/house-sales/9", 404, "versions 1 to 2"),
        ("/datasets/house-sales/latest", 404, "versions are numbers"),
        ("/datasets/house-sales/99999999999999999999999", 404, "versions are numbers"),
        ("/models/none/1", 404, "clew model list"),
        ("/models/a@b/1", 400, "no reference"),
        ("/endpoints/none", 404, "clew endpoint create"),
        ("/runs/0197a0c4-0000-7000-8000-000000000000", 404, "clew runs list"),
        ("/runs/x' or 1=1", 404, "clew runs list"),
        ("/predictions/none", 404, "clew-prediction-id"),
        ("/runs?page=0", 400, "page=1"),
        ("/runs?page=-1", 400, "page=1"),
        ("/runs?page=9999999999999999999999", 400, "page=1"),
        ("/runs?state=odd", 400, "choose one of"),
        ("/runs?sort=id;drop", 400, "metric:NAME"),
        ("/runs?order=up", 400, "asc or desc"),
        ("/static/../app.py", 404, ""),
        ("/static/%2e%2e%2fapp.py", 404, ""),
        ("/static/app.py", 404, ""),
        ("/runs?text=%00", 400, "NUL"),
        ("/models/a%00b", 400, "NUL"),
        (f"/models/{HOSTILE}", 404, ""),
    ],
)
def test_what_is_not_there_is_said_with_its_mend(house: House, path: str, status: int, said: str) -> None:
    page = house.pages.get(path)
    assert page.status_code == status
    assert said in page.text
    assert "script" not in Elements(page.text).names
    assert "Traceback" not in page.text
    twin = house.pages.get(f"/api{path}")
    assert twin.status_code == status
    assert set(twin.json()) == {"error", "mend"}


def test_an_empty_workspace_says_what_to_do_next(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        pages = Pages(create_app(workspace))
        for path, mend in (
            ("/", "clew endpoint create NAME"),
            ("/datasets", "clew data add NAME FILE"),
            ("/runs", "clew run pipeline.py"),
            ("/models", "clew run pipeline.py"),
            ("/endpoints", "clew endpoint create NAME"),
            ("/predictions", "clew serve ENDPOINT"),
        ):
            page = pages.get(path)
            assert page.status_code == 200
            assert mend in page.text


def test_a_bug_shows_no_trace_to_the_browser(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> Any:
        raise RuntimeError("the secret is xyzzy")

    monkeypatch.setattr(queries, "overview", broken)
    for path in ("/", "/api/overview"):
        page = house.pages.get(path)
        assert page.status_code == 500
        assert "xyzzy" not in page.text
        assert "Traceback" not in page.text
        assert page.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in page.headers["content-security-policy"]


def test_a_database_that_fails_is_an_outside_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(tmp_path) as workspace:
        pages = Pages(create_app(workspace))
        workspace.catalog.close()
        for part in (tmp_path / ".clew").glob("catalog.sqlite*"):
            part.unlink()
        (tmp_path / ".clew" / "catalog.sqlite").mkdir()
        with caplog.at_level(logging.ERROR):
            page = pages.get("/")
        assert page.status_code == 503
        assert "Traceback" not in page.text
        assert "sqlalche" not in page.text
        assert pages.get("/health").status_code == 503
    assert caplog.records


def test_health_is_answered(house: House) -> None:
    assert house.pages.get("/health").json() == {"status": "ok"}
    assert house.pages.ask("HEAD", "/").status_code == 200


def test_what_changed_in_a_version_is_shown_from_a_real_diff(tmp_path: Path) -> None:
    with opened(tmp_path / "home") as workspace:
        frame = pl.DataFrame({"id": range(1_000), "price": [100.0 + n % 50 for n in range(1_000)]})
        add(workspace, "sales", frame, key=["id"])
        doubled = frame.with_columns(
            price=pl.when(pl.col("id") < 100).then(pl.col("price") * 2).otherwise(pl.col("price"))
        )
        add(workspace, "sales", doubled[10:])
        pages = Pages(create_app(workspace))
        facts = pages.get("/api/datasets/sales/2/changes").json()
        assert [facts[name] for name in ("by", "added", "removed", "changed")] == ["key", 0, 10, 90]
        assert list(facts["columns"]) == ["price", "id"]
        assert facts["columns"]["price"]["distance"] > 0.05
        assert facts == pages.get("/api/datasets/sales/2/changes?since=1").json()
        back = pages.get("/api/datasets/sales/1/changes?since=2").json()
        assert [back[name] for name in ("added", "removed", "changed")] == [10, 0, 90]
        page = pages.get("/datasets/sales/2/changes").text
        assert "by key" in page
        assert pages.get("/datasets/sales/1/changes").status_code == 404
        assert pages.get("/datasets/sales/2/changes?since=9").status_code == 404
