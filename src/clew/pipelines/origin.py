"""Where code comes from: installed, and known by the environment's lock, or the user's own."""

import functools
import os
import site
import sys
import sysconfig
from pathlib import Path
from types import FrameType

CLEW = Path(__file__).resolve().parent.parent


@functools.cache
def installed_roots() -> tuple[Path, ...]:
    """The folders of installed code, and clew's own."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    base = dict.fromkeys(("base", "platbase", "installed_base", "installed_platbase"), sys.base_prefix)
    found = {sysconfig.get_path(name, vars=where) for name in names for where in ({}, base)}
    found |= {*site.getsitepackages(), site.getusersitepackages()}
    # An environment may lie over another one.
    found |= {place for place in sys.path if place.endswith(("site-packages", "dist-packages"))}
    # Only those: where Python lies in /usr, everything below its prefix would take in an /usr/src/app.
    return (*sorted({Path(folder).resolve() for folder in found}), CLEW)


@functools.lru_cache(maxsize=20_000)
def is_users(file: str) -> bool:
    """Whether a file of code is the user's: neither installed nor made up by a library."""
    if file.startswith("<"):
        return file.startswith("<model ")  # the code of a loaded model
    return _in_users_folder(os.path.dirname(os.path.abspath(file)))  # noqa: PTH100, PTH120 - of every module


@functools.lru_cache(maxsize=20_000)
def _in_users_folder(folder: str) -> bool:
    # Links are followed to folders and no further: some installers link each file to a cache.
    path = Path(os.path.realpath(folder))
    return not any(path.is_relative_to(root) for root in installed_roots())


def asking(passing: tuple[str, ...] = ()) -> FrameType | None:
    """The user's frame that asks for something; None when an installed library asks on its own account.

    Code of clew, code without a file, and files that `passing` names (see `within`) only pass on what they are asked.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - who asks is in the frames above
    while frame is not None:
        file = frame.f_code.co_filename
        if is_users(file):
            return frame
        if _imports(frame) or not (file.startswith((str(CLEW), "<")) or _named(file, passing)):
            return None
        frame = frame.f_back
    return None


def importing() -> bool:
    """Whether an installed library is being imported, by an import statement, nearer than any code of the user."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - who asks is in the frames above
    while frame is not None:
        if is_users(frame.f_code.co_filename):
            return False
        if _imports(frame):
            return True
        frame = frame.f_back
    return False


def within(names: tuple[str, ...], *, function: str | None = None) -> bool:
    """Whether some frame above lies in a file that is named: by its end, or `/library/`; or in such a function."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - who asks is in the frames above
    while frame is not None:
        if _named(frame.f_code.co_filename, names) and function in (None, frame.f_code.co_name):
            return True
        frame = frame.f_back
    return False


def _imports(frame: FrameType) -> bool:
    return frame.f_code.co_name == "_find_and_load" and frame.f_code.co_filename.startswith("<frozen importlib")


def _named(file: str, names: tuple[str, ...]) -> bool:
    return any(name in file if name.endswith("/") else file.endswith(name) for name in names)
