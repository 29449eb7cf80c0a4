"""The thread around anything, and two versions side by side, as pages."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from tests.hub.client import Pages
from tests.hub.conftest import House
from tests.thread.filled import BEGIN, HOSTILE, Filled, fill, opened, start_run

from clew.hub import create_app, pictures
from clew.thread.network import MOST, network
from clew.workspace import Workspace


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Filled, Pages]]:
    """A snapshot that 260 runs read."""
    with opened(tmp_path_factory.mktemp("crowd")) as workspace:
        filled = fill(workspace)
        for number in range(257):
            start_run(workspace, filled, f"try-{number}", {"n": number}, 2, BEGIN + timedelta(hours=number))
        yield workspace, filled, Pages(create_app(workspace))


def parsed(picture: str) -> ET.Element:
    return ET.fromstring(picture)


def titles(picture: str) -> list[str]:
    return [str(text.text) for text in parsed(picture).iter("text") if text.get("class") == "box-title"]


def columns(facts: dict[str, Any]) -> dict[str, list[str]]:
    return {one["kind"]: [box["title"] for box in one["boxes"]] for one in facts["columns"]}


def test_the_thread_of_each_kind_of_thing_goes_both_ways(house: House) -> None:
    made = house.filled
    things = {
        "snapshot": "house-sales@2",
        "run": made.runs["train 2"],
        "model": "house-price@2",
        "endpoint": "house-price",
        "prediction": made.predictions[0],
    }
    for kind, reference in things.items():
        facts = network(house.workspace, kind, reference)
        assert facts["focus"].startswith(f"{kind}:")
        found = columns(facts)
        assert found["snapshot"] != []
        assert found["endpoint"] == ["house-price"]
        assert "house-price@2" in found["model"]
        assert found["source"] == ["house_sales_2.csv.gz"] or kind == "endpoint"
        ids = {box["id"] for column in facts["columns"] for box in column["boxes"]}
        assert {one for edge in facts["edges"] for one in edge} <= ids
        assert house.pages.get(f"/api/thread/{kind}/{reference}").json()["edges"] == facts["edges"]
        page = house.pages.get(f"/thread/{kind}/{reference}")
        assert page.status_code == 200
        assert 'class="chain network"' in page.text
        assert HOSTILE not in page.text
    facts = network(house.workspace, "model", "house-price@2")
    joined = {(a.partition(":")[0], b.partition(":")[0]) for a, b in facts["edges"]}
    assert joined == {("source", "snapshot"), ("snapshot", "run"), ("run", "model"), ("model", "endpoint")}


def test_all_boxes_but_the_marked_one_lead_to_their_own_thread(house: House) -> None:
    tree = parsed(pictures.network(network(house.workspace, "model", "house-price@2")))
    links = [str(one.get("href")) for one in tree.iter("a")]
    assert links == [
        "/datasets/house-sales/2#sources",
        "/thread/snapshot/house-sales%402",
        f"/thread/run/{house.filled.runs['train 2']}",
        "/models/house-price/2",
        "/thread/endpoint/house-price",
    ]
    for link in links:
        assert house.pages.get(link.partition("#")[0]).status_code == 200


def test_the_thing_itself_is_in_the_middle_where_the_page_is_wide_enough(house: House) -> None:
    wide = parsed(pictures.network(network(house.workspace, "endpoint", "house-price")))
    assert float(str(wide.get("width"))) <= 1176
    for kind, reference in (("snapshot", "house-sales@2"), ("model", "house-price@1")):
        tree = parsed(pictures.network(network(house.workspace, kind, reference)))
        here = next(one for one in tree.iter("rect") if one.get("class") == "box box-here")
        middle = float(str(here.get("x"))) + float(str(here.get("width"))) / 2
        assert middle == pytest.approx(float(str(tree.get("width"))) / 2, abs=1)


def test_a_crowd_is_folded_into_one_box_that_opens(crowd: tuple[Workspace, Filled, Pages]) -> None:
    workspace, _, pages = crowd
    facts = network(workspace, "snapshot", "house-sales@2")
    runs = next(one for one in facts["columns"] if one["kind"] == "run")
    assert (len(runs["boxes"]), runs["in_all"]) == (MOST, 260)
    folded = pictures.network(facts)
    assert "255 runs" in titles(folded)
    assert len(titles(folded)) < 20
    tree = parsed(folded)
    assert [one.get("href") for one in tree.iter("a") if "255 runs" in [t.text for t in one.iter("text")]] == [
        "?open=run"
    ]
    whole = parsed(pictures.network(facts, opened="run"))
    small = [one for one in whole.iter("text") if "box-name" in str(one.get("class"))]
    assert len(small) == MOST
    assert "and 60 more, not shown" in [one.text for one in whole.iter("text")]
    assert float(str(whole.get("height"))) < 1600
    assert float(str(whole.get("width"))) <= 1176
    # No box stands on another one.
    places = [
        tuple(float(str(one.get(name))) for name in ("x", "y", "width", "height"))
        for one in whole.iter("rect")
        if str(one.get("class")).startswith("box ")
    ]
    assert len(places) > MOST
    for number, (x, y, wide, tall) in enumerate(places):
        for left, top, across, down in places[number + 1 :]:
            assert x + wide <= left or left + across <= x or y + tall <= top or top + down <= y
    page = pages.get("/thread/snapshot/house-sales@2?open=run")
    assert page.status_code == 200
    assert "200 runs – fold" in page.text


def test_what_is_not_there_and_what_cannot_be_opened_is_said(house: House) -> None:
    for path, status in (
        ("/thread/snapshot/house-sales@9", 404),
        ("/thread/run/00000000-0000-7000-8000-000000000000", 404),
        ("/thread/endpoint/none", 404),
        ("/thread/prediction/none", 404),
        ("/thread/spider/x", 400),
        ("/thread/model/house-price@2?open=spider", 400),
        ("/compare/house-price@1/house-price@99", 404),
        ("/compare/house-price@1/a@b@c", 400),
    ):
        answer = house.pages.get(path)
        assert answer.status_code == status, path


def test_two_versions_side_by_side(house: House) -> None:
    facts = house.pages.get("/api/compare/house-price@1/house-price@2").json()
    assert [one["reference"] for one in facts["versions"]] == ["house-price@1", "house-price@2"]
    assert facts["metrics"]["mae"] == [pytest.approx(64_210.5), pytest.approx(57_789.45)]
    assert facts["data"] == {"sales": ["house-sales@1", "house-sales@2"]}
    assert facts["data_diff"]["sales"]["added"] == 1484
    assert set(facts["parameters"]) == {"rate", "trees", "sales"}
    assert [(one["slice"], one["value"]) for one in facts["slices"]] == [
        ("city", "Bern"),
        ("city", "Basel"),
        ("city", "Chur"),
    ]
    assert facts["slices"][2]["metrics"]["mae"][0] == pytest.approx(64_210.5 * 1.6)
    assert facts["same_test"] is False
    page = house.pages.get("/compare/house-price@1/house-price@2").text
    for said in (
        "tested on different rows",
        "By slice",
        "city = Chur",
        "1,484",
        "trees",
        "what changed",
        "Libr" if facts["libraries"] else "The same.",
    ):
        assert said in page, said
    assert house.pages.get("/api/compare/house-price@2/house-price@3").json()["same_test"] is True
    for path in (
        "/models/house-price/2",
        "/runs/" + house.filled.runs["train 2"],
        "/datasets/house-sales/2",
        "/endpoints/house-price",
    ):
        assert "/thread/" in house.pages.get(path).text


def test_code_is_compared_on_the_page_and_what_it_says_is_only_text() -> None:
    from clew.hub.render import environment

    side = {"state": "accepted", "model": "m", "run": "r", "occurred_at": "2026-01-01T00:00:00+00:00"}
    facts: dict[str, Any] = {
        "versions": [{**side, "reference": "m@1"}, {**side, "reference": "m@2"}],
        "metrics": {"mae": [1.0, None]},
        "slices": [],
        "same_test": True,
        "notes": [HOSTILE],
        "data": {},
        "data_diff": {},
        "code": [{}, {}],
        "code_diff": [
            {"path": HOSTILE, "change": "changed", "lines": ["-a", f"+{HOSTILE}", "@@ 1", " same"], "cut": 7}
        ],
        "libraries": {"numpy": ["2.0.1", "2.0.2"]},
        "settings": {"cpus": [2, None]},
        "parameters": {HOSTILE: [1, HOSTILE]},
        "steps": [{"step": "fit", "why": [HOSTILE]}],
    }
    text = environment().get_template("compare.html").render(facts=facts, path="/compare", guarded=False)
    assert HOSTILE not in text
    assert '<span class="plus">' in text
    assert '<span class="minus">-a' in text
    assert "7 more lines" in text
    assert "2.0.2" in text
