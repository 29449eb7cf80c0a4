"""A LightGBM Booster as its own text; LightGBM's estimators are kept by skops, with this text in them."""

from collections.abc import Mapping
from typing import Any

from clew.errors import IntegrityError
from clew.models.capsule import Capsule
from clew.models.flavors._libraries import library
from clew.models.flavors.base import Packed, library_of


class LightGBM:
    """A Booster: it predicts tables and arrays by itself."""

    name = "lgb"

    def accepts(self, estimator: Any) -> bool:
        """Whether it is a Booster of LightGBM."""
        return library_of(estimator) == "lightgbm" and type(estimator).__name__ == "Booster"

    def wrap(self, estimator: Any) -> Any:
        """The Booster itself."""
        return estimator

    def pack(self, estimator: Any) -> Packed:
        """Its text, up to the best round."""
        return Packed(estimator.model_to_string().encode(), {}, frozenset(), ("numpy", "lightgbm"))

    def load(self, body: bytes, about: Mapping[str, Any], capsule: Capsule) -> Any:
        """The Booster."""
        del about, capsule
        lightgbm = library("lightgbm", "this LightGBM model")
        try:
            return lightgbm.Booster(model_str=body.decode())
        except (lightgbm.basic.LightGBMError, ValueError) as error:
            raise IntegrityError(f"LightGBM can't read the model: {error}", mend="register the model anew") from error
