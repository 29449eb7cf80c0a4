"""A model: an estimator with what is done before and after it, as one thing that can be packaged and served."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from clew.errors import UsageError
from clew.models import flavors
from clew.models.example import Shape, read_example
from clew.models.signature import Signature, infer


class Model:
    """Something that predicts, with all it needs to do so from raw inputs.

    The same code prepares rows for training and for serving, so that the two can't drift apart.

    Args:
        estimator: scikit-learn, XGBoost, LightGBM, a PyTorch module, ONNX (a ModelProto, the path of a file, or its
            bytes), or any object of your own with `predict(matrix)`.
        example: rows as requests will bring them: a table of polars, pandas or Arrow, or a numpy array n × inputs
            (whose columns are then called x0, x1, …). Names and types of the inputs are taken from it; without
            `before`, the estimator is given rows as this kind of table.
        before: a function of a polars table (n rows) that gives what the estimator takes (n rows).
        after: a function of the estimator's predictions (n values) that gives the model's.
    """

    def __init__(
        self,
        estimator: Any,
        *,
        example: Any,
        before: Callable[[pl.DataFrame], Any] | None = None,
        after: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.estimator = flavors.wrap(estimator)
        rows, shape = read_example(example)
        self.shape: Shape = shape
        self.before = before
        self.after = after
        self.signature: Signature = infer(rows)
        self.example = rows.head(5)

    def predict(self, rows: pl.DataFrame) -> np.ndarray:
        """Predictions for rows that have the signature's columns (others are left aside): n rows, n values.

        Raises UsageError when a column is missing or the estimator gives another number of values.
        """
        return self.predict_prepared(self.signature.select(rows))

    def predict_prepared(self, rows: pl.DataFrame) -> np.ndarray:
        """As `predict`, for a table that has exactly the signature's columns already."""
        matrix = self.shape.give(rows) if self.before is None else self.before(rows)
        raw = np.asarray(self.estimator.predict(matrix))
        values = raw if self.after is None else np.asarray(self.after(raw))
        if values.shape[:1] != (rows.height,):
            raise UsageError(f"the model gave {values.shape} for {rows.height} rows", mend="one value a row")
        return values
