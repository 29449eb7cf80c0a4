"""Watching what code reads that it didn't declare: a step that does so must not be cached.

Python's audit events see `open`, folders being listed, sockets, programs and SQLite; the rest is wrapped (see `wraps`).
What a library reads on its own account while it is imported is the environment's, not the step's.
"""

import functools
import importlib.util
import os
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clew.pipelines import wraps
from clew.pipelines.origin import asking, installed_roots, is_users, within
from clew.pipelines.project import Project, file_hash, used_in_place

_HARMLESS = (
    "/proc/", "/sys/", "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/fd/",
    "/usr/share/zoneinfo/", "/usr/share/locale/", "/usr/lib/locale/", "/usr/lib/ssl/", "/etc/ssl/", "/etc/localtime",
    "/etc/timezone", "/etc/os-release", "/etc/passwd", "/etc/group", "/etc/mime.types",
)  # fmt: skip
# Files of the standard library, and libraries of settings, that read for whoever called them.
_PASSING = (
    "/os.py", "/posixpath.py", "/genericpath.py", "/pathlib.py", "/string.py", "/glob.py", "/shutil.py", "/copy.py",
    "/configparser.py", "/contextlib.py", "/functools.py", "/decouple.py", "/environs/__init__.py", "/environs.py",
    "/dotenv/main.py", "/pydantic_settings/sources.py", "/pydantic_settings/main.py", "/omegaconf/resolvers/oc/__init__.py",
)  # fmt: skip
_MACHINE = ("/loky/backend/context.py", f"/{platform.__name__}.py", "/ctypes/util.py")
_OWN_PROCESSES = ("/sklearn/",)  # hands numbers and its own code to other processes, nothing that reads
_GLOB = frozenset("*?[")

_watches: list["Watch"] = []
_lock = threading.RLock()  # one watched step at a time in a process: steps that overlap use processes


class Watch:
    """What some code was seen to read.

    Args:
        project: the code of the run; None while that code is imported.
        allowed: files and folders that it may read.
        env: variables that it may read.
    """

    def __init__(self, project: Project | None, allowed: tuple[Path, ...], env: tuple[str, ...]) -> None:
        self.project = project
        self.allowed = allowed
        self.env = env
        self.reads: dict[str, str] = {}  # what was read → the mend
        self.files: dict[str, str | None] = {}  # files that were read, and what they held just before
        self.variables: set[str] = set()
        self._written: set[str] = set()

    def note_open(self, path: Any, flags: int) -> None:
        """A file is about to be opened."""
        if isinstance(path, int) or not isinstance(path, str | bytes | os.PathLike):
            return
        name = str(Path(os.fsdecode(path)).absolute())
        new = flags & (os.O_TRUNC | os.O_EXCL) or (flags & os.O_CREAT and not os.path.lexists(name))
        if new:
            self._written.add(name)
        elif not flags & os.O_WRONLY and name not in self._written:
            self.note_path(name)

    def note_path(self, name: str) -> None:
        """A file or folder was read, or may have been."""
        if self.project is None and asking(_LIBRARIES) is None:
            return
        if "__pycache__" in name and name.endswith(".pyc"):
            name = importlib.util.source_from_cache(name)
        if _GLOB & set(name):
            name = str(Path(*_before_glob(Path(name).parts)))
        try:
            path = Path(name).resolve()
        except (OSError, RuntimeError, ValueError):  # no name that could be opened
            return
        places = (*self.allowed, *installed_roots())
        if str(path).startswith(_HARMLESS) or any(path == place or path.is_relative_to(place) for place in places):
            return
        if self.project is None:
            self.files.setdefault(str(path), file_hash(path, deep=False))
            return
        if self.project.owns(path):
            return
        shown = os.path.relpath(path, self.project.root)
        shown = str(path) if shown.startswith("../..") else shown
        self.reads[f"the {'folder' if path.is_dir() else 'file'} {shown}"] = f'@clew.step(files=["{shown}"])'

    def note_source(self, source: Any, called: str) -> None:
        """A native reader was handed a path, paths, or something else."""
        for one in source if isinstance(source, list | tuple) else [source]:
            if isinstance(one, str | os.PathLike) and "://" not in str(one):
                name = str(Path(one).absolute())
                if name not in self._written:
                    self.note_path(name)
            elif not hasattr(one, "read") and not isinstance(one, bytes):
                self.note_other(f"something through {called}")

    def note_stat(self, path: Any) -> None:
        """The user's code asked whether a file is there, how large it is, or when it changed."""
        if isinstance(path, int) or asking(_PASSING) is None:
            return
        name = str(Path(os.fsdecode(path)).absolute())
        if name not in self._written:
            self.note_path(name)

    def note_env(self, name: str | None) -> None:
        """A variable was read by the user's code, or (None) all of them."""
        if name in self.env:
            return
        frame = asking(_PASSING)
        if frame is None or (name == "HOME" and _called_within(frame, "expanduser")):
            return
        if name is None:
            self.note_other("all environment variables")
        elif self.project is None:
            self.variables.add(name)
        else:
            self.reads[f"the environment variable {name}"] = f'@clew.step(env=["{name}"])'

    def note_processes(self) -> None:
        """Work was handed to other processes, where nobody watches."""
        if not within(_OWN_PROCESSES) and not within(_MACHINE):
            self.note_other("what other processes read")

    def note_other(self, what: str) -> None:
        """Something that can't be declared."""
        if self.project is not None or asking(_LIBRARIES) is not None:
            self.reads[what] = "@clew.step(cache=False), or read it in from a dataset"


_LIBRARIES = (".py",)  # while the user's code is imported, whatever it calls reads for it


def _before_glob(parts: tuple[str, ...]) -> tuple[str, ...]:
    return parts[: next(at for at, part in enumerate(parts) if _GLOB & set(part))]


def _called_within(stop: Any, name: str) -> bool:
    frame = sys._getframe(2)  # noqa: SLF001 - who asks is in the frames above
    while frame is not None and frame is not stop:
        if frame.f_code.co_name == name:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watches:
        return
    for watch in list(_watches):
        if event == "open":
            watch.note_open(arguments[0], arguments[2] or 0)
        elif event in ("os.listdir", "os.scandir") and not isinstance(arguments[0], int):
            watch.note_path(str(Path(os.fsdecode(arguments[0] or ".")).absolute()))
        elif event in ("socket.connect", "socket.getaddrinfo"):
            watch.note_other("the network")
        elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
            if not within(_MACHINE):
                watch.note_other("another program")
        elif event in ("os.fork", "os.forkpty"):
            watch.note_processes()
        elif event == "sqlite3.connect":
            watch.note_other("a database")


@functools.cache
def _install_hook() -> None:
    sys.addaudithook(_audit)  # can't be taken out again, so it is put in once and asks for the active watches


@contextmanager
def watching(watch: Watch) -> Iterator[Watch]:
    """While this lasts, what is read is noted, by this watch and by those around it."""
    _install_hook()
    with _lock, wraps.telling(watch):
        _watches.append(watch)
        try:
            yield watch
        finally:
            _watches.remove(watch)
    if watch.project is None:
        return
    for name, path in used_in_place(watch.project.root).items():
        if not watch.project.owns(path):  # also when an earlier step imported it
            watch.reads[f"the module {name} from outside of the pipeline's folder, imported late"] = (
                f"import {name} at the top of the pipeline's file"
            )
