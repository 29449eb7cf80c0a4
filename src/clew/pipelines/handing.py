"""Handing over: what a step is given, as its hints ask for it, and what it gives, by content."""

import copy
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from clew.data import Snapshot
from clew.errors import UsageError
from clew.objects import ObjectStore
from clew.pipelines import values
from clew.pipelines._step import Step
from clew.pipelines.graph import Choice, DatasetInput, Each, Handle, Node
from clew.pipelines.secrets import Secret, shown_in
from clew.pipelines.values import Stored

Given = Mapping[tuple[Node | Choice, str], Stored | list[Stored]]
"""What stands behind each handle so far; lists behind those of mapped steps."""


_UNCHANGING: Final = (type(None), bool, int, float, str, bytes)


@dataclass(frozen=True)
class SnapshotAt:
    """A snapshot by its reference: what of it can be sent to another process."""

    reference: str


@dataclass
class Arguments:
    """The arguments of one call, before they are loaded."""

    values: dict[str, Any]
    """By name: what is stored, or a list of that, snapshots, secrets, plain values."""
    hints: dict[str, Any] = field(default_factory=dict)
    """How a value was given, where the step itself has no hint."""

    @property
    def inputs(self) -> dict[str, Stored | Snapshot]:
        """What is handed over by content, by name."""
        found: dict[str, Stored | Snapshot] = {}
        for name, value in self.values.items():
            if isinstance(value, Stored | Snapshot):
                found[name] = value
            elif _is_stored_list(value):
                found |= {f"{name}[{number}]": one for number, one in enumerate(value)}
        return found

    @property
    def constants(self) -> dict[str, Any]:
        """The plain values, by name."""
        return {
            name: value
            for name, value in self.values.items()
            if not isinstance(value, Stored | Snapshot) and not _is_stored_list(value)
        }

    @property
    def secrets(self) -> list[tuple[Secret, str]]:
        """Every secret with its value. Raises NotFoundError."""
        return [(value, value.value()) for value in self.values.values() if isinstance(value, Secret)]

    def load(self, step: Step[..., Any], objects: ObjectStore, snapshot: Callable[[str], Snapshot]) -> dict[str, Any]:
        """The arguments as the step's hints ask for them. Raises UsageError, IntegrityError, NotFoundError."""
        loaded: dict[str, Any] = {}
        for name, value in self.values.items():
            hint = step.hints.get(name, self.hints.get(name))
            try:
                loaded[name] = _loaded(value, hint, objects, snapshot)
            except UsageError as error:
                told = f"step {step.name} ({step.source}): {name!r}: {error.message}"
                raise UsageError(told, mend=error.mend) from error
        return loaded


def _loaded(value: Any, hint: Any, objects: ObjectStore, snapshot: Callable[[str], Snapshot]) -> Any:
    """One argument as its hint asks for it."""
    if isinstance(value, Stored):
        return value.load(objects, hint)
    if isinstance(value, Snapshot | SnapshotAt):
        return values.from_snapshot(value if isinstance(value, Snapshot) else snapshot(value.reference), hint)
    if _is_stored_list(value):
        inner = typing.get_args(hint)
        return [one.load(objects, inner[0] if inner else None) for one in value]
    if isinstance(value, Secret):
        return value.value()
    # What the step changes stays its own.
    return value if isinstance(value, _UNCHANGING) else copy.deepcopy(value)


def _is_stored_list(value: Any) -> bool:
    return type(value) is list and bool(value) and type(value[0]) is Stored


def arguments(node: Node, given: Given, snapshots: Mapping[str, Snapshot | Stored]) -> Arguments:
    """What a call is handed, once all that it needs is there. Raises UsageError."""
    made = Arguments({})
    for name, value in node.arguments.items():
        if isinstance(value, Handle):
            found = made.values[name] = given[value.node, value.output]
            kinds = {one.spec.kind for one in (found if isinstance(found, list) else [found])}
            if kinds == {"value"} and value.hint is not None:
                made.hints[name] = value.hint  # as it was given
        elif isinstance(value, DatasetInput):
            made.values[name] = snapshots[value.role or value.reference]
        elif isinstance(value, list | tuple) and any(isinstance(one, Handle | DatasetInput) for one in value):
            made.values[name] = _stored_list(node, name, value, given)
        elif isinstance(value, Each):
            raise AssertionError("a mapped node is called by its elements")
        else:
            made.values[name] = value
    return made


