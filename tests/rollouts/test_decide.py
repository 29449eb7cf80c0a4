import numpy as np
import pytest
from tests.rollouts.streams import PLAN, World, observed

from clew.rollouts import Evidence, Plan, decide
from clew.rollouts.plan import SHADOW


def seen(world: World, count: int, plan: Plan = PLAN, seed: int = 0) -> Evidence:
    chance = np.random.default_rng(seed)
    truth = chance.uniform(60_000, 120_000, count)
    champion, candidate = world.errors(count, chance)
    evidence = Evidence(plan, "v1", "v2")
    evidence.take(observed(truth + champion, truth + candidate, truth, chance.random(count) < world.failing))
    return evidence


def test_nothing_follows_from_nothing() -> None:
    assert decide(Evidence(PLAN, "v1", "v2"), SHADOW) is None
    assert decide(seen(World(worse=-0.3), 199), SHADOW) is None  # too few outcomes, however good


def test_a_good_candidate_goes_through_all_stages() -> None:
    evidence, stage, stages = seen(World(worse=-0.3), 600), SHADOW, [SHADOW]
    while (decision := decide(evidence, stage)) is not None and decision.state == "running":
        assert decision.verdict == "advance"
        assert "excludes harm beyond 400" in decision.reason
        stages.append(decision.stage)
        stage = decision.stage
        evidence.stage_requests = PLAN.min_requests
    assert stages == [SHADOW, "1%", "5%", "25%", "50%"]
    assert decision is not None
    assert (decision.verdict, decision.stage, decision.share, decision.state) == ("promote", "100%", 1.0, "promoted")


def test_each_stage_waits_for_its_requests() -> None:
    evidence = seen(World(worse=-0.3), 600)
    evidence.stage_requests = PLAN.min_requests - 1
    for stage in PLAN.stages()[:-1]:
        assert decide(evidence, stage) is None


def test_harm_goes_back_from_every_stage_and_says_why() -> None:
    evidence = seen(World(worse=1.0), 300)
    for stage in PLAN.stages()[:-1]:
        decision = decide(evidence, stage)
        assert decision is not None
        assert (decision.verdict, decision.stage, decision.share, decision.state) == (
            "rollback",
            "rolled back",
            0.0,
            "rolled_back",
        )
        assert decision.reason.startswith("outcomes say that the candidate is worse: mean ")


def test_a_candidate_that_fails_goes_back_without_any_outcome() -> None:
    chance = np.random.default_rng(0)
    truth = np.full(100, 90_000.0)
    champion, candidate = World().errors(100, chance)
    evidence = Evidence(PLAN, "v1", "v2")
    found = observed(truth + champion, truth + candidate, truth, chance.random(100) < 0.2)
    evidence.take(type(found)(found.predictions, []))
    decision = decide(evidence, SHADOW)
    assert decision is not None
    assert (decision.verdict, evidence.outcomes) == ("rollback", 0)
    assert "it fails more often than is allowed: mean 0." in decision.reason


def test_a_candidate_that_says_something_else_goes_back_without_any_outcome() -> None:
    truth = np.full(60, 90_000.0)
    evidence = Evidence(PLAN, "v1", "v2")
    found = observed(truth, truth * 3, truth, np.zeros(60, bool))
    evidence.take(type(found)(found.predictions, []))
    decision = decide(evidence, "25%")
    assert decision is not None
    assert decision.verdict == "rollback"
    assert "its predictions differ from the champion's more than is plausible: mean 1 over 60" in decision.reason


@pytest.mark.parametrize("shares", [[1.0], [0.001, 0.002, 0.004, 1.0], [0.125, 0.5, 1.0]])
def test_any_shares_lead_to_the_end(shares: list[float]) -> None:
    plan = Plan(outcome="price", loss_cap=PLAN.loss_cap, margin=PLAN.margin, shares=tuple(shares))
    evidence, stage, seen_shares = seen(World(worse=-0.3), 600, plan), SHADOW, []
    for _ in shares:
        decision = decide(evidence, stage)
        assert decision is not None
        stage = decision.stage
        seen_shares.append(decision.share)
        evidence.stage_requests = plan.min_requests
    assert seen_shares == shares
