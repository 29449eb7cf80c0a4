"""scikit-learn by skops, and what follows its interface: LightGBM's estimators, pipelines that hold XGBoost's."""

import contextlib
import pickle
import sys
from collections.abc import Mapping
from typing import Any

from clew.errors import IntegrityError
from clew.models._skops import normal
from clew.models.capsule import Capsule
from clew.models.flavors._libraries import library
from clew.models.flavors.base import Packed, library_of
from clew.pipelines.origin import is_users


class Sklearn:
    """Estimators of scikit-learn: JSON and arrays, no pickle. One with classes of the user's own is left to pickle."""

    name = "skops"

    def accepts(self, estimator: Any) -> bool:
        """Whether it is scikit-learn's, or one of LightGBM's estimators."""
        return library_of(estimator) in ("sklearn", "lightgbm") and callable(getattr(estimator, "predict", None))

    def wrap(self, estimator: Any) -> Any:
        """The estimator itself."""
        return estimator

    def pack(self, estimator: Any) -> Packed | None:
        """A skops file, its objects numbered as they appear; None for what skops can't keep."""
        skops = library("skops.io", "packaging a scikit-learn model")
        # What it can't keep raises as pickle does; a lambda goes on to pickle, which says what it is.
        with contextlib.suppress(TypeError, pickle.PicklingError, AttributeError):
            body = skops.dumps(estimator)
            trusted = sorted(skops.get_untrusted_types(data=body))
            # The user's own classes have to come from the package's code, which skops would not look into.
            if not any(_is_users_type(name) for name in trusted):
                used = {name.split(".")[0] for name in trusted} & {"xgboost", "lightgbm"}
                libraries = ("numpy", "scipy", "sklearn", "skops", *used)
                return Packed(normal(body), {"trusted": trusted}, frozenset(), libraries)
        return None

    def load(self, body: bytes, about: Mapping[str, Any], capsule: Capsule) -> Any:
        """The estimator; only the types that it was packaged with are made."""
        del capsule
        skops = library("skops.io", "this scikit-learn model")
        for name in {one.split(".")[0] for one in about["trusted"]} & {"xgboost", "lightgbm"}:
            library(name, f"this model of {name}")
        try:
            return skops.loads(body, trusted=about["trusted"])
        except skops.exceptions.UntrustedTypesFoundException as error:
            raise IntegrityError(
                f"the model's file names types that it wasn't packaged with: {error}", mend="register the model anew"
            ) from error


def _is_users_type(name: str) -> bool:
    while "." in name:
        name = name.rpartition(".")[0]
        file = getattr(sys.modules.get(name), "__file__", None)
        if isinstance(file, str):
            return is_users(file)
    return False
