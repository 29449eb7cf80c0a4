"""Packaging: a model as one file, with its code, loadable long after and beside other versions.

A package is a zip: `model.json`, the estimator (skops for scikit-learn, so that no pickle is needed; a pickle for
other objects), the input example, and the Python files of the project that the model's functions live in.
"""

import hashlib
import io
import json
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from clew.errors import IntegrityError, MissingDependencyError, UsageError
from clew.models.capsule import Capsule
from clew.models.model import Model
from clew.models.signature import Signature
from clew.pipelines import project, values
from clew.pipelines.origin import installed_roots

FORMAT = 1
_FIXED = (1980, 1, 1, 0, 0, 0)


def pack(model: Model) -> bytes:
    """The model as bytes. Raises UsageError for functions that can't be found again (lambdas, notebooks)."""
    functions = {name: getattr(model, name) for name in ("before", "after") if getattr(model, name) is not None}
    named = {name: _named(function) for name, function in functions.items()}
    flavor, body, extra = _pack_estimator(model.estimator)
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
        for path, content in sorted(_code(model, list(functions.values())).items()):
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
    except (zipfile.BadZipFile, KeyError, json.JSONDecodeError) as error:
        raise IntegrityError(f"that is no package of a model: {error}", mend="clew data verify") from error
    if about["format"] != FORMAT:
        raise IntegrityError(f"a package of format {about['format']}", mend="pip install --upgrade clew")
    capsule = Capsule(files, f"model {path.name[:12]}")
    model = Model.__new__(Model)
    model.estimator = _load_estimator(about, body, capsule)
    model.before = _function(capsule, about, "before")
    model.after = _function(capsule, about, "after")
    model.example = pl.read_ipc(example)
    model.signature = msgspec.convert(about["signature"], Signature)
    return model


def read_about(path: Path) -> dict[str, Any]:
    """What a package says of itself, without loading the model."""
    with zipfile.ZipFile(path) as archive:
        about: dict[str, Any] = json.loads(archive.read("model.json"))
    return about


def _function(capsule: Capsule, about: dict[str, Any], name: str) -> Any:
    path = about["functions"].get(name)
    if path is None:
        return None
    found = capsule.attribute(path)
    return getattr(found, "function", found)  # a step is called as the plain function it is


def _named(function: Callable[..., Any]) -> str:
    function = getattr(function, "function", function)
    module, name = function.__module__, function.__qualname__
    if "<" in name or module == "__main__":
        raise UsageError(
            f"{name} of {module} can't be found again when the model is loaded",
            mend="define it at the top of a module beside the pipeline, with def",
        )
    # A model that was loaded from a package, and is packaged again.
    return f"{module.split('.', 1)[1] if module.startswith('clew_capsule_') else module}:{name}"


def _code(model: Model, functions: list[Callable[..., Any]]) -> dict[str, bytes]:
    """The Python files of the projects that the model's functions and classes live in."""
    files: dict[str, bytes] = {}
    modules = {getattr(function, "function", function).__module__ for function in functions}
    modules.add(type(model.estimator).__module__)
    installed = installed_roots()
    for name in modules:
        file = getattr(sys.modules.get(name), "__file__", None)
        if not file or file.startswith("<") or any(Path(file).resolve().is_relative_to(root) for root in installed):
            continue
        path = Path(file).resolve()
        depth = name.count(".") + (1 if path.name == "__init__.py" else 0)
        files |= project.capture(path.parents[depth] / "any.py").files
    return files


def _pack_estimator(estimator: Any) -> tuple[str, bytes, dict[str, Any]]:
    if type(estimator).__module__.split(".")[0] == "sklearn":
        try:
            import skops.io
        except ImportError as error:
            raise MissingDependencyError(
                "packaging a scikit-learn model needs skops", mend="pip install 'clew[sklearn]'"
            ) from error
        body = skops.io.dumps(estimator)
        return "skops", body, {"trusted": sorted(skops.io.get_untrusted_types(data=body))}
    try:
        return "pickle", pickle.dumps(estimator, protocol=5), {}
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise UsageError(
            f"a {type(estimator).__name__} can't be packaged: {error}",
            mend="define its class at the top of a module, and keep open files and locks out of it",
        ) from error


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
