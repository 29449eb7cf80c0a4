"""XGBoost in its own format (UBJSON), which later releases read too; its snapshots in memory are no such thing."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from clew.errors import IntegrityError, UsageError
from clew.models.capsule import Capsule
from clew.models.flavors._libraries import library
from clew.models.flavors.base import Packed, library_of
from clew.models.flavors.plain import is_plain


class BoosterModel:
    """A `Booster` that takes tables and arrays; XGBoost's takes only its own `DMatrix`."""

    def __init__(self, booster: Any) -> None:
        self.booster = booster

    def predict(self, matrix: Any) -> np.ndarray:
        """Predictions of n rows (a table, an array n × inputs, or a DMatrix)."""
        xgboost = library("xgboost", "this model")
        if not isinstance(matrix, xgboost.DMatrix):
            # An array has no names, and an early stop's best round is what the booster itself predicts with.
            matrix = xgboost.DMatrix(matrix, feature_names=_names(matrix, self.booster))
        best = self.booster.attr("best_iteration")
        rounds = (0, 0) if best is None else (0, int(best) + 1)
        return np.asarray(self.booster.predict(matrix, iteration_range=rounds))


def _names(matrix: Any, booster: Any) -> list[str] | None:
    return booster.feature_names if isinstance(matrix, np.ndarray) else None


class XGBoost:
    """A Booster, or an estimator such as XGBRegressor."""

    name = "ubj"

    def accepts(self, estimator: Any) -> bool:
        """Whether it is XGBoost's."""
        if isinstance(estimator, BoosterModel):
            return True
        kinds = hasattr(estimator, "get_booster") or type(estimator).__name__ == "Booster"
        return library_of(estimator) == "xgboost" and kinds

    def wrap(self, estimator: Any) -> Any:
        """A Booster in what makes its matrix; an estimator itself."""
        return BoosterModel(estimator) if type(estimator).__name__ == "Booster" else estimator

    def pack(self, estimator: Any) -> Packed | None:
        """UBJSON; of an estimator, its parameters beside it. None when a parameter is no plain value (a function)."""
        if isinstance(estimator, BoosterModel):
            about: dict[str, Any] = {"class": None}
            booster = estimator.booster
        else:
            if not estimator.__sklearn_is_fitted__():
                raise UsageError(
                    f"this {type(estimator).__name__} is not fitted, so it can't predict", mend="fit it first"
                )
            given = {name: value for name, value in estimator.get_params().items() if value is not None}
            parameters = {name: one.item() if isinstance(one, np.generic) else one for name, one in given.items()}
            if not is_plain(parameters):
                return None
            about = {"class": type(estimator).__name__, "parameters": parameters}
            booster = estimator.get_booster()
        return Packed(bytes(booster.save_raw("ubj")), about, frozenset(), ("numpy", "xgboost"))

    def load(self, body: bytes, about: Mapping[str, Any], capsule: Capsule) -> Any:
        """The estimator, or the Booster."""
        del capsule
        xgboost = library("xgboost", "this XGBoost model")
        try:
            if about["class"] is None:
                booster = xgboost.Booster()
                booster.load_model(bytearray(body))
                return BoosterModel(booster)
            found = getattr(xgboost, about["class"])(**about["parameters"])
            parameters = found.get_params()
            found.load_model(bytearray(body))
            # Loading sets parameters that were left open; the estimator is to be as it was.
            found.set_params(**dict.fromkeys(found.get_params()) | parameters)
        except (xgboost.core.XGBoostError, ValueError, AttributeError, TypeError) as error:
            raise IntegrityError(
                f"XGBoost can't read the model: {str(error).splitlines()[0]}", mend="register the model anew"
            ) from error
        return found
