from pathlib import Path
from typing import Any

import msgspec
import pytest

import clew
from clew.errors import UsageError
from clew.models import find
from clew.rollouts import Plan
from clew.rollouts.plan import make

PROFILE: dict[str, Any] = {"target": "price", "loss": {"mean": 10_000.0, "sd": 9_000.0, "count": 500}}


def plan(folder: Path, profile: dict[str, Any] | None = None, **settings: Any) -> Plan:
    with clew.open_workspace(folder) as session:
        return make(find(session, "plot@1"), profile or PROFILE, settings)


def test_what_isnt_set_follows_from_the_champions_registration(folder: Path) -> None:
    found = plan(folder)
    assert (found.outcome, found.loss_cap, found.margin, found.alpha) == ("price", 90_000.0, 400.0, 0.05)
    assert found.stages() == ["shadow", "1%", "5%", "25%", "50%", "100%"]
    small = plan(folder, {**PROFILE, "loss": {"mean": 1.6}})
    assert small.loss_cap == pytest.approx(14.4)
    assert small.margin == pytest.approx(0.064)


def test_settings_come_as_text_from_the_command_line(folder: Path) -> None:
    found = plan(folder, margin="500", loss_cap="1e5", min_outcomes="50", shares=[0.1, 1], alpha="0.01")
    assert (found.margin, found.loss_cap, found.min_outcomes, found.alpha) == (500.0, 1e5, 50, 0.01)
    assert found.stages() == ["shadow", "10%", "100%"]


def test_of_classes_the_cap_and_the_margin_are_shares(folder: Path) -> None:
    found = plan(folder, loss="wrong")
    assert (found.loss_cap, found.margin) == (1.0, 0.01)


def test_a_plan_is_kept_as_json() -> None:
    found = Plan(outcome="price", loss_cap=1.0, margin=0.1, shares=(0.001, 0.002, 0.07, 1.0))
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(found)), Plan) == found
    assert found.stages() == ["shadow", "0.1%", "0.2%", "7%", "100%"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"margine": 5}, "a plan has no margine"),
        ({"margin": "many"}, "margin"),
        ({"margin": 0}, "margin must be above 0"),
        ({"margin": 1e9}, "margin must be above 0 and below the cap"),
        ({"margin": "nan"}, "margin"),
        ({"loss_cap": "inf"}, "loss_cap"),
        ({"alpha": 0.5}, "alpha"),
        ({"alpha": 0}, "alpha"),
        ({"shares": []}, "shares"),
        ({"shares": [0.5]}, "shares"),
        ({"shares": [0.5, 0.1, 1]}, "shares"),
        ({"shares": [0, 1]}, "shares"),
        ({"shares": [0.5, 0.5, 1]}, "shares"),
        ({"shares": "half"}, "shares"),
        ({"loss": "squared"}, "loss must be"),
        ({"max_disagreement": 2}, "max_disagreement"),
        ({"max_error_rate": 1}, "max_error_rate"),
        ({"min_requests": 0}, "min_requests"),
        ({"min_outcomes": -1}, "min_outcomes"),
        ({"outcome": ""}, "outcome"),
        ({"loss": "wrong", "loss_cap": 9}, "loss_cap"),
        ({"loss": "wrong", "margin": 400}, "margin"),
    ],
)
def test_an_impossible_plan_is_refused_with_a_mend(folder: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        plan(folder, **settings)
    assert refused.value.mend


def test_a_perfect_champion_has_to_be_told_its_margin(folder: Path) -> None:
    perfect = {**PROFILE, "loss": {"mean": 0.0}}
    with pytest.raises(UsageError, match="margin"):
        plan(folder, perfect)
    assert plan(folder, perfect, loss_cap=10, margin=1).margin == 1.0
