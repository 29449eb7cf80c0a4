from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hub.conftest import House
from tests.thread.filled import HOSTILE

from clew.hub import pictures
from clew.thread import why

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def parsed(picture: str) -> ET.Element:
    return ET.fromstring(picture)


def rollout(evidence: list[Any]) -> dict[str, Any]:
    return {
        "shares": [{"at": f"2026-06-0{day}T00:00:00+00:00", "share": day / 10} for day in (1, 2, 3)],
        "decisions": [
            {
                "at": f"2026-06-{number + 1:02}T12:00:00+00:00",
                "verdict": "hold",
                "reason": HOSTILE,
                "requests": 100 * number,
                "evidence": one,
            }
            for number, one in reversed(list(enumerate(evidence)))
        ],
    }


def test_the_chain_holds_every_stage_and_escapes_what_it_shows(house: House) -> None:
    thread = why(house.workspace, house.filled.predictions[0])
    thread["snapshots"][0]["sources"][0]["uri"] = f"/srv/{HOSTILE}"
    thread["run"]["name"] = HOSTILE
    thread["prediction"]["output"] = HOSTILE
    tree = parsed(pictures.chain(thread))
    kinds = [text.text for text in tree.iter("text") if text.get("class") == "box-kind"]
    assert kinds == [
        "source",
        "snapshot",
        "run",
        "model version",
        "route, revision 6",
        "prediction",
        "outcome: price",
        "outcome: viewed",
    ]
    assert not list(tree.iter("script"))


def test_a_chain_with_gaps_and_with_crowds_is_drawn(house: House) -> None:
    thread = why(house.workspace, house.filled.predictions[1])
    snapshot = thread["snapshots"][0]
    thread["snapshots"] = [{**snapshot, "sources": snapshot["sources"] * 5} for _ in range(6)]
    outcome = why(house.workspace, house.filled.predictions[0])["outcomes"][0]
    thread["outcomes"] = [outcome] * 7
    crowded = parsed(pictures.chain(thread))
    assert sum(one.get("class", "").startswith("box ") for one in crowded.iter("rect")) == 6 + 4 + 4 + 3
    empty: dict[str, Any] = {
        "route": None,
        "endpoint": None,
        "model": None,
        "run": None,
        "steps": [],
        "snapshots": [],
        "outcomes": [],
    }
    sparse = parsed(pictures.chain(thread | empty))
    kinds = [text.text for text in sparse.iter("text") if text.get("class") == "box-kind"]
    assert kinds == ["model version", "route, revision 6", "prediction", "outcome"]


def test_curves_are_drawn_from_evidence() -> None:
    found = rollout(
        [
            {
                "guards": {"harm": {"log_e": -number, "threshold": 4.6}, "new <guard>": {"log_e": 1, "threshold": 2}},
                "interval": [-3.0 / (number + 1), 2.0],
                "mean_difference": -0.5,
            }
            for number in range(4)
        ]
    )
    share, evidence, interval = (
        parsed(draw(found)) for draw in (pictures.share_curve, pictures.evidence_curve, pictures.interval_band)
    )
    assert len(list(share.iter("circle"))) == 4
    assert len(list(evidence.iter("polyline"))) == 2
    assert len(list(interval.iter("polygon"))) == 1
    assert "new <guard>" in [text.text for text in evidence.iter("text")]


def test_one_decision_is_enough_for_a_picture() -> None:
    found = rollout([{"guards": {"harm": {"max_log_e": 5, "threshold": 4}}, "interval": [1, 3], "margin": 0.5}])
    evidence, interval = parsed(pictures.evidence_curve(found)), parsed(pictures.interval_band(found))
    assert len(list(evidence.iter("polyline"))) == 1
    assert "margin 0.5" in [text.text for text in interval.iter("text")]
    assert len([line for line in interval.iter("line") if line.get("class") == "reach"]) == 1


@pytest.mark.parametrize("odd", [None, [], "text", {}, {"guards": []}, {"guards": {"harm": 3}}, {"interval": [1]}])
def test_evidence_without_numbers_draws_nothing(odd: Any) -> None:
    assert pictures.evidence_curve(rollout([odd, odd])) == ""
    assert pictures.interval_band(rollout([odd, odd])) == ""
    assert pictures.share_curve(rollout([odd, odd])) != ""
    assert pictures.share_curve({"shares": [], "decisions": []}) == ""


@given(st.lists(st.fixed_dictionaries({"guards": JSON, "interval": JSON, "mean_difference": JSON}), max_size=3))
def test_any_evidence_at_all_breaks_no_picture(evidence: list[Any]) -> None:
    for draw in (pictures.share_curve, pictures.evidence_curve, pictures.interval_band):
        picture = draw(rollout(evidence))
        assert picture == "" or "svg" in picture


def test_small_pictures() -> None:
    full = parsed(pictures.bar(9.0, 3.0, mark=1.5))
    assert [one.get("width") for one in full.iter("rect")] == ["120", "120"]
    assert [one.get("width") for one in parsed(pictures.bar(-2.0, 3.0)).iter("rect")] == ["120", "0"]
    assert pictures.bar(None, 3.0) == ""
    assert pictures.bar(1.0, 0.0) == ""
    assert pictures.spark([[0, 1.0]]) == ""
    assert pictures.spark([[0, None], [1, 2.0]]) == ""
    assert "polyline" in pictures.spark([[step, 5.0] for step in range(1000)])
    targets = [{"model_version": f"{HOSTILE}@1", "role": "champion", "share": 0.95}]
    assert HOSTILE not in pictures.shares(targets)
    assert len(list(parsed(pictures.shares(targets)).iter("rect"))) == 1
