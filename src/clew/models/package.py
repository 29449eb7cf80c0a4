"""Packaging: a model as one file, with its code, loadable long after and beside other versions.

A package is a zip: `model.json`, the estimator as its flavor keeps it (see `clew.models.flavors`), the input example,
and the Python files of the project that the model's functions and classes live in.
"""

import hashlib
import io
import json
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from clew.errors import ClewError, IntegrityError, UsageError
from clew.models import flavors
from clew.models.capsule import Capsule, home_of, own_name
from clew.models.example import Shape
from clew.models.flavors._libraries import versions
from clew.models.model import Model
from clew.models.signature import Signature
from clew.pipelines import project, values
from clew.pipelines.origin import is_users

FORMAT = 1
# What zipfile and JSON raise for bytes that are not whole.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    AttributeError,
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
    """The model as bytes.

    Raises UsageError when it can't predict its own example, and for functions that can't be found again (lambdas,
    notebooks).
    """
    functions = {name: getattr(model, name) for name in ("before", "after") if getattr(model, name) is not None}
    named = {name: _named(function) for name, function in functions.items()}
    flavor, packed = flavors.pack(model.estimator)
    modules = packed.modules | {getattr(function, "function", function).__module__ for function in functions.values()}
    code = _code(modules)
    _check(model)  # before the versions are asked for: some libraries load at the first prediction
    about = {
        "format": FORMAT,
        "flavor": flavor,
        "signature": msgspec.to_builtins(model.signature),
        "shape": msgspec.to_builtins(model.shape),
        "functions": named,
        "libraries": versions(packed.libraries),
        **packed.about,
    }
    parts = {
        f"estimator.{flavor}": packed.body,
        "example.json": json.dumps(model.example.to_dicts(), default=str, indent=2).encode(),
        "example.arrow": model.example.write_ipc(None).getvalue(),
        **{f"code/{path}": content for path, content in sorted(code.items())},
    }
    about["sha256"] = {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in {"model.json": json.dumps(about, indent=2, sort_keys=True).encode(), **parts}.items():
            archive.writestr(zipfile.ZipInfo(path, _FIXED), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _check(model: Model) -> None:
    try:
        model.predict(model.example)
    except ClewError:
        raise
    except Exception as error:
        raise UsageError(
            f"the model can't predict its own example: {type(error).__name__}: {str(error).strip().splitlines()[0]}"
            if str(error).strip()
            else f"the model can't predict its own example: {type(error).__name__}",
            mend="fit it first, and give an example and a function `before` that it can take",
        ) from error


def unpack(path: Path) -> Model:
    """The model in a package. Only for files from the workspace, found by content id.

    Raises IntegrityError when it can't be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            about = json.loads(archive.read("model.json"))
            parts = {name: archive.read(name) for name in archive.namelist() if name != "model.json"}
            # Before any library sees them: XGBoost brings the process down over bytes that are cut short.
            for name, digest in about.get("sha256", {}).items():
                if hashlib.sha256(parts[name]).hexdigest() != digest:
                    raise ValueError(f"{name} is not what was packaged")
            files = {name.removeprefix("code/"): body for name, body in parts.items() if name.startswith("code/")}
            body = parts[f"estimator.{about['flavor']}"]
            example = parts["example.arrow"]
    except _DAMAGE as error:
        raise IntegrityError(f"{path.name} is no whole package of a model: {error}", mend="clew doctor") from error
    if about.get("format") != FORMAT:
        raise IntegrityError(f"a package of format {about.get('format')}", mend="pip install --upgrade clew")
    capsule = Capsule(files, f"model {path.name[:12]}")
    model = Model.__new__(Model)
    model.estimator = flavors.named(about["flavor"]).load(body, about, capsule)
    model.before = _function(capsule, about, "before")
    model.after = _function(capsule, about, "after")
    model.example = pl.read_ipc(example)
    model.signature = msgspec.convert(about["signature"], Signature)
    model.shape = msgspec.convert(about.get("shape", {}), Shape)
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
    return f"{own_name(module)}:{name}"


def _at(module: str, name: str) -> Any:
    """What a module holds under a qualified name."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return getattr(found, "function", found)


def _code(modules: frozenset[str]) -> dict[str, bytes]:
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
