"""What Python's audit events don't see, wrapped while code is watched: variables, `stat`, native readers, processes.

The wrappers ask for the watch that is active when they are called, so that a name bound to one early
(`from polars import read_csv`) is seen too, and one that stays bound afterwards does nothing.
"""

import functools
import inspect
import multiprocessing.pool
import multiprocessing.process
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import process
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Protocol

import polars as pl

from clew.pipelines.origin import asking
from clew.workspace import Workspace

READERS = {
    "polars": ("read_", "scan_", "sql", "SQLContext"),
    "polars.io": ("read_", "scan_"),
    "pyarrow": ("memory_map", "OSFile", "input_stream"),
    "pyarrow.csv": ("read_csv", "open_csv"),
    "pyarrow.json": ("read_json", "open_json"),
    "pyarrow.parquet": ("read_", "ParquetFile", "ParquetDataset"),
    "pyarrow.feather": ("read_", "FeatherDataset"),
    "pyarrow.dataset": ("dataset", "parquet_dataset"),
    "pyarrow.ipc": ("open_file", "open_stream"),
    "pyarrow.orc": ("read_table", "ORCFile"),
    "pyarrow.fs": ("LocalFileSystem", "FileSystem", "SubTreeFileSystem"),
}
"""Functions and classes that read by themselves, without a file that Python opens: module → how their names begin."""

_WHATEVER = ("polars.sql", "polars.SQLContext", "polars.read_database", "polars.read_clipboard")
_DIRECTLY = "pyarrow.fs."  # pyarrow makes these for itself too, for paths that are noted already
_HARMLESS = ("polars.sql_expr", "polars.scan_pyarrow_dataset")
_POOLS = (
    (multiprocessing.process.BaseProcess, "start"),
    (multiprocessing.pool.Pool, "_check_running"),
    (process.ProcessPoolExecutor, "submit"),
)
_LATER_POOLS = ("joblib.externals.loky.process_executor", "loky.process_executor")


class Noted(Protocol):
    """Who is told."""

    def note_source(self, source: Any, called: str) -> None:
        """A native reader was handed this."""

    def note_env(self, name: str | None) -> None:
        """A variable was asked for, or all of them."""

    def note_stat(self, path: Any) -> None:
        """A file was looked at, not opened."""

    def note_processes(self) -> None:
        """Work was handed to other processes."""

    def note_other(self, what: str) -> None:
        """Something else was read."""


_quiet = threading.local()
_told: list[Noted] = []
_undo: list[tuple[Any, str, Any]] = []
_HEAPTYPE = 1 << 9  # CPython's flag of classes made by a class statement: only those can be changed
_made: dict[int, tuple[Any, Any]] = {}  # id of the original → (original, its wrapper)


@contextmanager
def telling(who: Noted) -> Iterator[None]:
    """While this lasts, `who` is told; everything is as it was when the last one has gone."""
    if not _told:
        _wrap_all()
    _told.append(who)
    try:
        yield
    finally:
        _told.remove(who)
        if not _told:
            while _undo:
                holder, name, original = _undo.pop()
                setattr(holder, name, original)


@contextmanager
def unwatched() -> Iterator[bool]:
    """While this lasts, this thread's own reading is not told; gives whether it was told before."""
    before = getattr(_quiet, "on", False)
    _quiet.on = True
    try:
        yield not before
    finally:
        _quiet.on = before


def _tell(call: Callable[[Noted], None]) -> None:
    if _told:
        with unwatched() as listened:
            if listened:
                for who in tuple(_told):
                    call(who)


def _set(holder: Any, name: str, wrapper: Any) -> None:
    _undo.append((holder, name, vars(holder)[name] if name in vars(holder) else getattr(holder, name)))
    setattr(holder, name, wrapper)


def _wrap_all() -> None:
    _wrap_readers()
    _wrap_environment()
    for name in ("stat", "access"):
        original = getattr(os, name)
        _set(os, name, _looker(original))
        for able in (os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks, os.supports_effective_ids):
            if original in able:
                able.add(getattr(os, name))  # shutil asks these sets
    pools = [(getattr(sys.modules.get(name), "ProcessPoolExecutor", None), "submit") for name in _LATER_POOLS]
    for holder, name in (*_POOLS, *pools):
        if holder is not None:
            _set(holder, name, _starter(getattr(holder, name)))
    _set(Workspace, "__init__", _opener(Workspace.__init__))


