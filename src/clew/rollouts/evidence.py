"""The evidence of a rollout: always-valid tests, fed in the order of the data's own time.

Both versions score every request, so losses are paired: what differs between two houses falls out, and far fewer
outcomes are needed than between two groups. Whether the answer that was given influenced the outcome matters for
responses, and these are not used here; a label is the same whoever answered.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from clew.rollouts.plan import Plan
from clew.serving.journal import Prediction
from clew.serving.observations import Joined, Observed
from clew.stats import BettingTest, ConfidenceSequence, split, threshold


@dataclass
class Evidence:
    """What is known about a candidate against its champion.

    Guards (each may roll back, at its part of alpha):
        harm: the candidate's mean loss is above the champion's.
        disagreement: the predictions differ more than is plausible.
        errors: the candidate fails more often than is allowed.
    Promise (may promote, at alpha): the running mean of the difference of losses is below the margin: the upper end
    of a confidence sequence, which holds also while the mean drifts.
    """

    plan: Plan
    champion_id: str
    candidate_id: str
    requests: int = 0
    outcomes: int = 0
    stage_requests: int = 0
    first_crossed: dict[str, dict[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        plan, cap = self.plan, self.plan.loss_cap
        self.guards = {
            "harm": BettingTest(0.0, -cap, cap, "greater"),
            "disagreement": BettingTest(plan.max_disagreement, 0.0, 2.0, "greater"),
            "errors": BettingTest(plan.max_error_rate, 0.0, 1.0, "greater"),
        }
        alphas = split(plan.alpha, {"harm": 3.0, "disagreement": 1.0, "errors": 1.0})
        self.thresholds = {name: threshold(alpha) for name, alpha in alphas.items()}
        # Promotion looks at one side; the sequence is two-sided, so twice alpha leaves alpha above.
        self.difference = ConfidenceSequence(-cap, cap, min(2 * plan.alpha, 0.5))

    def take(self, observed: Observed) -> None:
        """Take what happened, in its order."""
        disagreements, errors = [], []
        for prediction in observed.predictions:
            said = self._pair(prediction)
            if said is None:
                continue
            champion, candidate, failed = said
            self.requests += 1
            self.stage_requests += 1
            errors.append(1.0 if failed else 0.0)
            if not failed and isinstance(champion, int | float) and isinstance(candidate, int | float):
                disagreements.append(_relative_difference(champion, candidate))
        self.guards["errors"].update(errors)
        self.guards["disagreement"].update(disagreements)
        differences = [found for joined in observed.joined for found in [self._difference(joined)] if found is not None]
        self.outcomes += len(differences)
        self.guards["harm"].update(differences)
        self.difference.update(differences)
        for name in self.crossed():
            self.first_crossed.setdefault(name, {"requests": self.requests, "outcomes": self.outcomes})

    def crossed(self) -> list[str]:
        """The guards that have seen enough, in a fixed order."""
        return [name for name, test in self.guards.items() if test.max_log_e >= self.thresholds[name]]

    @property
    def interval(self) -> tuple[float, float]:
        """The confidence sequence of the mean difference of losses, candidate minus champion, in its units."""
        return self.difference.interval()

    def harm_excluded(self) -> bool:
        """Whether more harm than the margin is excluded, with enough outcomes."""
        return self.outcomes >= self.plan.min_outcomes and self.interval[1] < self.plan.margin

    def as_json(self) -> dict[str, Any]:
        """All figures, for people and for the record."""
        low, high = self.interval
        return {
            "requests": self.requests,
            "outcomes": self.outcomes,
            "guards": {
                name: {
                    "log_e": round(test.log_e, 4),
                    "max_log_e": round(test.max_log_e, 4),
                    "threshold": round(self.thresholds[name], 4),
                    "count": test.count,
                    "mean": None if math.isnan(test.mean) else round(test.mean, 6),
                    "crossed": test.max_log_e >= self.thresholds[name],
                }
                for name, test in self.guards.items()
            },
            "mean_difference": None if math.isnan(self.difference.mean) else round(self.difference.mean, 4),
            "interval": [round(low, 4), round(high, 4)],
            "margin": self.plan.margin,
            "unit": f"{self.plan.loss} of {self.plan.outcome}, capped at {self.plan.loss_cap:g}",
        }

    def _pair(self, prediction: Prediction) -> tuple[Any, Any, bool] | None:
        """What the two versions said to one request, and whether the candidate failed."""
        said = {other.model_version_id: (other.output, other.error) for other in prediction.others}
        said[prediction.model_version_id] = (prediction.output, prediction.error)
        if self.champion_id not in said or self.candidate_id not in said:
            return None
        (champion, fault), (candidate, error) = said[self.champion_id], said[self.candidate_id]
        if fault is not None:
            return None  # what the champion can't answer either says nothing about the candidate
        return champion, candidate, error is not None

    def _difference(self, joined: Joined) -> float | None:
        """The candidate's loss minus the champion's, each capped."""
        outcome = joined.outcome
        if outcome.name != self.plan.outcome or outcome.kind != "label" or outcome.value is None:
            return None
        said = self._pair(joined.prediction)
        if said is None or said[2] or said[0] is None:
            return None
        losses = [self._loss(value, outcome.value) for value in said[:2]]
        return None if losses[0] is None or losses[1] is None else losses[1] - losses[0]

    def _loss(self, said: Any, truth: Any) -> float | None:
        if self.plan.loss == "wrong":
            return min(1.0 if said != truth else 0.0, self.plan.loss_cap)
        if not isinstance(said, int | float) or not isinstance(truth, int | float):
            return None
        return min(abs(float(said) - float(truth)), self.plan.loss_cap)


def _relative_difference(a: float, b: float) -> float:
    half, other = a / 2, b / 2  # so that the largest floats don't overflow
    size = abs(half) + abs(other)
    return 0.0 if size == 0 else min(abs(half - other) / size * 2, 2.0)
