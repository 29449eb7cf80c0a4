"""MLflow's format: a folder with an MLmodel file. Read without mlflow; the public format, MLflow 1 to 3."""

import importlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from clew.errors import ClewError, DataError, IntegrityError, RefusedError, UsageError
from clew.models.capsule import Capsule
from clew.models.flavors import OnnxModel, named
from clew.models.flavors._libraries import library
from clew.models.foreign.archive import files_of, within

_TYPES = {
    "boolean": pl.Boolean, "integer": pl.Int32, "long": pl.Int64, "float": pl.Float32, "double": pl.Float64,
    "string": pl.String, "datetime": pl.Datetime("us"),
    "bool": pl.Boolean, "int32": pl.Int32, "int64": pl.Int64, "float32": pl.Float32, "float64": pl.Float64,
}  # fmt: skip
_PICKLES = (".pkl", ".pickle", ".joblib", ".pth", ".pt")


@dataclass
class Foreign:
    """A foreign model, read.

    Attributes:
        estimator: what predicts.
        columns: names and polars types of its inputs, where it says them.
        example: rows that it brought with it.
        container: the kind of table that it is given.
        about: what it says of itself, to be shown.
    """

    estimator: Any
    columns: dict[str, Any] = field(default_factory=dict)
    example: pl.DataFrame | None = None
    container: str = "pandas"
    about: dict[str, Any] = field(default_factory=dict)


def read(folder: Path, *, trust_pickle: bool) -> Foreign:
    """The model in a folder of MLflow's.

    Raises:
        UsageError: no such folder, or one of a flavor that isn't read.
        RefusedError: its model is a pickle, and `trust_pickle` isn't set; or a path in it leads out.
        DataError: a file of it that can't be read.
    """
    if not (folder / "MLmodel").is_file():
        raise UsageError(
            f"{folder.name} is no model that can be imported: it has no file MLmodel",
            mend="give a folder of MLflow's format (the one with MLmodel in it), or an .onnx file",
        )
    yaml = library("yaml", "reading MLflow's format")
    try:
        said = yaml.safe_load((folder / "MLmodel").read_text())
        flavors = dict(said["flavors"])
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"MLmodel can't be read: {str(error).splitlines()[0]}", mend="save the model anew") from error
    files_of(folder)  # refuses links that lead out
    found = next((name for name in ("onnx", "xgboost", "lightgbm", "sklearn") if name in flavors), None)
    if found is None:
        raise UsageError(
            f"MLmodel holds the flavors {', '.join(sorted(flavors))}, and of MLflow's "
            "sklearn, xgboost, lightgbm and onnx are read",
            mend="save it with mlflow.onnx, or load it with mlflow and hand it to clew.Model",
        )
    options = flavors[found] if isinstance(flavors[found], dict) else {}
    name = str(options.get("data") or options.get("pickled_model") or "")
    body = within(folder, name or f"no file in the flavor {found}").read_bytes()
    capsule = _code(folder, options)
    try:
        estimator = _estimator(found, name, options, body, capsule, trust_pickle=trust_pickle)
    except IntegrityError as error:
        raise DataError(f"{name} can't be read: {error.message}", mend="save the model anew") from error
    return Foreign(
        estimator,
        _columns(said),
        _example(folder, said),
        about={
            "format": "mlflow",
            "flavor": found,
            "file": name,
            "mlflow_version": said.get("mlflow_version"),
            "model_class": options.get("model_class"),
            "mlflow_run": said.get("run_id"),
            "created": said.get("utc_time_created"),
            "libraries": {key: str(value) for key, value in options.items() if key.endswith("_version")},
        },
    )


def _estimator(
    flavor: str, name: str, options: Mapping[str, Any], body: bytes, capsule: Capsule, *, trust_pickle: bool
) -> Any:
    if flavor == "onnx":
        return OnnxModel(body)
    if name.endswith(_PICKLES):
        if not trust_pickle:
            raise RefusedError(
                f"{name} is a pickle: loading it runs whatever code its author put into it",
                mend="save it without pickle (mlflow.sklearn.save_model(…, serialization_format='skops'), or the "
                "library's own format), or give --trust-pickle if you know who made it",
            )
        try:
            return capsule.unpickle(body)
        except ClewError:
            raise
        except Exception as error:
            raise DataError(
                f"the pickle {name} can't be loaded here: {type(error).__name__}: {error}",
                mend="install the libraries of its requirements.txt, in these versions",
            ) from error
    if name.endswith(".skops"):
        return _skops(name, body, capsule)
    if flavor == "xgboost":
        _survives(body, name)
        kind = str(options.get("model_class") or "xgboost.core.Booster").rpartition(".")[2]
        return named("ubj").load(body, {"class": None if kind == "Booster" else kind, "parameters": {}}, capsule)
    if flavor == "lightgbm":
        return named("lgb").load(body, {}, capsule)
    raise UsageError(
        f"{name} is no file of scikit-learn that is read", mend="save it with serialization_format='skops'"
    )


