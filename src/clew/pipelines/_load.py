"""Loading a pipeline from a Python file."""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from clew.errors import NotFoundError, StepError, UsageError
from clew.pipelines import sources, tracebacks, watch
from clew.pipelines._pipeline import Pipeline
from clew.pipelines.project import Project


def load(target: str) -> tuple[Pipeline, Path]:
    """The pipeline that `FILE.py` or `FILE.py:NAME` names, and its file.

    Modules beside the file can be imported by it. Raises NotFoundError, UsageError, StepError (the file raised).
    """
    name, _, wanted = target.partition(":")
    path = Path(name)
    if name and path.is_dir():
        raise UsageError(f"{path} is a folder, and a pipeline is in a file", mend="clew run FILE.py[:PIPELINE]")
    if not path.is_file():
        raise NotFoundError(f"there is no file {name!r}", mend="clew run FILE.py[:PIPELINE]")
    if path.suffix != ".py":
        raise UsageError(f"{path} is no Python file", mend="clew run FILE.py[:PIPELINE]")
    module = _import(path.resolve(), {})
    found = {key: value for key, value in vars(module).items() if isinstance(value, Pipeline)}
    if wanted:
        if wanted not in found:
            raise NotFoundError(f"{path} has no pipeline {wanted!r}; it has: {', '.join(found) or 'none'}")
        return found[wanted], path.resolve()
    different = list({id(value): value for value in found.values()}.values())
    own = [one for one in different if getattr(one.function, "__module__", None) == module.__name__]
    if len(own or different) != 1:
        what = "no pipeline" if not found else f"several pipelines: {', '.join(found)}"
        raise UsageError(f"{path} has {what}", mend="put @clew.pipeline above one, or name it: FILE.py:PIPELINE")
    return (own or different)[0], path.resolve()


def load_frozen(code: Project) -> None:
    """Load the code of a run as it was captured, whatever became of the files since. Raises what it raises."""
    _import(code.root / code.entry, code.frozen)


def _import(path: Path, frozen: Mapping[str, bytes]) -> ModuleType:
    if path.stem in sys.stdlib_module_names or path.stem in ("clew", "numpy", "polars"):
        raise UsageError(
            f"{path.name} would take the place of the module {path.stem}",
            mend=f"rename it, such as my_{path.name}",
        )
    root = str(path.parent)
    if sys.path[:1] != [root]:
        sys.path[:] = [root, *(place for place in sys.path if place != root)]
    sources.forget(path.parent)
    spec = sources.spec_of(path.stem, path, frozen)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    seen = watch.Watch(None, (), ())
    try:
        with sources.loading(frozen), watch.watching(seen):
            assert spec.loader is not None
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[path.stem]
        if isinstance(error, UsageError):
            raise
        raise StepError(
            f"{tracebacks.of_import(error)}{path} raised while it was imported", mend="mend the file"
        ) from error
    watch.imported[path] = seen
    return module
