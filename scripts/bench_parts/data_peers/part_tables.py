"""New bytes on disk after each kind of change, of a full new dump: clew, deltalake, pylance, DVC."""

import shutil
from pathlib import Path
from typing import Final

from .bench import NAME, Bench, frayed, put, workspace
from .environments import Dvc, table_peer
from .measure import MB, copy_of, on_disk
from .rows import Row, progress
from .tables import CASES, COLUMN_CASES, ORDER_CASES, ROW_CASES, Edited, drifted, table, write

PART: Final = "tables"
_ALONE: Final = "what changed alone, zstd Parquet"


def measure(bench: Bench) -> list[Row]:
    """A row for clew with its limit in each case, and one for each peer beside it."""
    with bench.part(PART) as folder:
        base = table(bench.rows, 0)
        peers = _Peers(folder)
        progress(f"tables: the first version of {base.height:,} rows")
        first = folder / "base"
        put(first, base)
        plain = write(base, peers.dump)
        rows = [Row(PART, "first version", on_disk(first) / MB, "MB", "plain zstd Parquet", plain / MB)]
        rows += peers.rows("first version", on_disk(first))
        for name, change in CASES.items():
            progress(f"tables: {name}")
            edited = change(base)
            new, changed = _added(first, edited), _alone(folder, edited)
            rows.append(_judged(name, new, changed, edited.frame.height))
            write(edited.frame, peers.dump)
            rows += peers.rows(name, new)
        progress("tables: on a frayed predecessor")
        place, newest = frayed(first, base, bench.sized(8, 3))
        edited = ROW_CASES["all of these together"](newest)
        new = _added(place, edited)
        name = "all of these together, after scattered edits"
        rows.append(_judged(name, new, _alone(folder, edited), edited.frame.height))
        put(place, drifted(edited.frame, 1))
        before = on_disk(place)
        with workspace(place) as session:
            same = session.snapshot(f"{NAME}@latest").collect()
        put(place, same)
        rows.append(Row(PART, "nothing changed", (on_disk(place) - before) / MB, "MB", limit=0.1, limit_text="≤ 0.1"))
        return rows


def _added(before: Path, edited: Edited) -> int:
    """What a copy of the workspace has grown by."""
    place = copy_of(before, "case")
    size = on_disk(place)
    put(place, edited.frame)
    grown = on_disk(place) - size
    shutil.rmtree(place)
    return grown


def _alone(folder: Path, edited: Edited) -> int:
    path = folder / "changed.parquet"
    return write(edited.changed, path)


def _judged(name: str, new: int, changed: int, height: int) -> Row:
    if name in ORDER_CASES:
        limit = 10.0 * height
        return Row(PART, name, new / MB, "MB", limit=limit / MB, limit_text=f"≤ 10 bytes a row: {limit / MB:.3g}")
    if name in COLUMN_CASES:
        limit = 1.2 * changed
        return Row(PART, name, new / MB, "MB", _ALONE, changed / MB, limit / MB, f"≤ 1.2 × = {limit / MB:.3g}")
    limit = 1.2 * changed + 0.5 * MB
    return Row(PART, name, new / MB, "MB", _ALONE, changed / MB, limit / MB, f"≤ 1.2 × + 0.5 = {limit / MB:.3g}")


class _Peers:
    """The peers, each given the same full dumps one after the other."""

    def __init__(self, folder: Path) -> None:
        self._dvc = Dvc.create(folder / "dvc")
        self.dump = self._dvc.folder / "dump.parquet"
        self._places = {peer: folder / peer for peer in ("deltalake", "pylance")}
        self._sizes = dict.fromkeys(("deltalake", "pylance", "dvc"), 0)

    def rows(self, case: str, ours: int) -> list[Row]:
        """What the newest dump has taken of the disk in each peer."""
        found = []
        for peer, place in self._places.items():
            table_peer(peer, "overwrite", self.dump, place)
            found.append(self._row(case, f"{peer} overwrite", peer, place, ours))
        # DVC protects and links what it added: the next dump must not be written through the link.
        self._dvc.run("add", "--quiet", self.dump.name)
        found.append(self._row(case, "DVC add", "dvc", self._dvc.folder / ".dvc", ours))
        self.dump.unlink()
        return found

    def _row(self, case: str, words: str, peer: str, place: Path, ours: int) -> Row:
        size = on_disk(place)
        grown, self._sizes[peer] = size - self._sizes[peer], size
        return Row(PART, f"{case}: {words}", grown / MB, "MB", "clew", ours / MB)
