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
from clew.pipelines.origin import asking, importing, installed_roots, within
from clew.pipelines.project import Project, file_hash, hashed, used_in_place

_HARMLESS = (
    "/proc/", "/sys/", "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/fd/",
    "/usr/share/zoneinfo/", "/usr/share/locale/", "/usr/lib/locale/", "/usr/lib/ssl/", "/etc/ssl/", "/etc/localtime",
    "/etc/timezone", "/etc/os-release", "/etc/passwd", "/etc/group", "/etc/mime.types",
)  # fmt: skip
# Files of the standard library, and libraries of settings, that read for whoever called them.
_PASSING = (
    "/os.py", "/posixpath.py", "/genericpath.py", "/pathlib.py", "/string.py", "/glob.py", "/shutil.py", "/copy.py",
    "/configparser.py", "/contextlib.py", "/functools.py", "/decouple.py", "/environs.py", "/environs/", "/dotenv/",
    "/pydantic_settings/", "/omegaconf/",
)  # fmt: skip
_INSTALLED = ("/importlib/metadata/", "/pkgutil.py")  # look for what is installed: the environment's lock says that
_MACHINE = ("/loky/backend/context.py", f"/{platform.__name__}.py", "/ctypes/util.py")
_OWN_PROCESSES = ("/site-packages/sklearn/",)  # hands numbers and its own code to other processes, nothing that reads
_LIBRARIES_OWN = frozenset(("PYARROW_IGNORE_TIMEZONE",))  # asked from native code, in which no frame shows the library
_GLOB = frozenset("*?[")

_EVENTS = {
    "open": "file",
    "os.listdir": "folder",
    "os.scandir": "folder",
    "os.mkdir": "new folder",
    "os.fork": "processes",
    "os.forkpty": "processes",
    "socket.connect": "the network",
    "socket.getaddrinfo": "the network",
    "sqlite3.connect": "a database",
    "subprocess.Popen": "another program",
    "os.system": "another program",
    "os.exec": "another program",
    "os.posix_spawn": "another program",
}

