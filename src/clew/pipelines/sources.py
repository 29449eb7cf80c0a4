"""Modules of the user's code, loaded from bytes that are kept: what is hashed is what runs.

Python's own loader trusts a compiled file whenever the source's time (in whole seconds) and size agree, keeps a module
for as long as the process lives, and reads a late import from the disk as it is by then. Each of these runs old
code under a new name, or new code under an old one.
"""

import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from clew.pipelines import state, wraps
from clew.pipelines.origin import is_users

_began = time.time()

kept: dict[str, bytes] = {}
"""The bytes of every module that was loaded here, by its file."""
_names: set[str] = set()  # of these modules; what stands in `sys.modules` by then may be an object in their place
fresh: dict[str, dict[str, str]] = {}
"""What each of these modules held when its import was done, by its name."""


@contextmanager
def loading(frozen: Mapping[str, bytes] | None = None) -> Iterator[None]:
    """While this lasts, the user's modules are compiled from bytes that are kept; with `frozen`, from those."""
    finder = _Finder(frozen or {})
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def spec_of(name: str, path: Path, frozen: Mapping[str, bytes]) -> ModuleSpec:
    """A module to be made from a file, or from the bytes that `frozen` has for it; they are kept."""
    spec = importlib.util.spec_from_file_location(name, path, loader=_Loader(name, str(path), frozen))
    assert spec is not None
    return spec


def forget(root: Path) -> None:
    """Forget what was loaded here before, the modules below a folder, and others by which its modules would go."""
    own = {path.stem for path in root.glob("*.py")} | {path.parent.name for path in root.glob("*/__init__.py")}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is None and _is_folder_below(module, root):
            del sys.modules[name]
        if name == "__main__" or not isinstance(file, str) or file.startswith("<") or not is_users(file):
            continue
        place = os.path.realpath(file)
        if place in kept or Path(place).is_relative_to(root) or name.partition(".")[0] in own:
            del sys.modules[name]
            fresh.pop(name, None)
    for name in _names:
        sys.modules.pop(name, None)
    _names.clear()
    kept.clear()
    importlib.invalidate_caches()


def _is_folder_below(module: ModuleType, root: Path) -> bool:
    """Whether it is a package without a file, of a folder of the project."""
    places = list(getattr(module, "__path__", ()))
    return bool(places) and all(Path(os.path.realpath(place)).is_relative_to(root) for place in places)


def edited_since(modules: Iterable[ModuleType]) -> list[str]:
    """Those of the modules that others had imported, and whose files were edited while this process lives."""
    found = []
    for module in modules:
        place = os.path.realpath(str(module.__file__))
        if place not in kept and os.path.isfile(place) and os.stat(place).st_mtime > _began:  # noqa: PTH113, PTH116
            found.append(module.__name__)
    return found


class _Finder:
    """Finds as all others do, and hands the user's modules to a loader of its own."""

    def __init__(self, frozen: Mapping[str, bytes]) -> None:
        self._frozen = frozen

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            if isinstance(finder, _Finder):
                continue
            found = finder.find_spec(name, path, target)
            if found is not None:
                if name in wraps.READERS and found.loader is not None:
                    _wrap_when_loaded(found.loader)
                if type(found.loader) is SourceFileLoader and found.origin and is_users(found.origin):
                    found.loader = _Loader(name, found.origin, self._frozen)
                return found
        return None


def _wrap_when_loaded(loader: Any) -> None:
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        wraps.wrap_module(module)

    loader.exec_module = exec_module


def _check_text(content: bytes, path: str) -> None:
    """Raise SyntaxError, as Python does for a file, where its bytes are no text: compiling lets some of them pass."""
    try:
        importlib.util.decode_source(content)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        told = (
            f"line {line} of {path} has the byte 0x{content[error.start]:02x}, which isn't {error.encoding}: save it "
        )
        raise SyntaxError(told + "as UTF-8, or say its encoding in the first line (# coding: latin-1)") from None


class _Loader(SourceFileLoader):
    """Compiles the source itself, never a compiled file that was left beside it."""

    def __init__(self, name: str, path: str, frozen: Mapping[str, bytes]) -> None:
        super().__init__(name, path)
        self._frozen = frozen

    def get_code(self, fullname: str) -> Any:
        path = self.get_filename(fullname)
        real = os.path.realpath(path)
        content = self._frozen.get(real)
        kept[real] = self.get_data(path) if content is None else content
        _names.add(fullname)
        _check_text(kept[real], path)
        return self.source_to_code(kept[real], path)

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        fresh[module.__name__], _ = state.of_module(module)