def _wrap_readers() -> None:
    for name in READERS:
        if name in sys.modules:
            _wrap_module(sys.modules[name])
    for kind in (pl.DataFrame, pl.LazyFrame):
        made = _reader(vars(kind)["deserialize"].__func__, f"polars.{kind.__name__}.deserialize", first=1)
        _set(kind, "deserialize", classmethod(made))


def wrap_module(module: ModuleType) -> None:
    """Wrap the readers of a module that was imported a moment ago, if anything is watched."""
    if _told:
        _wrap_module(module)


def _wrap_module(module: ModuleType) -> None:
    for name in dir(module):
        original = getattr(module, name)
        called = f"{module.__name__}.{name}"
        if not name.startswith(READERS[module.__name__]) or not callable(original) or called in _HARMLESS:
            continue
        if not inspect.isclass(original):
            _set(module, name, _reader(original, called))
        elif "__init__" in vars(original) and original.__flags__ & _HEAPTYPE:
            _set(original, "__init__", _reader(vars(original)["__init__"], called, first=1))
        else:
            _set(module, name, _fixed_class(original, called))


def _wrapper(original: Any, make: Callable[[], Any]) -> Any:
    if id(original) not in _made:
        _made[id(original)] = (original, make())
    return _made[id(original)][1]


def _reader(original: Callable[..., Any], called: str, first: int = 0) -> Any:
    def make() -> Any:
        try:
            names = list(inspect.signature(original).parameters)
        except ValueError:  # made in C
            names = []
        named = names[first] if len(names) > first else None

        @functools.wraps(original, updated=())
        def reading(*args: Any, **kwargs: Any) -> Any:
            if _told:
                _told_of(args[first] if len(args) > first else kwargs.get(named or "", tuple(kwargs.values())), called)
            return original(*args, **kwargs)

        return reading

    return _wrapper(original, make)


def _told_of(given: Any, called: str) -> None:
    if called.startswith(_WHATEVER) or given is None:
        _tell(lambda who: who.note_other(f"something through {called}"))
    elif not called.startswith(_DIRECTLY):
        _tell(lambda who: who.note_source(given, called))
    elif asking() is not None:
        _tell(lambda who: who.note_other(f"something through {called}"))


def _fixed_class(original: type, called: str) -> Any:
    """In place of a class that can't be changed: the same to `isinstance`, and it tells when it is called."""

    class Kind(type):
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            _told_of(args[0] if args else tuple(kwargs.values()) or None, called)
            return original(*args, **kwargs)

        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, original)

        def __subclasscheck__(cls, subclass: type) -> bool:
            return issubclass(subclass, original)

        def __getattr__(cls, name: str) -> Any:
            if name == "from_uri":
                _told_of(None, called)
            return getattr(original, name)

    return _wrapper(original, lambda: Kind(original.__name__, (), {"__doc__": original.__doc__}))


def _looker(original: Callable[..., Any]) -> Any:
    def make() -> Any:
        @functools.wraps(original)
        def looking(path: Any, *args: Any, **kwargs: Any) -> Any:
            if _told:
                _tell(lambda who: who.note_stat(path))
            return original(path, *args, **kwargs)

        return looking

    return _wrapper(original, make)


def _starter(original: Callable[..., Any]) -> Any:
    def make() -> Any:
        @functools.wraps(original)
        def starting(*args: Any, **kwargs: Any) -> Any:
            if not isinstance(args[0], multiprocessing.pool.ThreadPool):
                _tell(lambda who: who.note_processes())
            return original(*args, **kwargs)

        return starting

    return _wrapper(original, make)


def _opener(original: Callable[..., Any]) -> Any:
    def make() -> Any:
        @functools.wraps(original)
        def opening(*args: Any, **kwargs: Any) -> Any:
            _tell(lambda who: who.note_other("a workspace"))
            return original(*args, **kwargs)

        return opening

    return _wrapper(original, make)


def _wrap_environment() -> None:
    kind: Any = type(os.environ)  # `in` and `get` come by way of these
    get, every, shown = kind.__getitem__, kind.__iter__, kind.__repr__

    def getitem(self: Any, name: Any) -> Any:
        _tell(lambda who: who.note_env(os.fsdecode(name) if isinstance(name, str | bytes) else str(name)))
        return get(self, name)

    def iterate(self: Any) -> Any:
        _tell(lambda who: who.note_env(None))
        return every(self)

    def show(self: Any) -> str:
        _tell(lambda who: who.note_env(None))
        return str(shown(self))

    for name, wrapper in (("__getitem__", getitem), ("__iter__", iterate), ("__repr__", show)):
        _set(kind, name, wrapper)
