"""What modules hold while they run: values that a step reaches without being handed them.

A module's values come from its code, but also from what its import read, and from what pipelines and earlier steps put
there. They are hashed by content, never pickled: sets in a fixed order, no addresses.
"""

import argparse
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import inspect
import os
import re
import sys
import types
import uuid
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Any

import msgspec
import numpy as np
import polars as pl

from clew.pipelines.origin import is_users

_TEXTUAL = (
    type(None), bool, int, float, complex, str, bytes, range, slice, decimal.Decimal, fractions.Fraction,
    datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo, uuid.UUID, PurePath, pl.DataType,
)  # fmt: skip
_REMEMBERS = type(functools.cache(len))
_HOLDERS = (types.SimpleNamespace, argparse.Namespace)
_OWN = (
    "__doc__", "__builtins__", "__spec__", "__loader__", "__cached__", "__file__", "__path__", "__annotations__",
    "__msgspec_cache__", "__slotnames__",  # left there by reading or copying a value of that class
)  # fmt: skip
_DEEPEST = 40


Place = tuple[str, int | str]
"""Where code of the user's stands: its file, and its first line or its name there."""


class _Hash:
    """One hash in the making: what was met, which code is among it, and what can't be seen into."""

    def __init__(self, root: str = "") -> None:
        self.root = root
        self.digest = hashlib.sha256()
        self.unseen: list[str] = []
        self.places: list[Place] = []
        self._met: dict[int, int] = {}
        self._keep: list[Any] = []  # so that no address is used twice

    def feed(self, value: Any, depth: int = 0) -> None:
        """Take a value in."""
        kind = type(value)
        self.add(f"{kind.__module__}.{kind.__qualname__}")
        if isinstance(value, _TEXTUAL) and not isinstance(value, enum.Enum):
            text = repr(value)
            self.add(text.replace(self.root, "<here>") if self.root else text)
            return
        if id(value) in self._met or depth > _DEEPEST:
            self.add(f"met {self._met.get(id(value))}")
            return
        self._met[id(value)] = len(self._met)
        self._keep.append(value)
        for feeder in (self._collection, self._array, self._code, self._object):
            if feeder(value, depth + 1):
                return
        self.unseen.append(f"{kind.__module__}.{kind.__qualname__}")

    def _digest(self, value: Any) -> str:
        inner = _Hash(self.root)
        inner.feed(value)
        self.unseen += inner.unseen
        self.places += inner.places
        return inner.digest.hexdigest()

    def add(self, text: str | bytes) -> None:
        """Take text in, with its length, so that parts can't run together."""
        body = text if isinstance(text, bytes) else text.encode(errors="surrogatepass")
        self.digest.update(len(body).to_bytes(8, "big"))
        self.digest.update(body)

    def each(self, values: Iterable[Any], depth: int) -> None:
        """Take several in."""
        found = list(values)
        self.add(str(len(found)))
        for one in found:
            self.feed(one, depth)

    def _collection(self, value: Any, depth: int) -> bool:
        if isinstance(value, list | tuple | collections.deque):
            self.each(value, depth)
        elif isinstance(value, dict | types.MappingProxyType):
            self.each((part for pair in value.items() for part in pair), depth)
        elif isinstance(value, set | frozenset):
            parts = sorted(self._digest(one) for one in value)
            self.each(parts, depth)
        elif isinstance(value, bytearray | memoryview):
            self.add(bytes(value))
        elif isinstance(value, re.Pattern):
            self.each((value.pattern, value.flags), depth)
        elif isinstance(value, enum.Enum):
            self.add(value.name)
            self.feed(value.value, depth)
        else:
            return False
        return True

    def _array(self, value: Any, depth: int) -> bool:
        if isinstance(value, np.ndarray | np.generic):
            array = np.asarray(value)
            self.each((array.dtype.str, repr(array.dtype), array.shape), depth)
            if array.dtype.hasobject:
                self.each(array.ravel().tolist(), depth)
            else:
                self.add(np.ascontiguousarray(array).tobytes())
        elif isinstance(value, np.dtype):
            self.add(repr(value))
        elif isinstance(value, np.random.Generator):
            self.feed(value.bit_generator.state, depth)
        elif isinstance(value, pl.Series | pl.DataFrame):
            frame = value.to_frame() if isinstance(value, pl.Series) else value
            self.feed(str(frame.schema), depth)
            self.add(frame.rechunk().write_ipc(None, compression="uncompressed").getvalue())
        elif type(value).__module__.startswith("pandas.") and type(value).__name__ in ("DataFrame", "Series"):
            columns = value.items() if value.ndim == 2 else [("", value)]
            self.each((part for name, one in columns for part in (str(name), str(one.dtype), one.tolist())), depth)
            self.feed(value.index.tolist(), depth)
        else:
            return False
        return True

    def _code(self, value: Any, depth: int) -> bool:
        if isinstance(value, functools.partial):
            self.each((value.func, value.args, value.keywords), depth)
        elif isinstance(value, types.MethodType):
            self.each((value.__func__, value.__self__), depth)
        elif isinstance(value, types.FunctionType):
            self.add(f"{value.__module__}.{value.__qualname__}")
            if _users(value):
                self.places.append((_real(value.__code__.co_filename), value.__code__.co_firstlineno))
                cells = [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
                self.each((value.__defaults__, value.__kwdefaults__, vars(value), *cells), depth)
        elif isinstance(value, staticmethod | classmethod | _REMEMBERS):
            self.feed(value.__wrapped__, depth)
        elif isinstance(value, property):
            self.each((value.fget, value.fset), depth)
        elif isinstance(value, type):
            self.add(f"{value.__module__}.{value.__qualname__}")
            if _users(value):
                file = str(getattr(sys.modules.get(value.__module__), "__file__", ""))
                self.places.append((_real(file), value.__qualname__.partition(".")[0]))
                self.each(
                    (part for name, one in vars(value).items() if name not in _OWN for part in (name, one)), depth
                )
        elif isinstance(value, types.ModuleType | types.BuiltinFunctionType):
            self.add(value.__name__)
        else:
            return False
        return True

    def _object(self, value: Any, depth: int) -> bool:
        kind = type(value)
        if kind.__module__ in ("clew.pipelines._step", "clew.pipelines._pipeline"):
            self.feed(value.function, depth)
        elif isinstance(value, msgspec.Struct):
            self.feed(msgspec.structs.asdict(value), depth)
        elif isinstance(value, _HOLDERS) or dataclasses.is_dataclass(value) or _users(kind) or _is_estimator(kind):
            self.feed(dict(getattr(value, "__dict__", {})), depth)
            slots = [name for base in kind.__mro__ for name in _slots(base)]
            self.feed({name: getattr(value, name) for name in slots if hasattr(value, name)}, depth)
        else:
            return False
        return True


def _slots(kind: type) -> list[str]:
    named = kind.__dict__.get("__slots__", ())
    return [named] if isinstance(named, str) else [name for name in named if name not in ("__dict__", "__weakref__")]


def _is_estimator(kind: type) -> bool:
    return any(base.__module__ == "sklearn.base" for base in kind.__mro__)


def _filled(cell: Any) -> bool:
    try:
        return bool(cell.cell_contents is not cell)
    except ValueError:
        return False


def _users(thing: Any) -> bool:
    """Whether a class or function comes from the user's code."""
    code = getattr(thing, "__code__", None)
    if code is not None:
        return is_users(code.co_filename)
    file = getattr(sys.modules.get(thing.__module__), "__file__", None)
    return bool(file) and is_users(str(file))


def of_value(value: Any, root: Path | None = None) -> str:
    """The hash of a value; paths below `root` count by what is below it."""
    made = _Hash("" if root is None else str(root))
    made.feed(value)
    return made.digest.hexdigest()


def of_module(
    module: types.ModuleType, root: Path | None = None, names: Iterable[str] | None = None
) -> tuple[dict[str, str], list[Place]]:
    """The hash of each value that a module holds, or of those with these names, and the code that is met in them."""
    found: dict[str, str] = {}
    places: list[Place] = []
    held = vars(module)
    for name in sorted(held) if names is None else sorted(set(names) & held.keys()):
        value = held[name]
        if name.startswith("__") or isinstance(value, types.ModuleType) or _is_as_written(value, module, name):
            continue
        made = _Hash("" if root is None else str(root))
        made.feed(value)
        found[f"{module.__name__}.{name}"] = made.digest.hexdigest()
        places += made.places
    return found, places


def _is_as_written(value: Any, module: types.ModuleType, name: str) -> bool:
    """Whether this is the function that the module's text binds to this name, and holds nothing besides."""
    return (
        type(value) is types.FunctionType
        and value.__qualname__ == name
        and value.__globals__ is vars(module)
        and not value.__closure__
        and not value.__dict__
        and not value.__kwdefaults__
        and not value.__defaults__
    )


def of_function(function: Any, root: Path | None = None) -> tuple[str, list[Place]]:
    """The hash of what a function carries along, and the code that is met in it."""
    made = _Hash("" if root is None else str(root))
    made.feed(function)
    return made.digest.hexdigest(), made.places


def place_of(function: Any) -> Place | None:
    """Where a function of the user's stands."""
    inner = inspect.unwrap(getattr(function, "func", function))
    code = getattr(inner, "__code__", None)
    return None if code is None else (_real(code.co_filename), code.co_firstlineno)


@functools.lru_cache(maxsize=20_000)
def _real(file: str) -> str:
    return os.path.realpath(file)


def forget_memories(module: types.ModuleType) -> None:
    """Empty the `functools.cache`s of a module, so that each step reads for itself what it was told from one."""
    for value in list(vars(module).values()):
        for one in (value, *(vars(value).values() if isinstance(value, type) and _users(value) else ())):
            inner = getattr(one, "function", one) if type(one).__module__ == "clew.pipelines._step" else one
            if isinstance(inner, _REMEMBERS):
                inner.cache_clear()


def of_closure(function: Any) -> list[str]:
    """Types in what a function carries along (closure, partial arguments, its object) that can't be seen into."""
    made = _Hash()
    made.feed(function)
    return sorted(set(made.unseen))
