"""Schemas of dataframely and of pandera (its polars side) as contracts.

What a term says becomes that term; any other condition that is an expression of polars becomes a rule with it; what
is Python alone is run as it is, from its file, which must then be there unchanged. Nothing is left out: what can be
none of these is refused. clew never casts or drops, so `coerce` and filters are refused too.
"""

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import polars as pl

from clew.data._table_terms import Code
from clew.data.contract import Contract
from clew.errors import DataError, UsageError

Kind = Literal["dataframely", "pandera"]


@dataclass(frozen=True)
class Place:
    """Where a schema stands: its file, and its name there."""

    file: Path
    name: str

    def code(self, kind: Kind, name: str, check: str, column: str | None, severity: Any = "error") -> Code:
        """A rule that is run as it is."""
        sha256 = hashlib.sha256(self.file.read_bytes()).hexdigest()
        return Code(
            name=name, kind=kind, file=str(self.file), sha256=sha256, schema=self.name, check=check, column=column,
            severity=severity,
        )  # fmt: skip


def kind_of(value: Any) -> Kind | None:
    """Which library's schema it is, if any; a library that nobody imported has none."""
    dataframely, pandera = sys.modules.get("dataframely"), sys.modules.get("pandera.polars")
    if dataframely is not None and isinstance(value, type) and issubclass(value, dataframely.Schema):
        return "dataframely"
    if pandera is not None:
        if isinstance(value, type) and issubclass(value, pandera.DataFrameModel):
            return "pandera"
        if isinstance(value, pandera.DataFrameSchema):
            return "pandera"
    return None


def is_of(value: Any, module: ModuleType) -> bool:
    """Whether a schema is a module's own: classes that it only imports are not."""
    return not isinstance(value, type) or value.__module__ == module.__name__


def accepted(value: Any, place: Place, dataset: str, schema: pl.Schema | None) -> Contract:
    """The contract that a schema of theirs is. Raises UsageError for what it says and a contract can't."""
    kind = kind_of(value)
    try:
        if kind == "dataframely":
            from clew.data import _from_dataframely

            contract = _from_dataframely.accepted(value, place, dataset, schema)
        else:
            from clew.data import _from_pandera

            contract = _from_pandera.accepted(value, place, dataset, schema)
    except DataError as error:
        raise UsageError(f"{place.file}:{place.name}: {error.message}", mend=error.mend) from error
    contract.refuse_problems()
    return contract


def refused(place: Place, what: str, mend: str) -> UsageError:
    """That a schema says what no contract can."""
    return UsageError(f"{place.file}:{place.name}: {what} can't be kept by a contract", mend=mend)
