"""The libraries of flavors, imported here alone; what is missing names the extra that brings it."""

import importlib
import sys
from types import ModuleType

from clew.errors import MissingDependencyError

_EXTRAS = {
    "lightgbm": "lightgbm",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "pandas": "pandas",
    "sklearn": "sklearn",
    "skops.io": "sklearn",
    "torch": "torch",
    "xgboost": "xgboost",
    "yaml": "mlflow",
}


def library(name: str, why: str) -> ModuleType:
    """The library by its import name. Raises MissingDependencyError: why it is needed, and the extra to install."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            f"{why} needs {name.partition('.')[0]}, which is not installed",
            mend=f"pip install 'clew[{_EXTRAS[name]}]'",
        ) from error


def versions(names: tuple[str, ...]) -> dict[str, str]:
    """The versions of the libraries that are loaded, by import name."""
    found = {name: getattr(sys.modules.get(name), "__version__", None) for name in names}
    return {name: str(version) for name, version in sorted(found.items()) if version}
