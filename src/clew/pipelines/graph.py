"""The graph that a pipeline wires: nodes (calls of steps) and handles (what they will give)."""

import inspect
import typing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clew.errors import UsageError

if TYPE_CHECKING:
    from clew.pipelines._step import Step


@dataclass(frozen=True, eq=False)
class DatasetInput:
    """A snapshot that the run will read; the reference is resolved when the run begins."""

    reference: str
    role: str = ""


@dataclass(frozen=True, eq=False)
class Handle:
    """What a step will give: the whole of it, or one of several outputs."""

    node: "Node | Choice"
    output: str

    @property
    def hint(self) -> Any:
        """The type that it will have, as far as hints tell; else None."""
        return self.node.hint_of(self.output)

    def __bool__(self) -> bool:
        raise UsageError(
            f"the result of {self.node.name} isn't known while the pipeline is wired",
            mend="decide inside a step, or say clew.when(result, lambda: …, otherwise=lambda: …)",
        )

    def __iter__(self) -> Iterator["Handle"]:
        raise UsageError(
            f"{self.node.name} gives one value",
            mend="annotate the step's return as tuple[A, B] to give several; "
            "to go through a list, say other.map(clew.each(result))",
        )


@dataclass(frozen=True, eq=False)
class Each:
    """The elements of a list that a step will give: `step.map` makes a call for each of them."""

    handle: Handle


Condition = tuple[Handle, bool]


@dataclass(eq=False)
class Node:
    """One call of a step; or as many calls as a list has elements, once a step gave it."""

    step: "Step[..., Any]"
    name: str
    arguments: dict[str, Any]
    outputs: tuple[str, ...]
    where: str
    conditions: tuple[Condition, ...] = ()

    @property
    def over(self) -> dict[str, Handle]:
        """The lists that it is mapped over, by argument; empty for a single call."""
        return {name: value.handle for name, value in self.arguments.items() if isinstance(value, Each)}

    def hint_of(self, output: str) -> Any:
        """The type that the return hint names for an output."""
        hint = self.step.hint_of(output)
        return list[hint] if self.over and hint is not None else hint  # type: ignore[valid-type]

    def upstream(self) -> list["Node | Choice"]:
        """The nodes that this one needs."""
        values = [*_flat(self.arguments.values()), *(handle for handle, _ in self.conditions)]
        return [value.node for value in (_bare(one) for one in values) if isinstance(value, Handle)]

    def datasets(self) -> list[DatasetInput]:
        """The snapshots that this node reads itself."""
        return [value for value in _flat(self.arguments.values()) if isinstance(value, DatasetInput)]


@dataclass(eq=False)
class Choice:
    """What one of two branches gives, as a condition decides."""

    condition: Handle
    branches: dict[bool, Any]  # what each branch gives: a handle, lists of handles, a plain value
    name: str

    def hint_of(self, output: str) -> Any:
        """The type of what the first branch gives."""
        del output
        return self.branches[True].hint if isinstance(self.branches[True], Handle) else None

    def upstream(self) -> list["Node | Choice"]:
        """The nodes that must be settled before it is."""
        values = [self.condition, *(one for one in self.branches.values() if isinstance(one, Handle))]
        return [value.node for value in values]


def _bare(value: Any) -> Any:
    return value.handle if isinstance(value, Each) else value


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        elif isinstance(value, dict):
            yield from _flat(value.values())
        else:
            yield value


