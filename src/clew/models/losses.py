"""Metrics row by row: what each test row adds to a metric, so that versions can be compared on the same rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from clew._words import number
from clew.errors import DataError

BETTER: dict[str, str] = {"mae": "lower", "mse": "lower", "mape": "lower", "accuracy": "higher"}
"""The metrics that have a better side, and which; `bias` has none."""


def row_metrics(predicted: np.ndarray, truth: pl.Series) -> dict[str, np.ndarray]:
    """What each of n rows adds: of numbers mae, mse, mape (unless a truth is 0) and bias; of classes accuracy.

    The mean over the rows is the metric. Rows without a truth are NaN. Raises DataError for predictions that aren't one
    value a row.
    """
    if predicted.ndim != 1 or len(predicted) != len(truth):
        raise DataError(
            f"predictions of shape {predicted.shape} can't be compared with {len(truth)} truths",
            mend="let the model give one value a row",
        )
    if truth.dtype.is_numeric() and predicted.dtype.kind in "iuf":
        real = truth.cast(pl.Float64).to_numpy()
        error = predicted.astype(np.float64) - real
        found = {"mae": np.abs(error), "mse": error**2, "bias": error}
        if not (real == 0).any():
            found["mape"] = np.abs(error) / np.abs(real)
        return found
    said = [
        one == true if true is not None else None for one, true in zip(predicted.tolist(), truth.to_list(), strict=True)
    ]
    return {"accuracy": np.array([np.nan if one is None else float(one) for one in said])}


def shown(found: Mapping[str, Any]) -> str:
    """A difference with its interval, in words."""
    if found["low"] is None:
        return number(found["difference"])
    return f"{number(found['difference'])} ({number(found['low'])} to {number(found['high'])})"
