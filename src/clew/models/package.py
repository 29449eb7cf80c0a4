"""Packaging: a model as one file, with its code, loadable long after and beside other versions.

A package is a zip: `model.json`, the estimator (skops for scikit-learn, so that no pickle is needed; a pickle for
other objects), the input example, and the Python files of the project that the model's functions live in.
"""

import contextlib
import hashlib
import io
import json
import pickle
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import msgspec
import polars as pl

from clew.errors import IntegrityError, MissingDependencyError, UsageError
from clew.models._skops import normal
from clew.models.capsule import Capsule, found_again, home_of
from clew.models.model import Model
from clew.models.signature import Signature
from clew.pipelines import project, values
from clew.pipelines.origin import is_users

FORMAT = 1
# What zipfile and JSON raise for bytes that are not whole.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    ValueError,
    TypeError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
)
_FIXED = (1980, 1, 1, 0, 0, 0)


def pack(model: Model) -> bytes:
    """The model as bytes. Raises UsageError for functions that can't be found again (lambdas, notebooks)."""
    functions = {name: getattr(model, name) for name in ("before", "after") if getattr(model, name) is not None}
    named = {name: _named(function) for name, function in functions.items()}
    flavor, body, extra, modules = _pack_estimator(model.estimator)
    modules |= {getattr(function, "function", function).__module__ for function in functions.values()}
    about = {
        "format": FORMAT,
        "flavor": flavor,
        "signature": msgspec.to_builtins(model.signature),
        "functions": named,
        "libraries": _libraries(model.estimator),
        **extra,
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:

        def write(path: str, content: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(path, _FIXED), content, zipfile.ZIP_DEFLATED)

        write("model.json", json.dumps(about, indent=2, sort_keys=True).encode())
        write(f"estimator.{flavor}", body)
        write("example.json", json.dumps(model.example.to_dicts(), default=str, indent=2).encode())
        write("example.arrow", model.example.write_ipc(None).getvalue())
        for path, content in sorted(_code(modules).items()):
            write(f"code/{path}", content)
    return buffer.getvalue()


def unpack(path: Path) -> Model:
    """The model in a package. Only for files from the workspace, found by content id.

    Raises IntegrityError when it can't be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            about = json.loads(archive.read("model.json"))
            files = {
                name.removeprefix("code/"): archive.read(name)
                for name in archive.namelist()
                if name.startswith("code/")
            }
            body = archive.read(f"estimator.{about['flavor']}")
            example = archive.read("example.arrow")
    except _DAMAGE as error:
        raise IntegrityError(f"{path.name} is no whole package of a model: {error}", mend="clew doctor") from error
    if about.get("format") != FORMAT:
        raise IntegrityError(f"a package of format {about.get('format')}", mend="pip install --upgrade clew")
    capsule = Capsule(files, f"model {path.name[:12]}")
    model = Model.__new__(Model)
    model.estimator = _load_estimator(about, body, capsule)
    model.before = _function(capsule, about, "before")
    model.after = _function(capsule, about, "after")
    model.example = pl.read_ipc(example)
    model.signature = msgspec.convert(about["signature"], Signature)
    return model


def read_about(path: Path) -> dict[str, Any]:
    """What a package says of itself, without loading the model. Raises IntegrityError."""
    try:
        with zipfile.ZipFile(path) as archive:
            about: dict[str, Any] = json.loads(archive.read("model.json"))
    except _DAMAGE as error:
        raise IntegrityError(f"{path.name} is no whole package of a model: {error}", mend="clew doctor") from error
    return about


def _function(capsule: Capsule, about: dict[str, Any], name: str) -> Any:
    path = about["functions"].get(name)
    if path is None:
        return None
    found = capsule.attribute(path)
    return getattr(found, "function", found)  # a step is called as the plain function it is


def _named(function: Callable[..., Any]) -> str:
    function = getattr(function, "function", function)
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if module is None or name is None or "<" in name or module == "__main__" or _at(module, name) is not function:
        raise UsageError(
            f"{name or function!r} of {module} can't be found again when the model is loaded",
            mend="define it at the top of a module beside the pipeline, with def",
        )
    return f"{_own_name(module)}:{name}"


def _at(module: str, name: str) -> Any:
    """What a module holds under a qualified name."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return getattr(found, "function", found)


def _own_name(module: str) -> str:
    """A module's name as its own code has it: of a model that was loaded from a package, and is packaged again."""
    home = home_of(module)
    return module if home is None else home[1]


def _code(modules: set[str]) -> dict[str, bytes]:
    """The Python files of the projects that the model's functions and classes live in."""
    files: dict[str, bytes] = {}
    for name in sorted(modules):
        home = home_of(name)
        file = getattr(sys.modules.get(name), "__file__", None)
        if home is not None:
            found = home[0].files
        elif not isinstance(file, str) or not is_users(file):
            continue
        else:
            path = Path(file).resolve()
            depth = name.count(".") + (1 if path.name == "__init__.py" else 0)
            found = {
                name: body for name, body in project.gather(path.parents[depth])[0].items() if name.endswith(".py")
            }
        for path_in, content in found.items():
            if files.setdefault(path_in, content) != content:
                raise UsageError(
                    f"the model's code needs two versions of {path_in}: that of a loaded model, and another",
                    mend="make the model from one of them alone",
                )
    return files


def _pack_estimator(estimator: Any) -> tuple[str, bytes, dict[str, Any], set[str]]:
    """How it is packed, the bytes, what loading needs to know, and the modules of the user's classes in it."""
    if type(estimator).__module__.split(".")[0] == "sklearn":
        try:
            import skops.io
        except ImportError as error:
            raise MissingDependencyError(
                "packaging a scikit-learn model needs skops", mend="pip install 'clew[sklearn]'"
            ) from error
        with contextlib.suppress(TypeError, pickle.PicklingError, AttributeError):
            body = skops.io.dumps(estimator)
            trusted = sorted(skops.io.get_untrusted_types(data=body))
            # The user's own classes have to come from the package's code, which skops would not look into.
            if not any(_is_users_type(name) for name in trusted):
                return "skops", normal(body), {"trusted": trusted}, set()
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, protocol=5)
    try:
        pickler.dump(estimator)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise UsageError(
            f"a {type(estimator).__name__} can't be packaged: {error}",
            mend="define its class at the top of a module, and keep open files and locks out of it",
        ) from error
    return "pickle", buffer.getvalue(), {}, pickler.modules


