"""Watching what a step reads that it didn't declare: such a step must not be cached.

Python's audit events see `open`, sockets, subprocesses and SQLite. They see neither environment variables nor
the native readers of polars, pyarrow and DuckDB, so those are wrapped while a step runs.
"""

import ast
import functools
import importlib
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from clew.pipelines.project import Project, installed_roots, used_in_place

_READERS = {
    "polars": ("read_", "scan_"),
    "pyarrow": ("memory_map", "OSFile", "input_stream"),
    "pyarrow.csv": ("read_csv", "open_csv"),
    "pyarrow.json": ("read_json", "open_json"),
    "pyarrow.parquet": ("read_", "ParquetFile", "ParquetDataset"),
    "pyarrow.feather": ("read_",),
    "pyarrow.dataset": ("dataset",),
    "duckdb": ("connect", "sql", "query", "read_", "from_", "execute"),
}
_UNSEEN = ("duckdb", "ctypes", "cffi", "adbc_driver_manager", "connectorx", "deltalake", "pyiceberg", "lance", "h5py")
_HARMLESS = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/share/zoneinfo/", "/usr/lib/")

_MACHINE = ("/loky/backend/context.py", f"/{platform.__name__}.py", "/ctypes/util.py")

_active: "Watch | None" = None
_lock = threading.RLock()  # one watched step at a time in a process: steps that overlap use processes


