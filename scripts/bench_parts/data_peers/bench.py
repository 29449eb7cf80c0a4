"""What every part is given: how large, where, and the workspaces that it makes there."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

import clew
from clew.data import Added, add
from clew.session import Session

from .environments import table_peer
from .measure import Cost, copy_of
from .tables import drifted

CLEW: Final = str(Path(sys.executable).parent / "clew")
NAME: Final = "lots"


@dataclass(frozen=True)
class Bench:
    """Sizes, and a folder that is removed at the end."""

    folder: Path
    rows: int
    quick: bool

    @property
    def rounds(self) -> int:
        """How often what is short is measured."""
        return 2 if self.quick else 5

    @property
    def long_rounds(self) -> int:
        """How often what takes seconds is measured."""
        return 2 if self.quick else 3

    def sized(self, full: int, quick: int) -> int:
        """A size of the full benchmark, or of the one that only tries it."""
        return quick if self.quick else full

    @contextmanager
    def part(self, name: str) -> Iterator[Path]:
        """A folder for one part, removed when the part is done."""
        folder = self.folder / name
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def workspace(folder: Path) -> Session:
    """The workspace in a folder, made when there is none."""
    return clew.open_workspace(folder, create=not (folder / ".clew").exists())


def put(folder: Path, source: Any, name: str = NAME, **options: Any) -> Added:
    """Add to the workspace in a folder and close it again: what it takes on the disk is then all there."""
    with workspace(folder) as session:
        return add(session, name, source, **options)


def frayed(folder: Path, base: pl.DataFrame, edits: int) -> tuple[Path, pl.DataFrame]:
    """A copy of the workspace with the base table, after so many edits of a scattered 1%; and the newest table."""
    target, frame = copy_of(folder, "frayed"), base
    for edit in range(edits):
        frame = drifted(frame, 100 + edit, f"f{edit % 5}")
        put(target, frame)
    return target, frame


def peer_cost(peer: str, what: str, source: Path, target: Path) -> Cost:
    """What an act of deltalake or pylance costs, its process's start left out."""
    found = table_peer(peer, what, source, target)
    return Cost(found["wall"], found["cpu"])


def seconds(cost: Cost, against: Cost) -> str:
    """The seconds on the clock, for a row that is about those of the processors."""
    return f"wall {cost.wall:.3g} s against {against.wall:.3g} s"


def processors(cost: Cost, against: Cost) -> str:
    """The seconds of the processors, for a row that is about those on the clock."""
    return f"CPU {cost.cpu:.3g} s against {against.cpu:.3g} s"
