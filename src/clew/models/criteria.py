"""Criteria that a model must meet, declared before it is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from clew.data.leakage import KINDS
from clew.errors import UsageError
from clew.models.losses import BETTER, shown


@dataclass(frozen=True)
class Criterion:
    """A limit on a metric: a number, or a share of another metric."""

    metric: str
    sense: str  # "at most" or "at least"
    limit: float
    of: str | None = None

    def describe(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @property
    def text(self) -> str:
        """In words."""
        limit = f"{self.limit:g}" if self.of is None else f"{self.limit:g} × {self.of}"
        return f"{self.metric} {self.sense} {limit}"

    def judge(self, metrics: Mapping[str, float]) -> dict[str, Any]:
        """The verdict as JSON. Raises UsageError when a metric it names was not evaluated."""
        for name in (self.metric, *([self.of] if self.of else [])):
            if name not in metrics:
                raise UsageError(
                    f"the criterion '{self.text}' names {name!r}, which was not evaluated; "
                    f"there are: {', '.join(sorted(metrics))}",
                    mend="give that metric in the Evaluation",
                )
        limit = self.limit * (metrics[self.of] if self.of else 1.0)
        value = metrics[self.metric]
        met = value <= limit if self.sense == "at most" else value >= limit
        return {"criterion": self.text, "value": value, "limit": limit, "met": bool(met)}


def at_most(metric: str, limit: float) -> Criterion:
    """`metric` must not exceed `limit`."""
    return Criterion(metric, "at most", limit)


def at_least(metric: str, limit: float) -> Criterion:
    """`metric` must reach `limit`."""
    return Criterion(metric, "at least", limit)


def better(metric: str, *, than: str, by: float = 0.0) -> Criterion:
    """`metric` (smaller is better) must be below the metric `than` by this share: by=0.15 means 15% below."""
    if not 0 <= by < 1:
        raise UsageError(f"by={by} is no share", mend="give a number from 0 to below 1, such as 0.15")
    return Criterion(metric, "at most", 1 - by, than)


@dataclass(frozen=True)
class NoWorseThanLive:
    """A limit on how much worse than the live version a metric may be, on the same test rows."""

    metric: str
    margin: float

    def describe(self) -> dict[str, Any]:
        """As JSON."""
        return {"metric": self.metric, "sense": "no worse than live", "limit": self.margin, "of": None}

    @property
    def text(self) -> str:
        """In words."""
        return f"{self.metric} no worse than live by more than {self.margin:g}"

    def judge(self, comparison: Mapping[str, Any] | None) -> dict[str, Any]:
        """The verdict as JSON: met when harm beyond the margin is excluded, or when nothing is there to compare with.

        Args:
            comparison: with the live version, as `clew.models.comparison` gives it; None when there is none. One with a
                "problem" can't exclude anything.
        """
        said: dict[str, Any] = {"criterion": self.text, "limit": self.margin}
        if comparison is None:
            return {**said, "value": None, "met": True, "why": "there is no version to compare with yet"}
        against = comparison["a"]
        if "problem" in comparison:
            return {
                **said, "value": None, "met": False, "against": against,
                "why": f"{self.text}: it can't be compared with {against}: {comparison['problem']}",
            }  # fmt: skip
        found = next((one for one in comparison["metrics"] if one["metric"] == self.metric), None)
        if found is None:
            raise UsageError(
                f"the criterion '{self.text}' can't be judged: of these predictions there are "
                f"{', '.join(one['metric'] for one in comparison['metrics'])}",
                mend="name one of them",
            )
        worse = found["high"] if BETTER[self.metric] == "lower" else -found["low"]
        met = bool(worse <= self.margin)
        why = f"{self.metric} differs from that of {against} by {shown(found)}; "
        why += "harm beyond the margin is excluded" if met else f"{worse:,.4g} worse is not excluded"
        return {**said, "value": worse, "met": met, "against": against, "why": why}


def no_worse_than_live(metric: str, *, margin: float) -> NoWorseThanLive:
    """`metric` must not be worse than the live version's by more than a margin, on the candidate's test rows.

    The live version is the champion of the endpoint that serves this model, else the newest accepted version. Met when
    the 95% interval of the difference, row by row, lies within the margin; and for the first version.

    Args:
        metric: one that each row has: "mae", "mse", "mape" or "accuracy".
        margin: in the metric's unit, such as 500.0 (dollars); 0 asks for a proof that it is no worse at all.
    """
    if metric not in BETTER:
        raise UsageError(
            f"{metric!r} is no metric that can be compared row by row", mend=f"name one of {', '.join(sorted(BETTER))}"
        )
    if not 0 <= margin < float("inf"):
        raise UsageError(f"margin={margin} is no margin", mend="give a number from 0 on, in the metric's unit")
    return NoWorseThanLive(metric, float(margin))


@dataclass(frozen=True)
class NoLeakage:
    """Nothing may leak into the training or the test; `allow` names kinds that may."""

    allow: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """As JSON."""
        return {"metric": "leakage", "sense": "none", "limit": 0, "of": None}

    @property
    def text(self) -> str:
        """In words."""
        return "nothing leaks" + (f", but {', '.join(self.allow)}" if self.allow else "")

    def judge(self, leaks: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
        """The verdict as JSON.

        Args:
            leaks: what was found; None when there were no rows to look at, and then it isn't met.
        """
        said: dict[str, Any] = {"criterion": self.text, "limit": 0}
        if leaks is None:
            return {**said, "value": None, "met": False, "why": f"{self.text}: there were no rows to look at"}
        found = [one for one in leaks if one["kind"] not in self.allow]
        why = "; ".join(f"{one['column']}: {one['message']}" for one in found) or "no finding of leakage"
        return {**said, "value": len(found), "met": not found, "why": why}


def no_leakage(*, allow: Sequence[str] = ()) -> NoLeakage:
    """A version into whose training or test something leaks is refused: see `clew.data.leakage`.

    Args:
        allow: kinds of findings that may be, such as "same-subject".
    """
    unknown = set(allow) - set(KINDS)
    if unknown:
        raise UsageError(f"{', '.join(sorted(unknown))} is no kind of leakage", mend=f"one of {', '.join(KINDS)}")
    return NoLeakage(tuple(allow))
