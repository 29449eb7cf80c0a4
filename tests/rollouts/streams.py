"""Simulated rollouts: two versions score the same rows, the truth comes, and `decide` looks once a day."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clew.rollouts import Decision, Evidence, Plan, decide
from clew.rollouts.plan import SHADOW
from clew.serving.journal import Outcome, Prediction, Shadow
from clew.serving.observations import Joined, Observed

Floats = NDArray[np.float64]
PROMISED = 10_000.0
PLAN = Plan(outcome="price", loss_cap=9 * PROMISED, margin=0.04 * PROMISED)


@dataclass(frozen=True)
class World:
    """How the two versions err, in the outcome's units.

    Errors are normal with a mean absolute value of PROMISED, and correlated as those of two versions of one model are;
    `worse` is what the candidate's mean absolute error has more (as a part), `disaster` the part of rows at which it
    is off by the price itself.
    """

    worse: float = 0.0
    correlation: float = 0.95
    disaster: float = 0.0
    failing: float = 0.0

    def errors(self, count: int, chance: np.random.Generator) -> tuple[Floats, Floats]:
        sd = PROMISED / np.sqrt(2 / np.pi)
        shared, own = chance.normal(0, sd, count), chance.normal(0, sd, count)
        champion = shared
        candidate = self.correlation * shared + np.sqrt(1 - self.correlation**2) * own
        candidate = candidate * (1 + self.worse)
        if self.disaster:
            candidate = np.where(chance.random(count) < self.disaster, 80_000.0, candidate)
        return champion, candidate


def observed(champion: Floats, candidate: Floats, truth: Floats, failed: NDArray[np.bool_], first: int = 0) -> Observed:
    """Predictions at which both versions answered, and the truth about each."""
    joined = []
    for number, (one, other, price, bad) in enumerate(
        zip(champion.tolist(), candidate.tolist(), truth.tolist(), failed.tolist(), strict=True), start=first
    ):
        prediction = Prediction(
            id=str(number),
            endpoint="e",
            request_id="r",
            row=0,
            model_version="m@1",
            model_version_id="v1",
            role="champion",
            share=1.0,
            reason="",
            route_revision=2,
            rollout_id="r1",
            occurred_at=number,
            recorded_at=number,
            inputs={},
            output=one,
            others=[
                Shadow(
                    model_version="m@2",
                    model_version_id="v2",
                    role="candidate",
                    output=None if bad else other,
                    error="ValueError" if bad else None,
                    latency_us=1,
                )
            ],
            latency_us=1,
        )
        outcome = Outcome(
            id=str(number), prediction_id=str(number), name="price", kind="label", value=price,
            occurred_at=number, recorded_at=number,
        )  # fmt: skip
        joined.append(Joined(prediction, outcome))
    return Observed([one.prediction for one in joined], joined)


def rollout(
    world: World, seed: int, *, outcomes: int, daily: int = 50, plan: Plan = PLAN
) -> tuple[Decision | None, int]:
    """Run until it ends or so many outcomes came; give the last decision, and after how many outcomes it ended."""
    chance = np.random.default_rng(seed)
    evidence, stage, last = Evidence(plan, "v1", "v2"), SHADOW, None
    for first in range(0, outcomes, daily):
        truth = chance.uniform(60_000, 120_000, daily)
        champion, candidate = world.errors(daily, chance)
        failed = chance.random(daily) < world.failing
        evidence.take(observed(truth + champion, truth + candidate, truth, failed, first))
        decision = decide(evidence, stage)
        if decision is not None:
            last, stage, evidence.stage_requests = decision, decision.stage, 0
            if decision.state != "running":
                return decision, evidence.outcomes
    return last, evidence.outcomes
