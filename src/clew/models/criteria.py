"""Criteria that a model must meet, declared before it is trained."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from clew.errors import UsageError


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
