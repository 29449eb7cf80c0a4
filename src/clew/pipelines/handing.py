"""Handing over: what a step is given, as its hints ask for it, and what it gives, by content."""

import typing
from collections.abc import Mapping
from typing import Any

import polars as pl

from clew.data import Snapshot
from clew.errors import UsageError
from clew.objects import ObjectStore
from clew.pipelines import values
from clew.pipelines.graph import DatasetInput, Handle, Node
from clew.pipelines.values import Stored

Handed = Mapping[tuple[Node, str], Stored]
"""What stands behind each handle so far."""


def sort_arguments(
    node: Node, stored: Handed, snapshots: Mapping[str, Snapshot]
) -> tuple[dict[str, Stored | Snapshot], dict[str, Any]]:
    """What is handed over by content, and the plain values."""
    inputs: dict[str, Stored | Snapshot] = {}
    constants = {}
    for name, value in node.arguments.items():
        if isinstance(value, Handle):
            inputs[name] = stored[value.node, value.output]
        elif isinstance(value, DatasetInput):
            inputs[name] = snapshots[value.role or value.reference]
        elif isinstance(value, list | tuple) and any(isinstance(one, Handle | DatasetInput) for one in value):
            for number, one in enumerate(value):
                if not isinstance(one, Handle):
                    raise UsageError(
                        f"step {node.name} ({node.where}): {name!r} mixes results of steps with other values",
                        mend="hand over a list of results alone",
                    )
                inputs[f"{name}[{number}]"] = stored[one.node, one.output]
        else:
            constants[name] = value
    return inputs, constants


def load_arguments(
    node: Node, stored: Handed, snapshots: Mapping[str, Snapshot], objects: ObjectStore
) -> dict[str, Any]:
    """The arguments as the step's hints ask for them. Raises UsageError, IntegrityError, NotFoundError."""
    loaded: dict[str, Any] = {}
    for name, value in node.arguments.items():
        hint = node.step.hints.get(name)
        if isinstance(value, Handle):
            found = stored[value.node, value.output]
            if hint is None and found.spec.kind == "value":
                hint = value.node.step.hint_of(value.output)  # as it was given
            loaded[name] = found.load(objects, hint)
        elif isinstance(value, DatasetInput):
            loaded[name] = values.from_snapshot(snapshots[value.role or value.reference], hint)
        elif isinstance(value, list | tuple) and any(isinstance(one, Handle) for one in value):
            inner = typing.get_args(hint)
            each = inner[0] if inner else None
            loaded[name] = [stored[one.node, one.output].load(objects, each) for one in value]
        else:
            loaded[name] = value
    return loaded


def call_with(node: Node, loaded: dict[str, Any]) -> dict[str, Any]:
    """The arguments as the function takes them. Raises UsageError for those that have no name."""
    for parameter in node.step.signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            return {k: v for k, v in loaded.items() if k != parameter.name} | dict(loaded.get(parameter.name, {}))
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise UsageError(f"step {node.name}: *args and positional-only parameters can't be recorded by name")
    return dict(loaded)


def collected(value: Any) -> Any:
    """What a step gave, with lazy tables read: that may run the user's code, so it belongs to the step."""
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(collected(one) for one in value)
    return value.collect() if isinstance(value, pl.LazyFrame) else value


def store_outputs(node: Node, value: Any, objects: ObjectStore) -> dict[str, Stored]:
    """Store what a step gave, by output. Raises UsageError for what can't be stored, or another number of values."""
    given = (value,) if node.outputs == ("result",) else value
    if not isinstance(given, tuple) or len(given) != len(node.outputs):
        raise UsageError(
            f"step {node.name} gave {len(given) if isinstance(given, tuple) else 1} values, "
            f"and its hint names {len(node.outputs)}"
        )
    return {name: values.store(objects, one) for name, one in zip(node.outputs, given, strict=True)}


def content_id(node: Node, name: str, value: Stored | Snapshot) -> str:
    """What an input says, as far as the step can tell."""
    if isinstance(value, Stored):
        return value.spec.content_id
    if value.kind == "files" or node.step.hints.get(name) is Snapshot:
        return f"{value.content_id} {value.reference}"  # such a step can see which version it is
    return value.content_id
