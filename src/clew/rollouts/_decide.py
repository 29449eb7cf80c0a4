"""What follows from the evidence: stay, grow, promote, or go back. A pure function, so that it can be replayed."""

from dataclasses import dataclass

from clew._words import number
from clew.rollouts.evidence import Evidence
from clew.rollouts.plan import SHADOW

_WORDS = {
    "harm": "outcomes say that the candidate is worse",
    "disagreement": "its predictions differ from the champion's more than is plausible",
    "errors": "it fails more often than is allowed",
}


@dataclass(frozen=True)
class Decision:
    """A verdict: `advance`, `promote` or `rollback`, why, and the stage that it leads to."""

    verdict: str
    reason: str
    stage: str
    share: float
    state: str


def decide(evidence: Evidence, stage: str) -> Decision | None:
    """The decision at this stage, or None when the evidence is not enough for any."""
    plan = evidence.plan
    crossed = evidence.crossed()
    if crossed:
        reason = "; ".join(_explain(evidence, name) for name in crossed)
        return Decision("rollback", reason, "rolled back", 0.0, "rolled_back")
    low, high = evidence.interval
    if stage == SHADOW and not evidence.harm_excluded():
        return None  # no one is answered by a candidate that may still do harm
    if evidence.stage_requests < plan.min_requests:
        return None
    stages = plan.stages()
    following = stages.index(stage) + 1
    share = plan.shares[following - 1]
    known = (
        f"the mean loss differs by {number(evidence.difference.mean)} ({number(low)} to {number(high)}) "
        f"after {evidence.outcomes} outcomes, which excludes harm beyond {number(plan.margin)}"
    )
    if share < 1:
        return Decision("advance", known, stages[following], share, "running")
    if not evidence.harm_excluded():
        return None
    return Decision("promote", known, stages[following], 1.0, "promoted")


def _explain(evidence: Evidence, name: str) -> str:
    test = evidence.guards[name]
    limit = {
        "harm": "0",
        "disagreement": f"{evidence.plan.max_disagreement:g}",
        "errors": f"{evidence.plan.max_error_rate:g}",
    }[name]
    return (
        f"{_WORDS[name]}: mean {number(test.mean)} over {test.count:,}, limit {limit}; "
        f"log e {test.max_log_e:.2f} ≥ {evidence.thresholds[name]:.2f}"
    )
