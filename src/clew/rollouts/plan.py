"""The plan of a rollout: stages, what is measured, and how much harm would be too much."""

from typing import Any

import msgspec

from clew.errors import UsageError
from clew.models import ModelVersion

SHADOW = "shadow"


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a rollout goes on. Everything that decides is written here before the first request.

    alpha: the chance of a wrong rollback (all guards together), and, apart, of a wrong promotion.
    shares: the candidate's shares of the traffic after shadow; the last is 1.
    outcome: the name of the outcomes that say the truth.
    loss: "absolute_error" (of a number) or "wrong" (0 or 1, for a class).
    loss_cap: losses above count as this much, in the outcome's units; bounded losses make the tests exact.
    margin: harm that would be accepted, in the loss's units: a promotion must exclude more than this.
    max_disagreement: the mean relative difference between the two versions' predictions that is still plausible,
        |a − b| / ((|a| + |b|) / 2); above it something is wrong with the candidate, whatever outcomes may say.
    max_error_rate: the share of requests at which the candidate may fail.
    min_requests: requests that both versions scored at a stage, before the next stage.
    min_outcomes: outcomes before anything is promoted.
    """

    alpha: float = 0.05
    shares: tuple[float, ...] = (0.01, 0.05, 0.25, 0.5, 1.0)
    outcome: str
    loss: str = "absolute_error"
    loss_cap: float
    margin: float
    max_disagreement: float = 0.25
    max_error_rate: float = 0.01
    min_requests: int = 20
    min_outcomes: int = 200

    def stages(self) -> list[str]:
        """The names of the stages, in order."""
        return [SHADOW, *(f"{share * 100:.6g}%" for share in self.shares)]


_FIELDS = set(Plan.__struct_fields__)


def make(champion: ModelVersion, profile: dict[str, Any], settings: dict[str, Any]) -> Plan:
    """The plan for a change from `champion`: what is not set follows from how the champion was registered.

    The cap of the loss is nine times its promised mean, the margin 4% of it: a plan for people who have not thought
    about these numbers yet. Raises UsageError for unknown or impossible settings.
    """
    unknown = sorted(set(settings) - _FIELDS)
    if unknown:
        raise UsageError(f"a plan has no {', '.join(unknown)}", mend=f"it has: {', '.join(sorted(_FIELDS))}")
    promised = float(profile["loss"]["mean"])
    base: dict[str, Any] = {
        "outcome": profile["target"],
        "loss_cap": round(9 * promised, -3) or 9 * promised,
        "margin": 0.04 * promised,
    }
    try:
        plan = msgspec.convert(base | settings, Plan, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"the plan for {champion.reference} can't be: {error}") from error
    _check(plan)
    return plan


def _check(plan: Plan) -> None:
    faults = []
    if not 0 < plan.alpha < 0.5:
        faults.append(f"alpha must be between 0 and 0.5, and is {plan.alpha}")
    if not plan.shares or list(plan.shares) != sorted(set(plan.shares)) or plan.shares[-1] != 1 or plan.shares[0] <= 0:
        faults.append(f"shares must grow from above 0 to 1, and are {list(plan.shares)}")
    if plan.loss not in ("absolute_error", "wrong"):
        faults.append(f"loss must be absolute_error or wrong, and is {plan.loss!r}")
    if not 0 < plan.margin < plan.loss_cap:
        faults.append(
            f"margin must be above 0 and below the cap of the loss ({plan.loss_cap:g}), and is {plan.margin:g}"
        )
    if not 0 < plan.max_disagreement < 2:
        faults.append("max_disagreement must be between 0 and 2")
    if not 0 < plan.max_error_rate < 1:
        faults.append("max_error_rate must be between 0 and 1")
    if plan.min_requests < 1 or plan.min_outcomes < 1:
        faults.append("min_requests and min_outcomes must be at least 1")
    if faults:
        raise UsageError("; ".join(faults), mend="correct --set")
