"""Any Python object with `predict`: a pickle, loaded only from the workspace by content id, with the code it needs."""

import io
import pickle
from collections.abc import Mapping
from types import FunctionType
from typing import Any

from clew.errors import UsageError
from clew.models.capsule import Capsule, found_again, home_of, own_name
from clew.models.flavors.base import Packed, library_of


class Python:
    """What no other flavor keeps."""

    name = "pickle"

    def accepts(self, estimator: Any) -> bool:
        """Whether it can predict."""
        return callable(getattr(estimator, "predict", None))

    def wrap(self, estimator: Any) -> Any:
        """The estimator itself."""
        return estimator

    def pack(self, estimator: Any) -> Packed:
        """A pickle. Raises UsageError for what can't be pickled, or not found again."""
        buffer = io.BytesIO()
        pickler = _Pickler(buffer, protocol=5)
        try:
            pickler.dump(estimator)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise UsageError(
                f"a {type(estimator).__name__} can't be packaged: {error}",
                mend="define its class at the top of a module, functions in it with def and no lambda, "
                "and keep open files and locks out of it",
            ) from error
        return Packed(buffer.getvalue(), {}, frozenset(pickler.modules), (library_of(estimator),))

    def load(self, body: bytes, about: Mapping[str, Any], capsule: Capsule) -> Any:
        """The object; its own classes come from the capsule."""
        del about
        return capsule.unpickle(body)


class _Pickler(pickle.Pickler):
    """Notes the modules that it refers to, and calls those of a loaded model as their own code does."""

    def __init__(self, file: io.BytesIO, protocol: int) -> None:
        super().__init__(file, protocol=protocol)
        self.modules: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type | FunctionType):
            module, name = obj.__module__, obj.__qualname__
            if module == "__main__" or "<" in name:
                raise pickle.PicklingError(f"{name} of {module} can't be found again when the model is loaded")
            self.modules.add(module)
            if home_of(module) is not None:
                return found_again, (own_name(module), name)
        return NotImplemented
