"""Steps: plain functions that a pipeline wires, and that are cached by what they depend on."""

import functools
import inspect
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar, overload

from clew.errors import UsageError
from clew.pipelines import fitting, resources
from clew.pipelines.graph import DatasetInput, Each, Handle, current
from clew.pipelines.secrets import Secret

P = ParamSpec("P")
R = TypeVar("R")


class Step(Generic[P, R]):
    """A step: still callable as the function it is; inside a pipeline its calls are wired instead."""

    in_driver = False  # a step of clew's own, which needs the run itself (registering a model)

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        cache: bool | None = None,
        files: Sequence[str] = (),
        env: Sequence[str] = (),
        retries: int = 0,
        wait: float = 1.0,
        timeout: float | None = None,
        cpus: float = 1,
        gpus: float = 0,
        memory: int | str | None = None,
    ) -> None:
        self.resources = resources.needed(cpus=cpus, gpus=gpus, memory=memory)
        if timeout is not None and not timeout > 0:
            raise UsageError(f"timeout={timeout}: it must be above 0 seconds", mend="timeout=60")
        if retries < 0 or wait < 0:
            raise UsageError(f"retries={retries}, wait={wait}: neither can be below 0", mend="retries=3, wait=1.0")
        for what, names in (("files", files), ("env", env)):
            if isinstance(names, str):
                raise UsageError(f"{what}={names!r} is one text", mend=f'give a list: {what}=["{names}"]')
        if not callable(function):
            raise UsageError(f"{function!r} is no function", mend="put @clew.step above a plain function")
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name or str(getattr(function, "__name__", "step"))
        self.cache = cache is not False
        self.vouched = cache is True
        self.files = tuple(files)
        self.env = tuple(env)
        self.retries = retries
        self.wait = wait
        self.timeout = timeout

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function; or, while a pipeline is wired, give a handle to what it will give."""
        graph = current()
        if graph is None:
            return self.function(*_opened(args), **dict(zip(kwargs, _opened(kwargs.values()), strict=True)))
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise UsageError(f"step {self.name} ({self.source}) is called wrongly: {error}") from error
        bound.apply_defaults()
        outputs = self.outputs
        node = graph.add(self, dict(bound.arguments), outputs)
        if not self.in_driver:
            fitting.check(self, node.arguments, node.where)
        handles = tuple(Handle(node, name) for name in outputs)
        return typing.cast("R", handles if len(handles) > 1 else handles[0])

    def map(self, *args: Any, **kwargs: Any) -> Any:
        """A call for each element of the lists, tuples and ranges, side by side; all else is the same in each.

        `train.map(rows, depth=[4, 6, 8])` makes three calls; what it gives can be handed over as one list. Each call
        is a step of its own: cached, shown and resumed by itself. `train.map(rows, depth=clew.each(plan))` goes
        through a list that another step gives.

        Returns:
            A list of what the calls give; of a step that gives several results, as many lists.

        Raises UsageError when nothing is to be gone through, or the lengths differ.
        """
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise UsageError(f"step {self.name} ({self.source}) is mapped wrongly: {error}") from error
        if any(isinstance(value, Each) for value in bound.arguments.values()):
            return self._map_later(bound.arguments)
        each = {name: value for name, value in bound.arguments.items() if isinstance(value, list | tuple | range)}
        lengths = {name: len(value) for name, value in each.items()}
        if not each:
            raise UsageError(
                f"step {self.name} ({self.source}) is mapped over nothing",
                mend="hand over a list, or call it without .map",
            )
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise UsageError(
                f"step {self.name} ({self.source}) is mapped over lists of different lengths: {told}",
                mend="give lists of one length; itertools.product makes those of a grid",
            )
        same = {name: value for name, value in bound.arguments.items() if name not in each}
        calls = (dict(zip(each, one, strict=True)) for one in zip(*each.values(), strict=True))
        made: list[Any] = [self(**same, **one) for one in calls]  # type: ignore[call-arg]
        if len(self.outputs) == 1:
            return made
        return tuple([one[number] for one in made] for number in range(len(self.outputs)))

    def _map_later(self, arguments: dict[str, Any]) -> Any:
        """Calls for the elements of lists that aren't known yet."""
        graph = current()
        for name, value in arguments.items():
            if isinstance(value, list | tuple | range):
                raise UsageError(
                    f"step {self.name} ({self.source}) is mapped over {name}, a list that is known, and one that isn't",
                    mend="give both by clew.each(…) from steps, or hand the list over inside of a dataclass",
                )
        if graph is None:
            raise UsageError(f"step {self.name} is mapped over what no step gave", mend="call it inside of a pipeline")
        complete = self.signature.bind(**arguments)
        complete.apply_defaults()
        outputs = self.outputs
        node = graph.add(self, dict(complete.arguments), outputs)
        fitting.check(self, node.arguments, node.where)
        handles = tuple(Handle(node, name) for name in outputs)
        return handles if len(handles) > 1 else handles[0]

    @functools.cached_property
    def signature(self) -> inspect.Signature:
        """The function's signature."""
        return inspect.signature(self.function)

    @functools.cached_property
    def hints(self) -> dict[str, Any]:
        """The function's type hints, resolved."""
        try:
            return typing.get_type_hints(getattr(self.function, "func", self.function))  # a partial has them inside
        except NameError as error:
            raise UsageError(f"step {self.name} ({self.source}): a type hint can't be resolved: {error}") from error

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs: one, or as many as the tuple that the return hint names."""
        hint = self.hints.get("return")
        arguments = typing.get_args(hint)
        if typing.get_origin(hint) is tuple and arguments and arguments[-1] is not Ellipsis:
            return tuple(str(number) for number in range(len(arguments)))
        return ("result",)

    def hint_of(self, output: str) -> Any:
        """The type that the return hint names for an output, or None."""
        hint = self.hints.get("return")
        return hint if output == "result" else typing.get_args(hint)[int(output)]

    @property
    def source(self) -> str:
        """File and line of the function."""
        function = inspect.unwrap(self.function)
        code = getattr(getattr(function, "func", function), "__code__", None)
        if code is None:
            return self.name
        return f"{Path(code.co_filename).name}:{code.co_firstlineno}"


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *,
    name: str | None = None,
    cache: bool | None = None,
    files: Sequence[str] = (),
    env: Sequence[str] = (),
    retries: int = 0,
    wait: float = 1.0,
    timeout: float | None = None,
    cpus: float = 1,
    gpus: float = 0,
    memory: int | str | None = None,
) -> Callable[[Callable[P, R]], Step[P, R]]: ...
def step(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    cache: bool | None = None,
    files: Sequence[str] = (),
    env: Sequence[str] = (),
    retries: int = 0,
    wait: float = 1.0,
    timeout: float | None = None,
    cpus: float = 1,
    gpus: float = 0,
    memory: int | str | None = None,
) -> Any:
    """Make a plain function a step.

    Args:
        function: the function; its type hints say how inputs are handed to it (polars, pandas or Arrow tables,
            `clew.Model`, dataclasses, numpy arrays, plain values).
        name: how the step is called; the function's name, if not given.
        cache: False runs it every time; True vouches that libraries whose reading can't be seen (DuckDB, OpenCV, …)
            read nothing in it that isn't declared.
        files: files and folders that it reads by itself, relative to the pipeline's folder; their content is part of
            its key.
        env: environment variables that it reads; their values are part of its key (hashed).
        retries: how often it is tried again after it raised. No part of the key.
        wait: seconds before it is tried again; twice as many each further time, and up to a quarter more by chance.
        timeout: seconds after which it is ended, and counts as one that raised. No part of the key.
        cpus: how many processors it keeps busy: so many fewer steps run beside it. No part of the key.
        gpus: how many graphics processors it needs; on one machine, steps that need any run one after the other.
        memory: how much it takes, in bytes or as text ("4 GB"): steps run side by side as far as memory goes.
    """
    if function is not None:
        return Step(function)
    return lambda wrapped: Step(
        wrapped,
        name=name,
        cache=cache,
        files=files,
        env=env,
        retries=retries,
        wait=wait,
        timeout=timeout,
        cpus=cpus,
        gpus=gpus,
        memory=memory,
    )


def _opened(values: Any) -> list[Any]:
    return [value.value() if isinstance(value, Secret) else value for value in values]


def dataset(reference: str) -> Any:
    """A snapshot as an input of a pipeline: `clew.dataset("house-sales@latest")`.

    As the default of a pipeline's parameter it can be set from outside: `--set sales=house-sales@3`.
    """
    return DatasetInput(reference)