class _Pickler(pickle.Pickler):
    """Notes the modules that it refers to, and calls those of a loaded model as their own code does."""

    def __init__(self, file: io.BytesIO, protocol: int) -> None:
        super().__init__(file, protocol=protocol)
        self.modules: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type | FunctionType):
            module, name = obj.__module__, obj.__qualname__
            if module == "__main__" or "<" in name:
                raise pickle.PicklingError(f"{name} of {module} can't be found again when the model is loaded")
            self.modules.add(module)
            if home_of(module) is not None:
                return found_again, (_own_name(module), name)
        return NotImplemented


def _is_users_type(name: str) -> bool:
    while "." in name:
        name = name.rpartition(".")[0]
        file = getattr(sys.modules.get(name), "__file__", None)
        if isinstance(file, str):
            return is_users(file)
    return False


def _load_estimator(about: dict[str, Any], body: bytes, capsule: Capsule) -> Any:
    if about["flavor"] == "skops":
        try:
            import skops.io
        except ImportError as error:
            raise MissingDependencyError(
                "this model is scikit-learn's, and skops is not installed", mend="pip install 'clew[sklearn]'"
            ) from error
        return skops.io.loads(body, trusted=about["trusted"])
    return capsule.unpickle(body)


def _libraries(estimator: Any) -> dict[str, str]:
    top = type(estimator).__module__.split(".")[0]
    version = getattr(sys.modules.get(top), "__version__", None)
    return {top: str(version)} if version else {}


class _Models:
    """Models as what passes between steps."""

    kind = "model"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Model)

    def encode(self, value: Model) -> tuple[str, bytes, int | None]:
        body = pack(value)
        return f"m1:{hashlib.sha256(body).hexdigest()}", body, None

    def decode(self, path: Path, hint: Any) -> Model:
        if hint not in (None, Any, Model):
            raise UsageError(f"a model can't be handed over as {hint}", mend="annotate the parameter as clew.Model")
        return unpack(path)


values.CODECS.append(_Models())
