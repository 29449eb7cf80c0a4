import math
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy.stats import binom
from tests.rollouts.streams import PLAN, PROMISED, World, observed, rollout

from clew.rollouts import Evidence, Plan
from clew.serving.journal import Prediction
from clew.serving.observations import Joined, Observed

CHANCE_OF_A_FALSE_ALARM = 1e-4
"""Of each calibration test here, when the promise is kept exactly."""


def most(streams: int, alpha: float = PLAN.alpha) -> int:
    """How many of so many streams may go wrong, before a promise of alpha is broken."""
    return int(binom.ppf(1 - CHANCE_OF_A_FALSE_ALARM, streams, alpha))


def ended(world: World, streams: int, outcomes: int, daily: int = 50, plan: Plan = PLAN) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {"running": [], "promoted": [], "rolled_back": []}
    for seed in range(streams):
        decision, after = rollout(world, seed, outcomes=outcomes, daily=daily, plan=plan)
        found["running" if decision is None else decision.state].append(after)
    return found


@pytest.mark.parametrize(
    "world",
    [World(), World(correlation=0.5), World(failing=PLAN.max_error_rate), World(worse=-0.01)],
    ids=["equal", "hardly alike", "failing as often as is allowed", "a little better"],
)
def test_an_innocent_candidate_is_rolled_back_at_most_at_alpha(world: World) -> None:
    """80 streams of up to 1,500 outcomes: more than 13 would refute 5%."""
    found = ended(world, 80, 1500)
    assert len(found["rolled_back"]) <= most(80) == 13


@pytest.mark.slow
@pytest.mark.parametrize("world", [World(), World(failing=PLAN.max_error_rate), World(worse=-0.002)])
def test_an_innocent_candidate_is_rolled_back_at_most_at_alpha_in_many_streams(world: World) -> None:
    """2,000 streams of up to 4,000 outcomes: more than 138 would refute 5%."""
    found = ended(world, 2000, 4000)
    assert len(found["rolled_back"]) <= most(2000) == 138


def test_looking_after_every_outcome_costs_nothing() -> None:
    """40 streams of 300 outcomes, each looked at: more than 9 wrong rollbacks would refute 5%."""
    found = ended(World(), 40, 300, daily=1)
    assert len(found["rolled_back"]) <= most(40) == 9


@pytest.mark.parametrize(
    ("world", "within"),
    [
        (World(worse=0.1), 1000),
        (World(worse=0.3), 400),
        (World(worse=1.0), 150),
        (World(disaster=0.05), 500),
        (World(failing=0.05), 800),
        (World(failing=1.0), 50),
    ],
    ids=["10% worse", "30% worse", "twice as bad", "5% disasters", "fails at 5%", "fails always"],
)
def test_harm_is_found_within_so_many_outcomes(world: World, within: int) -> None:
    """20 streams each: all of them go back in time, none is promoted."""
    found = ended(world, 20, 1500)
    assert len(found["rolled_back"]) == 20
    assert max(found["rolled_back"]) <= within


def test_a_better_candidate_is_promoted() -> None:
    """20 streams at 10% better: at least 19 are promoted within 1,500 outcomes, as alpha promises."""
    assert len(ended(World(worse=-0.1), 20, 1500)["promoted"]) >= 19


def test_an_equal_candidate_is_promoted_in_the_end() -> None:
    """20 streams of up to 4,000 outcomes, with a margin of 4%."""
    assert len(ended(World(), 20, 4000)["promoted"]) >= 18


def test_harm_just_beyond_the_margin_is_excluded_at_most_at_alpha() -> None:
    """150 streams of 1,500 outcomes, the guards left aside: more than 19 ever excluded would refute 5%."""
    wrong = 0
    for seed in range(150):
        chance = np.random.default_rng(seed)
        evidence = Evidence(PLAN, "v1", "v2")
        for first in range(0, 1500, 50):
            truth = np.full(50, 90_000.0)
            champion, candidate = World(worse=0.042).errors(50, chance)
            evidence.take(observed(truth + champion, truth + candidate, truth, np.zeros(50, bool), first))
            if evidence.harm_excluded():
                wrong += 1
                break
    assert wrong <= most(150) == 19


@pytest.mark.slow
def test_a_candidate_beyond_the_margin_is_promoted_at_most_at_alpha_in_many_streams() -> None:
    """2,000 streams of up to 3,000 outcomes at 4.2% worse, where 4% would be accepted."""
    assert len(ended(World(worse=0.042), 2000, 3000)["promoted"]) <= most(2000)


def test_evidence_is_the_same_however_it_is_cut_into_looks() -> None:
    chance = np.random.default_rng(1)
    truth = chance.uniform(60_000, 120_000, 400)
    champion, candidate = World(worse=0.05, failing=0.02).errors(400, chance)
    failed = chance.random(400) < 0.02
    whole = observed(truth + champion, truth + candidate, truth, failed)
    together, apart = Evidence(PLAN, "v1", "v2"), Evidence(PLAN, "v1", "v2")
    together.take(whole)
    for first in range(0, 400, 7):
        apart.take(Observed(whole.predictions[first : first + 7], whole.joined[first : first + 7]))
    assert together.as_json() == apart.as_json()
    assert together.outcomes == 400 - failed.sum()
    assert together.requests == 400