class Watch:
    """What one step was seen to read."""

    def __init__(self, project: Project, allowed: tuple[Path, ...], env: tuple[str, ...]) -> None:
        self.project = project
        self.allowed = allowed
        self.env = env
        self.reads: dict[str, str] = {}  # what was read → the mend
        self._written: set[str] = set()
        self._installed = installed_roots()

    def note_open(self, path: Any, flags: int) -> None:
        """A file was opened."""
        if isinstance(path, int) or not isinstance(path, str | bytes | os.PathLike):
            return
        name = str(Path(os.fsdecode(path)).absolute())
        if flags & (os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
            self._written.add(name)
            return
        if name not in self._written:
            self.note_path(name)

    def note_path(self, name: str) -> None:
        """A file was read, or may have been."""
        if name.startswith(_HARMLESS) or self.project.owns(name) or "__pycache__" in name:
            return
        path = Path(name).resolve()
        if any(path == place or path.is_relative_to(place) for place in (*self.allowed, *self._installed)):
            return
        shown = os.path.relpath(path, self.project.root)
        shown = str(path) if shown.startswith("../..") else shown
        self.reads[f"the file {shown}"] = f'@clew.step(files=["{shown}"])'

    def note_env(self, name: str) -> None:
        """An environment variable was read by the project's own code."""
        if name not in self.env and self._asked_by_project():
            self.reads[f"the environment variable {name}"] = f'@clew.step(env=["{name}"])'

    def note_other(self, what: str) -> None:
        """Something that can't be declared."""
        self.reads[what] = "@clew.step(cache=False), or read it in from a dataset"

    def _asked_by_project(self) -> bool:
        """Whether the nearest frame that is not of `os` or its kin is the project's."""
        frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - who asks is in the frames above
        while frame is not None:
            file = frame.f_code.co_filename
            if file not in (__file__, os.__file__) and not file.startswith("<frozen"):
                return self.project.owns(file)
            frame = frame.f_back
        return False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    watch = _active
    if watch is None:
        return
    if event == "open":
        watch.note_open(arguments[0], arguments[2] or 0)
    elif event in ("socket.connect", "socket.getaddrinfo"):
        watch.note_other("the network")
    elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
        if not _looks_at_machine():
            watch.note_other("another program")
    elif event in ("os.listdir", "os.scandir") and arguments[0] is not None and not isinstance(arguments[0], int):
        watch.note_path(str(Path(os.fsdecode(arguments[0])).absolute()))
    elif event == "sqlite3.connect":
        watch.note_other("a database")


def _looks_at_machine() -> bool:
    """Whether a library only asks what machine this is (how many cores): no result depends on that."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - who asks is in the frames above
    while frame is not None:
        if frame.f_code.co_filename.endswith(_MACHINE):
            return True
        frame = frame.f_back
    return False


@functools.cache
def _install_hook() -> None:
    sys.addaudithook(_audit)  # can't be taken out again, so it is put in once and asks for the active watch


@contextmanager
def watching(watch: Watch) -> Iterator[Watch]:
    """While this lasts, what is read is noted."""
    global _active  # noqa: PLW0603 - audit hooks are global too
    _install_hook()
    before = set(used_in_place(watch.project.root))
    with _lock, _wrapped_readers(watch), _wrapped_environment(watch):
        _active = watch
        try:
            yield watch
        finally:
            _active = None
    for name in set(used_in_place(watch.project.root)) - before:
        watch.note_other(f"the module {name}, imported from outside the project while the step ran")


@contextmanager
def _wrapped_readers(watch: Watch) -> Iterator[None]:
    undo: list[tuple[Any, str, Any]] = []
    for module_name, prefixes in _READERS.items():
        module = sys.modules.get(module_name)
        if module is None and module_name.split(".")[0] in ("polars", "pyarrow"):
            module = importlib.import_module(module_name)
        for name in dir(module) if module is not None else ():
            original = getattr(module, name)
            if name.startswith(prefixes) and callable(original):
                undo.append((module, name, original))
                setattr(module, name, _noting(original, f"{module_name}.{name}", watch))
    try:
        yield
    finally:
        for module, name, original in undo:
            setattr(module, name, original)


def _noting(original: Callable[..., Any], called: str, watch: Watch) -> Callable[..., Any]:
    @functools.wraps(original, updated=())
    def noting(*args: Any, **kwargs: Any) -> Any:
        if _active is watch:
            source = args[0] if args else next(iter(kwargs.values()), None)
            sources = source if isinstance(source, list | tuple) else [source]
            for one in sources:
                if isinstance(one, str | os.PathLike) and "://" not in str(one):
                    watch.note_path(str(Path(one).absolute()))
                elif not hasattr(one, "read") and not isinstance(one, bytes):
                    watch.note_other(f"something through {called}")
        return original(*args, **kwargs)

    return noting


@contextmanager
def _wrapped_environment(watch: Watch) -> Iterator[None]:
    kind: Any = type(os.environ)
    get, contains, every = kind.__getitem__, kind.__contains__, kind.__iter__

    def getitem(self: Any, name: str) -> Any:
        if _active is watch:
            watch.note_env(str(name))
        return get(self, name)

    def has(self: Any, name: object) -> bool:
        if _active is watch:
            watch.note_env(str(name))
        return bool(contains(self, name))

    def iterate(self: Any) -> Any:
        if _active is watch and watch._asked_by_project():  # noqa: SLF001 - this module's own class
            watch.note_other("all environment variables")
        return every(self)

    kind.__getitem__, kind.__contains__, kind.__iter__ = getitem, has, iterate
    try:
        yield
    finally:
        kind.__getitem__, kind.__iter__ = get, every
        kind.__contains__ = contains


def unseen_readers(project: Project) -> list[str]:
    """Ways in which this code could read without being seen: readers bound by name, native libraries.

    Looks at the text of all modules of the project that are imported, and names each by file and line.
    """
    found = []
    for path in _imported(project):
        for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
            if isinstance(node, ast.ImportFrom) and node.module:
                prefixes = _READERS.get(node.module, ())
                names = [alias.name for alias in node.names if prefixes and alias.name.startswith(prefixes)]
                if node.module.split(".")[0] in _UNSEEN:
                    names = [alias.name for alias in node.names]
                found += [f"{node.module}.{name} ({path.name}:{node.lineno})" for name in names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names if alias.name.split(".")[0] in _UNSEEN]
                found += [f"{name} ({path.name}:{node.lineno})" for name in names]
    return found


def _imported(project: Project) -> list[Path]:
    files = set()
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and project.owns(str(Path(file).resolve())):
            files.add(Path(file).resolve())
    return sorted(files)