imported: dict[Path, "Watch"] = {}
"""What was read while a pipeline's file and the modules that it imports were loaded, by that file."""

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
        self.variables: dict[str, str | None] = {}  # variables that were read, hashed: they may be secrets
        self.touched = False  # whether anything was read at all, declared or not
        self._written: set[str] = set()

    def imported(self, project: Project) -> dict[str, str | None]:
        """What was read beside the code itself, hashed; files by where they lie from the pipeline's folder."""
        files = {name: found for name, found in self.files.items() if not project.owns(name)}
        return {os.path.relpath(name, project.root): found for name, found in files.items()} | self.variables

    def note_open(self, path: Any, flags: int) -> None:
        """A file is about to be opened."""
        if isinstance(path, int) or not isinstance(path, str | bytes | os.PathLike):
            return
        name = str(Path(os.fsdecode(path)).absolute())
        new = flags & (os.O_TRUNC | os.O_EXCL) or (flags & os.O_CREAT and not os.path.lexists(name))
        if new:
            self._written.add(name)
        elif not flags & os.O_WRONLY:
            self.note_path(name)

    def note_new(self, path: Any) -> None:
        """A folder is about to be made: what will be in it comes from the step itself."""
        name = str(Path(os.fsdecode(path)).absolute())
        if not os.path.lexists(name):
            self._written.add(name)

    def note_path(self, name: str, *, looked_at: bool = False) -> None:
        """A file or folder was read, or may have been."""
        if self._made(name) or importing() or within(_INSTALLED):
            return
        if "__pycache__" in name and name.endswith(".pyc"):
            name = importlib.util.source_from_cache(name)
        if _GLOB & set(name):
            name = str(Path(*_before_glob(Path(name).parts)))
        try:
            path = Path(name).resolve()
        except (OSError, RuntimeError, ValueError):  # no name that could be opened
            return
        if str(path).startswith(_HARMLESS) or any(path.is_relative_to(place) for place in installed_roots()):
            return
        if self.project is None:
            looked = "folder" if looked_at and path.is_dir() else None
            self.files.setdefault(str(path), looked or file_hash(path, deep=False))
            return
        if self.project.owns(path):
            return
        self.touched = True
        if any(path.is_relative_to(place) for place in self.allowed):
            return
        shown = os.path.relpath(path, self.project.root)
        shown = str(path) if shown.startswith("../..") else shown
        self.reads[f"the {'folder' if path.is_dir() else 'file'} {shown}"] = f'@clew.step(files=["{shown}"])'

    def _made(self, name: str) -> bool:
        return bool(self._written) and any(str(one) in self._written for one in (Path(name), *Path(name).parents))

    def note_source(self, source: Any, called: str) -> None:
        """A native reader was handed a path, paths, or something else."""
        for one in source if isinstance(source, list | tuple) else [source]:
            if isinstance(one, str | os.PathLike) and "://" not in str(one):
                self.note_path(str(Path(one).absolute()))
            elif not hasattr(one, "read") and not isinstance(one, bytes):
                self.note_other(f"something through {called}")

    def note_stat(self, path: Any) -> None:
        """The user's code asked whether a file is there, how large it is, or when it changed."""
        if isinstance(path, int) or asking(_PASSING) is None or within(("/pathlib.py",), function="resolve"):
            return
        if within(("/pathlib.py",), function="mkdir") or within(("/os.py",), function="makedirs"):
            return
        self.note_path(str(Path(os.fsdecode(path)).absolute()), looked_at=True)

    def note_env(self, name: str | None) -> None:
        """A variable was read by the user's code, or (None) all of them."""
        if (
            name in _LIBRARIES_OWN
            or asking(_PASSING) is None
            or (name == "HOME" and within(("/posixpath.py",), function="expanduser"))
        ):
            return
        self.touched = True
        if name in self.env:
            return
        if name is None:
            self.note_other("all environment variables")
        elif self.project is None:
            self.variables.setdefault(name, hashed(os.environ.get(name)))
        else:
            self.reads[f"the environment variable {name}"] = f'@clew.step(env=["{name}"])'

    def note_processes(self) -> None:
        """Work was handed to other processes, where nobody watches."""
        if not within(_OWN_PROCESSES) and not within(_MACHINE):
            self.note_other("what other processes read")

    def note_other(self, what: str) -> None:
        """Something that can't be declared."""
        if not importing():
            self.touched = True
            self.reads[what] = "@clew.step(cache=False), or read it in from a dataset"


def _before_glob(parts: tuple[str, ...]) -> tuple[str, ...]:
    return parts[: next(at for at, part in enumerate(parts) if _GLOB & set(part))]


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watches or event not in _EVENTS:
        return
    with wraps.unwatched() as listened:
        for watch in list(_watches) if listened else ():
            _note(watch, event, arguments)


def _note(watch: Watch, event: str, arguments: tuple[Any, ...]) -> None:
    what = _EVENTS[event]
    if what == "file":
        watch.note_open(arguments[0], arguments[2] or 0)
    elif what == "folder":
        if not isinstance(arguments[0], int):
            watch.note_path(str(Path(os.fsdecode(arguments[0] or ".")).absolute()))
    elif what == "new folder":
        watch.note_new(arguments[0])
    elif what == "processes":
        watch.note_processes()
    elif what != "another program" or not within(_MACHINE):
        watch.note_other(what)


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
    with wraps.unwatched():
        late = used_in_place(watch.project.files, watch.project.places)
    for name in late:
        # Also when an earlier step of this process imported it, since this one may use it too.
        watch.reads[f"the module {name}, which was imported late from outside of the pipeline's folder"] = (
            f"import {name} at the top of the pipeline's file"
        )
