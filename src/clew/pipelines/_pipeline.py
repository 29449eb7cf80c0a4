"""Pipelines: functions that wire steps."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, overload

import msgspec

from clew.errors import UsageError
from clew.pipelines.graph import DatasetInput, Graph, current, where, wiring
from clew.pipelines.secrets import Secret


class Pipeline:
    """A pipeline: its parameters, its criteria, and the graph it wires."""

    def __init__(self, function: Callable[..., Any], *, name: str | None = None, accept: Sequence[Any] = ()) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name or str(getattr(function, "__name__", "pipeline"))
        self.accept = tuple(accept)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function as it is: its steps run one by one, nothing is recorded. For tests and notebooks."""
        for value in (*args, *kwargs.values()):
            if isinstance(value, DatasetInput):
                raise UsageError("a plain call has no workspace", mend="give tables, or use clew run")
        graph = current()
        if graph is None:
            return self.function(*args, **kwargs)
        with _entered(graph, self.name):
            return self.function(*args, **kwargs)

    @property
    def defaults(self) -> dict[str, Any]:
        """Every parameter with its default. Raises UsageError for one that has none."""
        found = {}
        for name, parameter in inspect.signature(self.function).parameters.items():
            if parameter.default is inspect.Parameter.empty:
                raise UsageError(
                    f"parameter {name!r} of pipeline {self.name} has no default", mend=f"give it one: {name}=…"
                )
            found[name] = parameter.default
        return found

    def bind(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters, with what was set from outside in place of the defaults.

        Text is read as the type that the default has. Raises UsageError for unknown names and unfit values.
        """
        values = self.defaults
        for name, given in settings.items():
            if name not in values:
                raise UsageError(
                    f"pipeline {self.name} has no parameter {name!r}; it has: {', '.join(values) or 'none'}"
                )
            values[name] = _fit(name, values[name], given)
        return {
            name: replace(value, role=name) if isinstance(value, DatasetInput) else value
            for name, value in values.items()
        }

    def wire(self, parameters: Mapping[str, Any]) -> Graph:
        """The graph for these parameters; nothing runs."""
        with wiring() as graph, _entered(graph, self.name):
            self.function(**parameters)
        if not graph.nodes:
            raise UsageError(f"pipeline {self.name} calls no step", mend="call functions that are marked @clew.step")
        return graph


@contextmanager
def _entered(graph: Graph, name: str) -> Iterator[None]:
    """Refuse a pipeline that leads back to itself: it would never be wired to its end."""
    if name in graph.pipelines:
        way = " → ".join([*graph.pipelines[graph.pipelines.index(name) :], name])
        raise UsageError(
            f"{where()}: pipelines call each other in a cycle: {way}",
            mend="take the common steps out into a pipeline, or a plain function, that both call",
        )
    graph.pipelines.append(name)
    try:
        yield
    finally:
        graph.pipelines.pop()


def _fit(name: str, default: Any, given: Any) -> Any:
    if isinstance(default, Secret | DatasetInput):
        return given if isinstance(given, type(default)) else type(default)(str(given))
    if not isinstance(given, str) or isinstance(default, str):
        return given
    if default is None:
        try:
            return msgspec.json.decode(given)
        except msgspec.DecodeError:
            return given
    try:
        if isinstance(default, list | tuple | dict):
            return msgspec.convert(msgspec.json.decode(given), type(default))
        return msgspec.convert(given, type(default), strict=False)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise UsageError(
            f"{name}={given!r} doesn't fit: its default is {default!r} ({type(default).__name__})"
        ) from error


@overload
def pipeline(function: Callable[..., Any], /) -> Pipeline: ...
@overload
def pipeline(*, name: str | None = None, accept: Sequence[Any] = ()) -> Callable[[Callable[..., Any]], Pipeline]: ...
def pipeline(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None, accept: Sequence[Any] = ()
) -> Any:
    """Make a function that calls steps a pipeline.

    Args:
        function: the function; every parameter has a default, and can be set from outside.
        name: how it is called; the function's name, if not given.
        accept: criteria that a model must meet to be accepted, declared here, before anything is trained
            (`clew.better`, `clew.at_most`, `clew.at_least`).
    """
    if function is not None:
        return Pipeline(function)
    return lambda wrapped: Pipeline(wrapped, name=name, accept=accept)