def _stored_list(node: Node, name: str, value: Sequence[Any], given: Given) -> list[Stored]:
    found: list[Stored] = []
    for one in value:
        if not isinstance(one, Handle):
            raise UsageError(
                f"step {node.name} ({node.where}): {name!r} mixes results of steps with other values",
                mend="hand over a list of results alone",
            )
        stored = given[one.node, one.output]
        if isinstance(stored, list):
            raise UsageError(
                f"step {node.name} ({node.where}): {name!r} is a list of lists",
                mend="hand the mapped result over by itself",
            )
        found.append(stored)
    return found


def elements(node: Node, given: Given, objects: ObjectStore) -> list[dict[str, Any]]:
    """What the calls of a mapped step differ in: the elements of the lists it is mapped over. Raises UsageError."""
    lists: dict[str, list[Any]] = {}
    for name, handle in node.over.items():
        stored = given[handle.node, handle.output]
        if isinstance(stored, list):
            lists[name] = list(stored)
            continue
        value = stored.load(objects, handle.hint) if stored.spec.kind == "value" else stored.spec.kind
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            raise UsageError(
                f"step {node.name} ({node.where}) is mapped over what {handle.node.name} gave, and that is no list",
                mend="let that step give a list",
            )
        lists[name] = list(value)
    lengths = {name: len(found) for name, found in lists.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise UsageError(f"step {node.name} ({node.where}) is mapped over lists of different lengths: {told}")
    return [dict(zip(lists, one, strict=True)) for one in zip(*lists.values(), strict=True)]


def call_with(step: Step[..., Any], loaded: dict[str, Any]) -> dict[str, Any]:
    """The arguments as the function takes them. Raises UsageError for those that have no name."""
    for parameter in step.signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            return {k: v for k, v in loaded.items() if k != parameter.name} | dict(loaded.get(parameter.name, {}))
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise UsageError(f"step {step.name}: *args and positional-only parameters can't be recorded by name")
    return dict(loaded)


def collected(value: Any) -> Any:
    """What a step gave, with lazy tables read: that may run the user's code, so it belongs to the step."""
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(collected(one) for one in value)
    return value.collect() if isinstance(value, pl.LazyFrame) else value


def store_outputs(
    step: Step[..., Any], name: str, value: Any, objects: ObjectStore, secrets: Sequence[tuple[Secret, str]] = ()
) -> dict[str, Stored]:
    """Store what a step gave, by output. Raises UsageError for what can't be stored, or another number of values."""
    outputs = step.outputs
    given = (value,) if outputs == ("result",) else value
    if not isinstance(given, tuple) or len(given) != len(outputs):
        raise UsageError(
            f"step {name} gave {len(given) if isinstance(given, tuple) else 1} values, "
            f"and its hint names {len(outputs)}"
        )

    def check(body: bytes) -> None:
        shown = shown_in(body, secrets)
        if shown is not None:
            raise UsageError(
                f"step {name} gave what holds the secret {shown}, and results are kept",
                mend="give the results without it",
            )

    return {
        output: values.store(objects, one, check if secrets else None, inline=True)
        for output, one in zip(outputs, given, strict=True)
    }


def content_id(step: Step[..., Any], name: str, value: Stored | Snapshot) -> str:
    """What an input says, as far as the step can tell."""
    if isinstance(value, Stored):
        return value.spec.content_id
    if value.kind == "files" or step.hints.get(name) is Snapshot:
        return f"{value.content_id} {value.reference}"  # such a step can see which version it is
    return value.content_id
