"""The contract in a file: TOML, or Python that makes one, or a schema of dataframely or pandera."""

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl

from clew.data import _foreign
from clew.data.contract import Contract
from clew.errors import ClewError, DataError, NotFoundError, StepError, UsageError


def read(named: str | Path, dataset: str, schema: pl.Schema | None = None) -> Contract:
    """The contract in `FILE.toml`, `FILE.py` or `FILE.py:NAME`, for a dataset.

    `schema` is the table's, if it is known: it stands in for types that a foreign schema leaves open. Raises
    NotFoundError, UsageError, DataError (the line is named), and StepError for Python that raises.
    """
    text = str(named)
    path, colon, name = text.rpartition(":")
    if not (colon and path.endswith(".py")):
        path, name = text, ""
    file = Path(path)
    if not file.is_file():
        raise NotFoundError(f"there is no file {file}", mend="clew contract infer REF --out contract.toml")
    if file.suffix == ".py":
        return _of_python(file, name, dataset, schema)
    try:
        return Contract.from_toml(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not text in UTF-8", mend="save it as UTF-8") from error


def _of_python(file: Path, name: str, dataset: str, schema: pl.Schema | None) -> Contract:
    module = load(file)
    found = {
        key: value
        for key, value in vars(module).items()
        if (isinstance(value, Contract) or (_foreign.kind_of(value) and _foreign.is_of(value, module)))
        and (not name or key == name)
    }
    if not found:
        raise NotFoundError(
            f"{file} has no contract{f' {name}' if name else ''}",
            mend="assign a clew.data.Contract, or a schema of dataframely or pandera, to a name in it",
        )
    if len(found) > 1:
        raise UsageError(
            f"{file} has several contracts: {', '.join(found)}", mend=f"name one: {file}:{next(iter(found))}"
        )
    ((key, value),) = found.items()
    if not isinstance(value, Contract):
        return _foreign.accepted(value, _foreign.Place(file, key), dataset, schema)
    value.refuse_problems()
    return value


def load(file: Path) -> ModuleType:
    """The module in a file, run anew; it may import modules beside it. Raises StepError when it raises."""
    spec = importlib.util.spec_from_file_location(f"clew_contract_{file.stem}", file.absolute())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with _beside(file, module), contextlib.redirect_stdout(sys.stderr):  # an answer stands alone on stdout
        try:
            spec.loader.exec_module(module)
        except ClewError:
            raise
        except Exception as error:
            raise StepError(
                f"{file} raised {type(error).__name__}: {error}", mend="correct the contract's code"
            ) from error
    return module


@contextmanager
def _beside(file: Path, module: ModuleType) -> Iterator[None]:
    folder = str(file.absolute().parent)
    sys.path.insert(0, folder)
    sys.modules[module.__name__] = module  # classes look their module up while they are made
    try:
        yield
    finally:
        sys.path.remove(folder)
        del sys.modules[module.__name__]


def object_in(file: Path, name: str) -> Any:
    """What a name stands for in a file."""
    return getattr(load(file), name, None)
