"""The plan of a rollout: stages, what is measured, and how much harm would be too much."""

import math
from typing import Any

import msgspec

from clew.errors import UsageError
from clew.models import ModelVersion

SHADOW = "shadow"
_MARGIN_OF_WRONG = 0.01


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
    about these numbers yet. Of the loss "wrong" these are 1 and 0.01. Raises UsageError for unknown or impossible
    settings.
    """
    unknown = sorted(set(settings) - _FIELDS)
    if unknown:
        raise UsageError(f"a plan has no {', '.join(unknown)}", mend=f"it has: {', '.join(sorted(_FIELDS))}")
    promised = float(profile["loss"]["mean"])
    loss = profile.get("loss_kind", "absolute_error")
    base: dict[str, Any] = {"outcome": profile["target"], "loss": loss}
    if settings.get("loss", loss) == "wrong":
        base |= {"loss_cap": 1.0, "margin": _MARGIN_OF_WRONG}
    else:
        base |= {"loss_cap": round(9 * promised, -3) or 9 * promised, "margin": 0.04 * promised}
    try:
        plan = msgspec.convert(base | settings, Plan, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"the plan for {champion.reference} can't be: {error}", mend="correct --set") from error
    _check(plan)
    return plan


def _check(plan: Plan) -> None:
    shares, cap = list(plan.shares), plan.loss_cap
    rules = [
        (0 < plan.alpha < 0.5, f"alpha must be between 0 and 0.5, and is {plan.alpha}"),
        (
            bool(shares) and shares == sorted(set(shares)) and shares[-1] == 1 and shares[0] > 0,
            f"shares must grow from above 0 to 1, and are {shares}",
        ),
        (bool(plan.outcome), "outcome must name the outcomes that say the truth"),
        (plan.loss in ("absolute_error", "wrong"), f"loss must be absolute_error or wrong, and is {plan.loss!r}"),
        (
            math.isfinite(cap) and (plan.loss != "wrong" or cap == 1),
            f"loss_cap must be finite, and 1 for the loss 'wrong', and is {cap:g}",
        ),
        (
            0 < plan.margin < cap,
            f"margin must be above 0 and below the cap of the loss ({cap:g}), and is {plan.margin:g}",
        ),
        (0 < plan.max_disagreement < 2, "max_disagreement must be between 0 and 2"),
        (0 < plan.max_error_rate < 1, "max_error_rate must be between 0 and 1"),
        (plan.min_requests >= 1 and plan.min_outcomes >= 1, "min_requests and min_outcomes must be at least 1"),
    ]
    faults = [fault for holds, fault in rules if not holds]
    if faults:
        raise UsageError("; ".join(faults), mend="correct --set")
