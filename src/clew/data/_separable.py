"""Whether an expression says of each row the same, whatever rows stand beside it.

Only then may a table be asked batch by batch. `Expr.meta.is_row_separable` of polars 2.1 says yes to `shift`, `rank`
and `x > x.mean()` as well, so the expression's own tree is read, and what isn't known here counts as not separable.
"""

import json
from typing import Any, Final

import polars as pl

_FUNCTIONS: Final = frozenset(
    {"Abs", "Sign", "Negate", "Coalesce", "FillNull", "Round", "RoundSF", "Floor", "Ceil", "Clip", "Sqrt", "Cbrt",
     "Exp", "Log", "Log1p", "Pow", "AsStruct", "MinHorizontal", "MaxHorizontal", "SumHorizontal"}
)  # fmt: skip
_BOOLEANS: Final = frozenset(
    {"IsNull", "IsNotNull", "IsNan", "IsNotNan", "IsFinite", "IsInfinite", "Not", "IsIn", "IsBetween", "IsClose",
     "AllHorizontal", "AnyHorizontal"}
)  # fmt: skip
_FAMILIES: Final = frozenset({"StringExpr", "TemporalExpr", "PowFunction", "Pow", "Trigonometry", "StructExpr"})
_SQL: Final = frozenset({"Binary", "Round"})
_PARTS: Final = {
    "BinaryExpr": ("left", "right"),
    "Ternary": ("predicate", "truthy", "falsy"),
    "Cast": ("expr",),
}

_CODE: Final = ("Anonymous", "Python", "Plugin", "Ffi", "Opaque")


def is_separable(expr: pl.Expr) -> bool:
    """Whether it may be asked of a table batch by batch."""
    try:
        return _node(json.loads(expr.meta.serialize(format="json")))
    except (pl.exceptions.PolarsError, ValueError):
        return False  # it holds a Python function


def holds_code(text: str) -> bool:
    """Whether an expression's JSON carries code that reading it would load: pickled functions, plugins."""
    found = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal found
        found = found or any(word in key for key, _ in pairs for word in _CODE)

    json.loads(text, object_pairs_hook=look)
    return found


def _node(node: Any) -> bool:
    if not isinstance(node, dict) or len(node) != 1:
        return False
    ((kind, held),) = node.items()
    if kind in ("Column", "Literal"):
        return kind == "Column" or not _is_list(held)
    if kind == "Function":
        return _function(held["function"], list(held["input"]))
    if kind == "Alias":
        return _node(held[0])
    parts = _PARTS.get(kind)
    return parts is not None and all(_node(held[part]) for part in parts)


def _function(what: Any, inputs: list[Any]) -> bool:
    if isinstance(what, str):
        return what in _FUNCTIONS and all(map(_node, inputs))
    if not isinstance(what, dict) or len(what) != 1:
        return False
    ((family, variant),) = what.items()
    name = variant if isinstance(variant, str) else next(iter(variant), "") if isinstance(variant, dict) else ""
    if name == "IsIn" and family in ("Boolean", "Sql"):
        # the values are one literal, which is a list
        return _node(inputs[0]) and all(
            _node(one) or (isinstance(one, dict) and "Literal" in one) for one in inputs[1:]
        )
    known = {"Boolean": _BOOLEANS, "Sql": _SQL}.get(family)
    if known is not None and name not in known:
        return False
    fits = known is not None or family in _FUNCTIONS or (family in _FAMILIES and name != "ConcatVertical")
    return fits and all(map(_node, inputs))


def _is_list(held: Any) -> bool:
    return isinstance(held, dict) and "Series" in held