@dataclass
class Graph:
    """All calls of one pipeline, in the order in which they were wired (so each comes after what it needs)."""

    nodes: list[Node] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)  # of the branch that is wired
    pipelines: list[str] = field(default_factory=list)  # those that are being wired, the innermost last
    _first: dict[str, Node] = field(default_factory=dict)  # of each step's name
    _last: dict[str, int] = field(default_factory=dict)  # the last number of each step's name
    _taken: set[str] = field(default_factory=set)
    _known: set[Node | Choice] = field(default_factory=set)

    def add(self, step: "Step[..., Any]", arguments: dict[str, Any], outputs: tuple[str, ...]) -> Node:
        """Add a call; the second call of a step of one name is numbered."""
        place = where()
        first = self._first.get(step.name)
        if first is not None and first.step is not step:
            raise UsageError(
                f"two steps are called {step.name}: {first.where} and {place}",
                mend='rename one: @clew.step(name="…")',
            )
        name, number = step.name, self._last.get(step.name, 1)
        while name in self._taken:
            number += 1
            name = f"{step.name}-{number}"
        for value in _flat(arguments.values()):
            self._own(_bare(value), place)
        node = Node(step, name, arguments, outputs, place, tuple(self.conditions))
        self.nodes.append(node)
        self._known.add(node)
        self._first.setdefault(step.name, node)
        self._last[step.name] = number
        self._taken.add(name)
        return node

    def _own(self, value: Any, place: str) -> None:
        if isinstance(value, Handle) and value.node not in self._known:
            raise UsageError(
                f"{place}: what {value.node.name} gives belongs to another pipeline, or another wiring of this one",
                mend="call that step in this pipeline",
            )

    def choose(self, condition: Handle, then: Callable[[], Any], otherwise: Callable[[], Any] | None) -> Any:
        """Wire both branches, under the condition; give a handle to what the one that runs will give."""
        place = where()
        self._own(condition, place)
        branches: dict[bool, Any] = {True: None, False: None}
        for holds, wire in ((True, then), (False, otherwise)):
            if wire is not None:
                self.conditions.append((condition, holds))
                try:
                    branches[holds] = wire()
                finally:
                    self.conditions.pop()
        for given in branches.values():
            if given is not None and not isinstance(given, Handle):
                raise UsageError(
                    f"{place}: a branch gives a {type(given).__name__}",
                    mend="give what one step gives, or nothing",
                )
        if branches == {True: None, False: None}:
            return None
        choice = Choice(condition, branches, f"the choice by {condition.node.name}")
        self.choices.append(choice)
        self._known.add(choice)
        return Handle(choice, "result")


_tracing: ContextVar[Graph | None] = ContextVar("clew_tracing", default=None)


def current() -> Graph | None:
    """The graph that is being wired here and now, or None."""
    return _tracing.get()


@contextmanager
def wiring() -> Iterator[Graph]:
    """While this lasts, calls of steps are wired instead of run."""
    graph = Graph()
    token = _tracing.set(graph)
    try:
        yield graph
    finally:
        _tracing.reset(token)


def each(values: Any) -> Any:
    """What a list that a step gives is gone through with: `train.map(clew.each(plans))` makes a call for each element.

    How many there are is known when that step has run. A list that is known already is given back as it is.

    Raises UsageError for what gives no list.
    """
    if not isinstance(values, Handle):
        return values
    hint = values.hint
    kind = typing.get_origin(hint) or hint
    if isinstance(kind, type) and kind is not object and (kind is str or not issubclass(kind, Sequence)):
        raise UsageError(
            f"{where()}: {values.node.name} gives a {getattr(hint, '__name__', hint)}, which is no list to map over",
            mend="give a list, and annotate it: list[…]",
        )
    return Each(values)


def when(condition: Any, then: Callable[[], Any], otherwise: Callable[[], Any] | None = None) -> Any:
    """One of two branches of a pipeline, as a step decides.

    `clew.when(good, lambda: publish(model), otherwise=lambda: tell(report))`: the steps of the branch that isn't taken
    are skipped, and so is what needs their results. Branches can be nested.

    Args:
        condition: what a step gives, a bool; or a bool that is known already.
        then: wires the branch that is taken when it holds.
        otherwise: wires the other one.

    Returns:
        What the branch that runs gives; None where neither gives anything.
    """
    graph = current()
    if graph is None or not isinstance(condition, Handle):
        chosen = then if condition else otherwise
        return None if chosen is None else chosen()
    if condition.hint not in (None, bool, typing.Any, object):
        raise UsageError(
            f"{where()}: {condition.node.name} gives a {getattr(condition.hint, '__name__', condition.hint)}",
            mend="let a step give True or False",
        )
    return graph.choose(condition, then, otherwise)


def where() -> str:
    """File and line of the user's code."""
    frame = inspect.currentframe()
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if not module.startswith("clew.") and module != "contextlib":
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return "unknown"
