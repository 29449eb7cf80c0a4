"""The graph that a pipeline wires: nodes (calls of steps) and handles (what they will give)."""

import inspect
from collections.abc import Iterator
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

    node: "Node"
    output: str

    def __bool__(self) -> bool:
        raise UsageError(
            f"the result of {self.node.name} isn't known while the pipeline is wired",
            mend="decide inside a step, not in the pipeline function",
        )

    def __iter__(self) -> Iterator["Handle"]:
        raise UsageError(
            f"{self.node.name} gives one value",
            mend="annotate the step's return as tuple[A, B] to give several",
        )


@dataclass(eq=False)
class Node:
    """One call of a step."""

    step: "Step[..., Any]"
    name: str
    arguments: dict[str, Any]
    outputs: tuple[str, ...]
    where: str

    def upstream(self) -> list["Node"]:
        """The nodes that this one needs."""
        return [value.node for value in _flat(self.arguments.values()) if isinstance(value, Handle)]

    def datasets(self) -> list[DatasetInput]:
        """The snapshots that this node reads itself."""
        return [value for value in _flat(self.arguments.values()) if isinstance(value, DatasetInput)]


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
    _first: dict[str, Node] = field(default_factory=dict)  # of each step's name
    _last: dict[str, int] = field(default_factory=dict)  # the last number of each step's name
    _taken: set[str] = field(default_factory=set)

    def add(self, step: "Step[..., Any]", arguments: dict[str, Any], outputs: tuple[str, ...]) -> Node:
        """Add a call; the second call of a step of one name is numbered."""
        where = _where()
        first = self._first.get(step.name)
        if first is not None and first.step is not step:
            raise UsageError(
                f"two steps are called {step.name}: {first.where} and {where}",
                mend='rename one: @clew.step(name="…")',
            )
        name, number = step.name, self._last.get(step.name, 1)
        while name in self._taken:
            number += 1
            name = f"{step.name}-{number}"
        node = Node(step, name, arguments, outputs, where)
        self.nodes.append(node)
        self._first.setdefault(step.name, node)
        self._last[step.name] = number
        self._taken.add(name)
        return node


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


def _where() -> str:
    """File and line of the user's code."""
    frame = inspect.currentframe()
    while frame is not None:
        if not str(frame.f_globals.get("__name__", "")).startswith("clew."):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return "unknown"
