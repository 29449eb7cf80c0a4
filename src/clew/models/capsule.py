"""A capsule: the code of one model version, importable beside the code of others in one process.

Two versions of a model often bring two versions of a module of one name. Each capsule has modules of its own: its
code runs with an `__import__` that looks into the capsule first, so `import features` means the capsule's.
"""

import builtins
import importlib.util
import io
import itertools
import linecache
import pickle
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from clew.errors import IntegrityError
from clew.pipelines.origin import is_users

_numbers = itertools.count(1)
_lock = threading.RLock()
_capsules: weakref.WeakValueDictionary[str, "Capsule"] = weakref.WeakValueDictionary()


class Capsule:
    """Modules from files in memory.

    Args:
        files: relative path (`features.py`, `package/part.py`) → source.
        label: what tracebacks call it, such as a content id.
    """

    def __init__(self, files: Mapping[str, bytes], label: str) -> None:
        self.label = label
        self.files = dict(files)
        self._prefix = f"clew_capsule_{next(_numbers)}"
        self._sources: dict[str, tuple[str, bytes, bool]] = {}
        for path, content in files.items():
            if not path.endswith(".py"):
                continue
            parts = path.removesuffix(".py").removeprefix("_elsewhere/").split("/")
            package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if package else parts)
            if name and (name not in self._sources or not path.startswith("_elsewhere/")):
                self._sources[name] = (path, content, package)
        # Folders without an __init__.py are packages too, unless a library goes by that name, as Python has it.
        for name in list(self._sources):
            for parent in _parents(name):
                if parent not in self._sources and ("." in parent or not _is_library(parent)):
                    self._sources[parent] = ("", b"", True)
        self._builtins = dict(vars(builtins)) | {"__import__": self._import}
        _capsules[self._prefix] = self

    def has(self, name: str) -> bool:
        """Whether a module of this name is the capsule's."""
        return name in self._sources

    def load(self, name: str) -> ModuleType:
        """A module of the capsule by the name that its own code uses. Raises IntegrityError, or what it raises."""
        if name not in self._sources:
            raise IntegrityError(f"the model's code has no module {name!r}", mend="register the model anew")
        with _lock:
            for parent in _parents(name):
                self._execute(parent)
            return self._execute(name)

    def attribute(self, path: str) -> Any:
        """What `module:qualified.name` names."""
        module_name, _, qualified = path.partition(":")
        value: Any = self.load(module_name)
        for part in qualified.split("."):
            value = getattr(value, part)
        return value

    def unpickle(self, body: bytes) -> Any:
        """Load a pickle whose classes may be the capsule's. Only for bytes from the workspace, by content id."""
        capsule = self

        class _Unpickler(pickle.Unpickler):
            def find_class(self, module: str, name: str) -> Any:
                if module == __name__ and name == found_again.__name__:
                    return lambda module, name: capsule.attribute(f"{module}:{name}")
                if capsule.has(module):
                    return capsule.attribute(f"{module}:{name}")
                return super().find_class(module, name)

        try:
            return _Unpickler(io.BytesIO(body)).load()
        except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError) as error:
            raise IntegrityError(
                f"the model's object can't be read: {error}", mend="register the model anew"
            ) from error

    def _execute(self, name: str) -> ModuleType:
        unique = f"{self._prefix}.{name}"
        loaded = sys.modules.get(unique)
        if loaded is not None:
            return loaded
        path, source, package = self._sources[name]
        module = ModuleType(unique)
        module.__file__ = f"<{self.label}>/{path}"
        module.__package__ = unique if package else unique.rpartition(".")[0]
        if package:
            module.__path__ = []
        module.__dict__["__builtins__"] = self._builtins
        module.__dict__["__capsule__"] = self  # it lives as long as any of its functions
        sys.modules[unique] = module
        text = source.decode(errors="replace")
        # So that tracebacks show the lines.
        linecache.cache[module.__file__] = (len(source), None, text.splitlines(keepends=True), module.__file__)
        try:
            exec(compile(source, module.__file__, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - the point
        except BaseException:
            del sys.modules[unique]
            raise
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(self._execute(parent), last, module)
        return module

    def _import(  # noqa: C901 - the cases of an import statement
        self,
        name: str,
        globals_: Mapping[str, Any] | None = None,
        locals_: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        absolute = name
        if level:
            package = str((globals_ or {}).get("__package__") or self._prefix)
            absolute = importlib.util.resolve_name("." * level + name, package)
            absolute = absolute.removeprefix(self._prefix).lstrip(".")
        if absolute and absolute.split(".")[0] not in self._sources and not level:
            return builtins.__import__(name, globals_, locals_, fromlist or (), level)
        if absolute and absolute not in self._sources:
            raise ModuleNotFoundError(f"No module named {absolute!r}", name=absolute)
        if not fromlist:
            module = self.load(absolute)
            return module if level else self.load(absolute.split(".")[0])
        if not absolute:  # from . import features
            holder = ModuleType(self._prefix)
            for part in fromlist:
                if part in self._sources:
                    setattr(holder, part, self.load(part))
            return holder
        module = self.load(absolute)
        if "*" in fromlist:
            fromlist = [*fromlist, *getattr(module, "__all__", ())]
        for part in fromlist:
            if not hasattr(module, part) and f"{absolute}.{part}" in self._sources:
                self.load(f"{absolute}.{part}")
        return module

    def close(self) -> None:
        """Forget the modules."""
        for name in [name for name in sys.modules if name.startswith(self._prefix + ".")]:
            linecache.cache.pop(str(sys.modules[name].__file__), None)
            del sys.modules[name]


def home_of(module: str) -> tuple[Capsule, str] | None:
    """The capsule that a loaded module belongs to, and the name that the capsule's own code has for it."""
    prefix, _, name = module.partition(".")
    capsule = _capsules.get(prefix)
    return None if capsule is None else (capsule, name)


def own_name(module: str) -> str:
    """A module's name as its own code has it: of a model that was loaded from a package, and is packaged again."""
    home = home_of(module)
    return module if home is None else home[1]


def found_again(module: str, name: str) -> Any:
    """Stands in a pickle for a class of the package's own code; `Capsule.unpickle` puts that class in its place."""
    raise IntegrityError(f"{module}.{name} is only known to a package", mend="load the model with clew")


def _is_library(name: str) -> bool:
    """Whether an installed module goes by this name (and is no mere folder)."""
    if name in sys.stdlib_module_names:
        return True
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None and not is_users(spec.origin)


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]
