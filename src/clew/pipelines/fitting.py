"""Whether what one step gives fits what another takes, as far as their type hints tell: said before anything runs."""

import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from clew.errors import UsageError
from clew.pipelines.graph import Each, Handle

if TYPE_CHECKING:
    from clew.pipelines._step import Step

_NUMBERS: Final = (bool, int, float)  # each fits the ones after it
_PLAIN: Final = (*_NUMBERS, str)
_CONTAINERS: Final = (list, dict, set, frozenset, tuple)


def check(step: "Step[..., Any]", arguments: Mapping[str, Any], where: str) -> None:
    """Pass if every argument fits its hint, or if nobody can tell.

    Raises UsageError, which names both hints and the line of the call.
    """
    for name, value in arguments.items():
        hint = step.hints.get(name)
        if isinstance(value, Handle | Each):
            handle = value.handle if isinstance(value, Each) else value
            given = _element(handle.hint) if isinstance(value, Each) else handle.hint
            if not _may_fit(given, hint):
                what = f"each of what {handle.node.name} gives is" if isinstance(value, Each) else handle.node.name
                verb = "" if isinstance(value, Each) else " gives"
                raise UsageError(
                    f"{where}: {what}{verb} {_called(given)}, and {name!r} of step {step.name} "
                    f"({step.source}) takes {_called(hint)}",
                    mend="hand over another result, or correct one of the two hints",
                )
        elif type(value) in _PLAIN and not _may_fit(type(value), hint):
            raise UsageError(
                f"{where}: {name}={value!r} is {_called(type(value))}, and step {step.name} ({step.source}) "
                f"takes {_called(hint)}",
                mend="hand over a value of that type, or correct the hint",
            )


def _element(hint: Any) -> Any:
    """What the elements of a list are, as far as its hint tells; else None."""
    inner = typing.get_args(hint)
    return inner[0] if typing.get_origin(hint) is list and inner else None


def _plainly(hint: Any) -> Any:
    """A container without what it contains."""
    origin = typing.get_origin(hint)
    return origin if origin in _CONTAINERS else hint


def _may_fit(given: Any, wanted: Any) -> bool:
    given, wanted = _plainly(given), _plainly(wanted)
    if typing.get_origin(wanted) in (typing.Union, types.UnionType):
        return any(_may_fit(given, one) for one in typing.get_args(wanted))
    if not isinstance(given, type) or not isinstance(wanted, type) or object in (given, wanted):
        return True
    if issubclass(given, wanted):
        return True
    if given in _NUMBERS and wanted in _NUMBERS:
        return _NUMBERS.index(given) <= _NUMBERS.index(wanted)
    kinds = (_kind(given), _kind(wanted))
    if kinds == ("other", "other"):
        return True  # classes of the user's own, which JSON may turn into each other
    return kinds[0] == kinds[1] != "plain"


def _kind(hint: type) -> str:
    module = hint.__module__.split(".")[0]
    if issubclass(hint, pl.DataFrame | pl.LazyFrame) or (module in ("pandas", "pyarrow") and "Table" in hint.__name__):
        return "table"
    if module == "pandas":
        return "table"
    if issubclass(hint, np.ndarray):
        return "array"
    if hint.__module__.startswith("clew.models"):
        return "evaluation" if hint.__name__ == "Evaluation" else "model"
    return "plain" if hint in _PLAIN else "other"


def _called(hint: Any) -> str:
    if typing.get_origin(hint) is not None:
        return str(hint)
    return getattr(hint, "__name__", None) or str(hint)
