"""How a model did on its test rows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clew.errors import UsageError


@dataclass(frozen=True)
class Evaluation:
    """Metrics, and metrics by slice (each slice a mapping with its name, its rows and its metrics).

    `groups` says, by a slice's name, the label of each test row, in their order: with it versions are compared by
    slice, and the model card says which slices are weak. Where the slice is a column of the test rows, it isn't needed.
    """

    metrics: dict[str, float]
    slices: list[dict[str, Any]] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)


def regression(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """MAE, MAPE (share of the truth; infinite when a truth is 0) and bias (mean of predicted − truth) of n predictions.

    Raises UsageError when there are none, or not as many predictions as truths.
    """
    real = np.asarray(truth, float)
    if real.shape != np.shape(predicted) or not real.size:
        raise UsageError(f"{real.shape} truths and {np.shape(predicted)} predictions", mend="give one of each a row")
    error = np.asarray(predicted, float) - real
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.abs(error) / np.abs(real)
    return {
        "mae": float(np.abs(error).mean()),
        "mape": float(np.where(error == 0, 0.0, share).mean()),
        "bias": float(error.mean()),
    }


def by_slice(name: str, labels: Sequence[Any], truth: np.ndarray, predicted: np.ndarray) -> list[dict[str, Any]]:
    """The regression metrics of each group of rows that has one label, in the labels' order."""
    groups = np.asarray([str(label) for label in labels])
    found = []
    for label in sorted(set(groups.tolist()), key=natural):
        rows = groups == label
        found.append(
            {"slice": name, "value": label, "rows": int(rows.sum()), **regression(truth[rows], predicted[rows])}
        )
    return found


def natural(label: str) -> tuple[float, str]:
    """The key by which labels are in order: 0–40k, 40–60k, 120–200k; those without a number last."""
    head = "".join(character for character in label.split("–", maxsplit=1)[0] if character.isdigit())
    return (float(head) if head else math.inf, label)


def loss_summary(losses: np.ndarray) -> Mapping[str, float]:
    """Mean, standard deviation, quantiles and count of the losses on test rows: what a rollout's cap comes from."""
    quantiles = np.quantile(losses, [0.5, 0.9, 0.99, 1.0])
    return {
        "count": len(losses),
        "mean": float(losses.mean()),
        "sd": float(losses.std(ddof=1)) if len(losses) > 1 else 0.0,
        **{name: float(value) for name, value in zip(("p50", "p90", "p99", "max"), quantiles, strict=True)},
    }
