"""What a flavor does: keep estimators of one kind as bytes, and give them back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from clew.models.capsule import Capsule


@dataclass(frozen=True)
class Packed:
    """An estimator as it is kept.

    Attributes:
        body: its bytes; the same for the same estimator.
        about: what loading needs to know beside them, as JSON.
        modules: the modules that classes and functions in it come from; the user's go into the package.
        libraries: import names of the libraries that it needs; their versions are recorded.
    """

    body: bytes
    about: dict[str, Any] = field(default_factory=dict)
    modules: frozenset[str] = frozenset()
    libraries: tuple[str, ...] = ()


class Flavor(Protocol):
    """One kind of estimators."""

    name: str
    """What a package says of itself, and the ending of its estimator's file."""

    def accepts(self, estimator: Any) -> bool:
        """Whether this flavor may keep it; must not import the library."""

    def wrap(self, estimator: Any) -> Any:
        """The estimator itself if it has `predict(matrix)`, else an object that has, and that this flavor accepts."""

    def pack(self, estimator: Any) -> Packed | None:
        """Its bytes; None leaves it to the next flavor. Raises UsageError with the mend, MissingDependencyError."""

    def load(self, body: bytes, about: Mapping[str, Any], capsule: Capsule) -> Any:
        """The estimator, as `wrap` gave it. Raises IntegrityError, MissingDependencyError with the extra's name."""


def library_of(value: Any) -> str:
    """The top of the module that a value's class lives in, such as "sklearn"."""
    return type(value).__module__.split(".")[0]


def flat(values: np.ndarray) -> np.ndarray:
    """Predictions of shape (n, 1) as n values."""
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def numbers(rows: Any, dtype: Any) -> np.ndarray:
    """A table or an array as an array of numbers, n × inputs, of this dtype; what is missing becomes NaN."""
    array = rows.to_numpy() if hasattr(rows, "to_numpy") and not hasattr(rows, "schema") else rows
    if hasattr(rows, "column_names"):  # an Arrow table
        array = np.column_stack([column.to_numpy() for column in rows.columns])
    elif hasattr(rows, "schema"):  # a polars table
        array = rows.to_numpy()
    return np.ascontiguousarray(array, dtype=dtype)