def _skops(name: str, body: bytes, capsule: Capsule) -> Any:
    """An estimator in a skops file with nothing but known libraries' classes. Raises RefusedError, DataError."""
    skops = library("skops.io", "this model")
    try:
        unknown = skops.get_untrusted_types(data=body)
    except Exception as error:
        raise DataError(f"{name} is no file of skops: {error}", mend="save the model anew") from error
    foreign = [one for one in unknown if not _is_known_class(one)]
    if foreign:
        raise RefusedError(
            f"{name} holds types that are not scikit-learn's: {', '.join(foreign)}",
            mend="load it yourself, look at them, and hand the model to clew.Model",
        )
    return named("skops").load(body, {"trusted": unknown}, capsule)


def _is_known_class(name: str) -> bool:
    """Whether a name in a skops file is a class of the libraries that are read: no function, and nobody else's."""
    module, _, last = name.rpartition(".")
    if module.split(".")[0] not in ("sklearn", "xgboost", "lightgbm", "collections"):
        return False
    try:
        return isinstance(getattr(importlib.import_module(module), last, None), type)
    except ImportError:
        return False


_TRY = "import sys, xgboost; xgboost.Booster().load_model(bytearray(sys.stdin.buffer.read()))"


def _survives(body: bytes, name: str) -> None:
    """Load it in a process of its own first: over a damaged file XGBoost doesn't raise, but ends the process."""
    library("xgboost", "this model")
    tried = subprocess.run([sys.executable, "-c", _TRY], input=body, capture_output=True, check=False)
    if tried.returncode:
        raise DataError(f"XGBoost can't read {name}: it is damaged, or of another kind", mend="save the model anew")


def _code(folder: Path, options: Mapping[str, Any]) -> Capsule:
    """The Python files that came with it, which a trusted pickle's own classes may come from."""
    name = options.get("code")
    if not name:
        return Capsule({}, "imported model")
    inside = within(folder, str(name))
    return Capsule(
        {path: file.read_bytes() for path, file in files_of(inside).items() if path.endswith(".py")}, "model"
    )


def _columns(said: Mapping[str, Any]) -> dict[str, Any]:
    """Names and types of the inputs as the signature has them; of a tensor n × k, x0 to x(k−1)."""
    signature = said.get("signature")
    if not isinstance(signature, dict) or not signature.get("inputs"):
        return {}
    found: dict[str, Any] = {}
    for at, one in enumerate(json.loads(signature["inputs"])):
        if one.get("type") == "tensor":
            spec = one["tensor-spec"]
            dtype = _TYPES.get(spec["dtype"])
            shape = spec["shape"]
            if dtype is None or len(shape) > 2:
                raise UsageError(
                    f"its input is a tensor of {spec['dtype']} of shape {shape}, which rows can't carry",
                    mend="load it, and hand it to clew.Model with a function `before` that makes the tensor of rows",
                )
            width = shape[1] if len(shape) == 2 else 1
            names = [one["name"]] if "name" in one else [f"x{column}" for column in range(max(width, 0))]
            found |= dict.fromkeys(names, dtype)
        elif one.get("type") in _TYPES:
            found[str(one.get("name", f"x{at}"))] = _TYPES[one["type"]]
        else:
            raise UsageError(
                f"its input {one.get('name', at)!r} is {one.get('type')}, which a request can't carry",
                mend="load it, and hand it to clew.Model with a function `before`",
            )
    return found


def _example(folder: Path, said: Mapping[str, Any]) -> pl.DataFrame | None:
    info = said.get("saved_input_example_info")
    if not isinstance(info, dict) or info.get("type") not in ("dataframe", "ndarray"):
        return None
    try:
        body = json.loads(within(folder, str(info["artifact_path"])).read_text())
        if isinstance(body, dict) and "data" in body:
            names = [str(one) for one in body.get("columns") or [f"x{at}" for at in range(len(body["data"][0]))]]
            return pl.DataFrame(body["data"], schema=names, orient="row")
        rows = body["inputs"] if isinstance(body, dict) else body
        return pl.DataFrame(rows, schema=[f"x{at}" for at in range(len(rows[0]))], orient="row")
    except (ValueError, KeyError, TypeError, IndexError, pl.exceptions.PolarsError) as error:
        raise DataError(f"its input example can't be read: {error}", mend="give --example FILE") from error
