"""Loading a pipeline from a Python file."""

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from clew.errors import NotFoundError, StepError, UsageError
from clew.pipelines._pipeline import Pipeline


def load(target: str) -> tuple[Pipeline, Path]:
    """The pipeline that `FILE.py` or `FILE.py:NAME` names, and its file.

    Modules beside the file can be imported by it. Raises NotFoundError, UsageError, StepError (the file raised).
    """
    name, _, wanted = target.partition(":")
    path = Path(name)
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}", mend="clew run FILE.py[:PIPELINE]")
    if path.suffix != ".py":
        raise UsageError(f"{path} is no Python file", mend="clew run FILE.py[:PIPELINE]")
    module = _import(path.resolve())
    found = {key: value for key, value in vars(module).items() if isinstance(value, Pipeline)}
    if wanted:
        if wanted not in found:
            raise NotFoundError(f"{path} has no pipeline {wanted!r}; it has: {', '.join(found) or 'none'}")
        return found[wanted], path.resolve()
    if len(found) != 1:
        what = "no pipeline" if not found else f"several pipelines: {', '.join(found)}"
        raise UsageError(f"{path} has {what}", mend="put @clew.pipeline above one, or name it: FILE.py:PIPELINE")
    return next(iter(found.values())), path.resolve()


def _import(path: Path) -> ModuleType:
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    loaded = sys.modules.get(path.stem)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} can't be imported", mend="check its name")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[path.stem]
        if isinstance(error, UsageError):
            raise
        text = "".join(traceback.format_exception(error, limit=-3))
        raise StepError(f"{path} raised while it was imported:\n{text}", mend="mend the file") from error
    return module
