"""Metrics that are means over rows, so that a difference between two models has an interval over the same rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from clew.errors import UsageError
from clew.stats import Interval, paired_difference


@dataclass(frozen=True)
class Metric:
    """A metric of n predictions: how it is written per row, and whether less of it is better."""

    name: str
    rows: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """From truths and predictions (n each) to n values whose mean is the metric."""
    numeric: bool = True
    less_is_better: bool = True

    def measure(self, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """The metric's value for each row, so that more is worse. Raises UsageError for what isn't numbers."""
        if self.numeric:
            try:
                truth, predicted = np.asarray(truth, float), np.asarray(predicted, float)
            except (TypeError, ValueError) as error:
                raise UsageError(
                    f"{self.name} is a metric of numbers, and these are none: {error}", mend="--metric error_rate"
                ) from error
        values = np.asarray(self.rows(truth, predicted), float)
        return values if self.less_is_better else -values

    def shown(self, value: float) -> float:
        """A mean of `measure` as the metric has it."""
        return value if self.less_is_better else -value


def _rmse(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Pseudo-values: their mean is the root of the mean square, their spread that of its first-order influence."""
    squares = (predicted - truth) ** 2
    root = float(np.sqrt(squares.mean()))
    return np.asarray(root + (squares - squares.mean()) / (2 * root) if root else squares)


def _share(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(predicted == truth, 0.0, np.abs(predicted - truth) / np.abs(truth))


def _wrong(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    pairs = zip(truth.tolist(), predicted.tolist(), strict=True)
    return np.asarray([real != said for real, said in pairs], float)


METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric("mae", lambda truth, predicted: np.abs(predicted - truth)),
        Metric("mse", lambda truth, predicted: (predicted - truth) ** 2),
        Metric("rmse", _rmse),
        Metric("mape", _share),
        Metric("error_rate", _wrong, numeric=False),
        Metric("accuracy", lambda truth, predicted: 1 - _wrong(truth, predicted), numeric=False, less_is_better=False),
    )
}
"""By name. `rmse` is handled by the delta method: pseudo-values with the influence of each row."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What one build came to: the metric on each of the n rows (more is worse), and the id of its predictions."""

    rows: np.ndarray
    predictions: str

    @property
    def value(self) -> float:
        """The mean."""
        return float(self.rows.mean())


def contrast(plus: Sequence[Measured], minus: Sequence[Measured], alpha: float) -> Interval:
    """The sum of some builds' metrics less that of others, with an interval of level 1 − alpha over the rows.

    Where the same predictions stand on both sides, they cancel; if all do, the interval is exactly 0.
    """
    left, right = list(minus), list(plus)
    for one in list(right):
        same = next((other for other in left if other.predictions == one.predictions), None)
        if same is not None:
            left.remove(same)
            right.remove(one)
    if not left and not right:
        return Interval(0.0, 0.0, 0.0)
    count = len((left + right)[0].rows)
    before = sum((one.rows for one in left), np.zeros(count))
    after = sum((one.rows for one in right), np.zeros(count))
    return paired_difference(before, after, alpha, seed=0)
