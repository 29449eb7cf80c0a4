"""How estimators of each kind are kept: a module for each, asked in order; the first that takes one keeps it.

All of them pass one conformance suite (`tests/models/test_flavors.py`). A flavor added to `FLAVORS` is packaged,
loaded, served and imported like the others.
"""

from typing import Any

from clew.errors import IntegrityError, UsageError
from clew.models.flavors.base import Flavor, Packed
from clew.models.flavors.lightgbm import LightGBM
from clew.models.flavors.onnx import Onnx, OnnxModel
from clew.models.flavors.python import Python
from clew.models.flavors.sklearn import Sklearn
from clew.models.flavors.torch import Torch
from clew.models.flavors.xgboost import XGBoost

FLAVORS: list[Flavor] = [Onnx(), Torch(), XGBoost(), LightGBM(), Sklearn(), Python()]
"""In the order in which they are asked; the last takes any object."""


def wrap(estimator: Any) -> Any:
    """The estimator, or what gives it a `predict`. Raises UsageError for what can't predict."""
    if isinstance(estimator, type):
        raise UsageError(
            f"{estimator.__name__} is a class", mend=f"give a fitted object: {estimator.__name__}(…).fit(…)"
        )
    for flavor in FLAVORS:
        if flavor.accepts(estimator):
            return flavor.wrap(estimator)
    raise UsageError(f"a {type(estimator).__name__} can't predict", mend="give an object with predict(…)")


def pack(estimator: Any) -> tuple[str, Packed]:
    """An estimator as bytes, with the name of the flavor that made them. Raises UsageError."""
    for flavor in FLAVORS:
        packed = flavor.pack(estimator) if flavor.accepts(estimator) else None
        if packed is not None:
            return flavor.name, packed
    raise UsageError(f"a {type(estimator).__name__} can't be packaged", mend="give an object with predict(…)")


def named(name: str) -> Flavor:
    """The flavor of that name. Raises IntegrityError when this clew has none."""
    for flavor in FLAVORS:
        if flavor.name == name:
            return flavor
    raise IntegrityError(
        f"a package of the flavor {name!r}, which this clew has not", mend="pip install --upgrade clew"
    )


__all__ = ["FLAVORS", "Flavor", "OnnxModel", "Packed", "named", "pack", "wrap"]