def pair(champion: Any, candidate: Any, truth: Any, **changes: Any) -> Observed:
    found = observed(np.array([1.0]), np.array([1.0]), np.array([1.0]), np.array([False]))
    prediction = msgspec.structs.replace(found.predictions[0], output=champion, **changes)
    prediction.others[0] = msgspec.structs.replace(prediction.others[0], output=candidate)
    outcome = msgspec.structs.replace(found.joined[0].outcome, value=truth)
    return Observed([prediction], [Joined(prediction, outcome)])


def taken(*found: Observed, plan: Plan = PLAN) -> Evidence:
    evidence = Evidence(plan, "v1", "v2")
    for one in found:
        evidence.take(one)
    return evidence


def test_a_loss_is_the_distance_from_the_truth_up_to_its_cap() -> None:
    assert taken(pair(100_000.0, 104_000.0, 101_000)).difference.mean == pytest.approx(2000)
    assert taken(pair(100_000.0, 1e9, 100_000.0)).difference.mean == pytest.approx(9 * PROMISED)
    assert taken(pair(1e308, -1e308, -1e308)).difference.mean == pytest.approx(-9 * PROMISED)


def test_the_largest_numbers_dont_stop_it() -> None:
    assert taken(pair(1.7e308, -1.7e308, 0.0)).guards["disagreement"].mean == pytest.approx(2.0)
    assert taken(pair(1.7e308, 1.7e308, 0.0)).guards["disagreement"].mean == 0.0
    assert taken(pair(0.0, 0.0, 0.0)).guards["disagreement"].mean == 0.0
    assert taken(pair(5e-324, 0.0, 0.0)).guards["disagreement"].mean in (0.0, 2.0)


@pytest.mark.parametrize("truth", [None, "unknown"])
def test_what_is_no_number_is_no_outcome(truth: Any) -> None:
    found = taken(pair(1.0, 2.0, truth))
    assert (found.requests, found.outcomes) == (1, 0)


def test_other_outcomes_and_responses_are_left_aside() -> None:
    found = pair(1.0, 2.0, 3.0)
    prediction, outcome = found.joined[0].prediction, found.joined[0].outcome
    tax = msgspec.structs.replace(outcome, name="tax")
    response = msgspec.structs.replace(outcome, kind="response")
    assert taken(Observed([], [Joined(prediction, tax), Joined(prediction, response)])).outcomes == 0


def test_what_the_champion_cant_answer_either_says_nothing() -> None:
    both = pair(None, None, 1.0, error="ValueError")
    both.predictions[0].others[0] = msgspec.structs.replace(both.predictions[0].others[0], error="ValueError")
    found = taken(*[both] * 200)
    assert (found.requests, found.outcomes, found.crossed()) == (0, 0, [])


def test_requests_that_one_version_didnt_see_are_left_aside() -> None:
    found = pair(1.0, 2.0, 3.0)
    alone = msgspec.structs.replace(found.predictions[0], others=[])
    other = msgspec.structs.replace(found.predictions[0], model_version_id="v9")
    assert taken(Observed([alone, other], [])).requests == 0


def test_it_makes_no_difference_who_answered() -> None:
    chance = np.random.default_rng(2)
    truth = chance.uniform(60_000, 120_000, 100)
    champion, candidate = World(worse=0.1).errors(100, chance)
    whole = observed(truth + champion, truth + candidate, truth, np.zeros(100, bool))

    def swapped(one: Prediction) -> Prediction:
        other = one.others[0]
        return msgspec.structs.replace(
            one,
            model_version_id="v2",
            output=other.output,
            others=[msgspec.structs.replace(other, model_version_id="v1", output=one.output)],
        )

    turned = Observed(
        [swapped(one) for one in whole.predictions],
        [Joined(swapped(one.prediction), one.outcome) for one in whole.joined],
    )
    assert taken(whole).as_json() == taken(turned).as_json()


def test_classes_are_right_or_wrong() -> None:
    plan = Plan(outcome="price", loss="wrong", loss_cap=1.0, margin=0.02)
    assert taken(pair("cat", "dog", "cat"), plan=plan).difference.mean == 1.0
    assert taken(pair("cat", "dog", "dog"), plan=plan).difference.mean == -1.0
    assert taken(pair(1, 0, 1.0), plan=plan).difference.mean == 1.0
    assert taken(pair("cat", "cat", "dog"), plan=plan).difference.mean == 0.0


def test_the_figures_are_json_from_the_beginning_on() -> None:
    empty = Evidence(PLAN, "v1", "v2").as_json()
    assert empty["mean_difference"] is None
    assert empty["interval"] == [-90_000.0, 90_000.0]
    assert msgspec.json.decode(msgspec.json.encode(empty)) == empty
    assert sum(math.exp(-guard["threshold"]) for guard in empty["guards"].values()) == pytest.approx(0.05, abs=1e-4)
    crossing = taken(*[pair(None, None, 1.0)] * 1)
    assert crossing.crossed() == []


def test_when_a_guard_first_crossed_is_kept() -> None:
    chance = np.random.default_rng(3)
    truth = np.full(100, 90_000.0)
    champion, candidate = World().errors(100, chance)
    found = taken(*[observed(truth + champion, truth + candidate, truth, np.ones(100, bool))] * 3)
    assert found.crossed() == ["errors"]
    assert found.first_crossed == {"errors": {"requests": 100, "outcomes": 0}}
