"""What adding costs: processors' seconds of a full dump against one plain write of it, and an unchanged file."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from clew.data import add

from .bench import CLEW, NAME, Bench, frayed, peer_cost, put, seconds, workspace
from .environments import Dvc
from .measure import Cost, copy_of, cost, in_turns, process, timed
from .rows import Row, progress, times
from .tables import CASES, ROW_CASES, drifted, table, write

PART: Final = "add"
_PLAIN: Final = "write_table, default"
_ZSTD: Final = "write_table, zstd"


def measure(bench: Bench) -> list[Row]:
    """Rows in seconds of the processors, of all threads, with the source in memory; then the unchanged file."""
    with bench.part(PART) as folder:
        base = table(bench.rows, 0)
        first = folder / "base"
        put(first, base)
        rows = _first_add(bench, folder, base)
        for name, change in CASES.items():
            rows += _case(bench, name, first, change(base).frame, 2)
        rows += _case(bench, "nothing changed", first, base, 0.5)
        place, newest = frayed(first, base, bench.sized(8, 3))
        rows += _case(bench, "frayed: a scattered 1% edited", place, drifted(newest, 999), 3)
        for name in ("1% appended", "all of these together"):
            rows += _case(bench, f"frayed: {name}", place, ROW_CASES[name](newest).frame, 3)
        rows += _case(bench, "frayed: nothing changed", place, newest, 0.5)
        return rows + _unchanged_file(bench, folder, base)


def _writers(folder: Path, frame: pl.DataFrame) -> dict[str, Callable[[], Cost]]:
    arrow: pa.Table = frame.to_arrow()
    path = folder / "plain.parquet"
    return {
        _PLAIN: cost(lambda: pq.write_table(arrow, path)),
        _ZSTD: cost(lambda: pq.write_table(arrow, path, compression="zstd")),
    }


def _first_add(bench: Bench, folder: Path, base: pl.DataFrame) -> list[Row]:
    """A dataset's first version; here the peers write the same table too."""
    progress("add: the first version")
    source = folder / "source.parquet"
    write(base, source)
    numbers = iter(range(1000))

    def first() -> Cost:
        # a dataset of its own in a workspace of its own: nothing of it is stored yet
        with workspace(folder / f"first-{next(numbers)}") as session:
            return timed(lambda: add(session, NAME, base))[0]

    acts = {"clew": first, **_writers(folder, base)}
    for peer in ("deltalake", "pylance"):
        acts[peer] = lambda peer=peer: peer_cost(peer, "overwrite", source, folder / peer)  # type: ignore[misc]
    found = in_turns(acts, bench.long_rounds)
    peers = [
        _against(f"first version, {peer}", found[peer], "clew", found["clew"]) for peer in ("deltalake", "pylance")
    ]
    return [_against("first version", found["clew"], _PLAIN, found[_PLAIN]), *peers]


def _case(bench: Bench, name: str, before: Path, frame: pl.DataFrame, factor: float) -> list[Row]:
    progress(f"add: {name}")

    def one() -> Cost:
        # Each time on a copy: the second add of the same rows would find nothing to do.
        with workspace(copy_of(before, "turn")) as session:
            return timed(lambda: add(session, NAME, frame))[0]

    found = in_turns({"clew": one, **_writers(before.parent, frame)}, bench.long_rounds)
    ours, plain, zstd = found["clew"], found[_PLAIN], found[_ZSTD]
    return [
        times(PART, name, ours.cpu, "CPU s", _PLAIN, plain.cpu, factor, seconds(ours, plain)),
        _against(name, ours, _ZSTD, zstd),
    ]


def _against(name: str, ours: Cost, other: str, theirs: Cost) -> Row:
    return Row(PART, name, ours.cpu, "CPU s", other, theirs.cpu, note=seconds(ours, theirs))


def _unchanged_file(bench: Bench, folder: Path, base: pl.DataFrame) -> list[Row]:
    """A file that is what the newest version was made of, added again."""
    progress("add: an unchanged file")
    dvc = Dvc.create(folder / "dvc")
    path, place = folder / "unchanged.parquet", folder / "file"
    write(base, path)
    own = dvc.folder / path.name
    shutil.copy(path, own)  # DVC touches what it adds
    time.sleep(3.2)  # a file that was written just now is read again to be sure
    put(place, path)
    dvc.run("add", "--quiet", own.name)
    with workspace(place) as session:
        one = cost(lambda: add(session, NAME, path))
        inside = in_turns({"clew": one}, 15)["clew"]
        if add(session, NAME, path).changed:
            raise RuntimeError("an unchanged file was taken for a change")
    acts = {
        "clew": lambda: process([CLEW, "data", "add", NAME, path], folder, {"CLEW_WORKSPACE": os.fspath(place)}),
        "dvc": lambda: process(dvc.command("add", "--quiet", own.name), dvc.folder, dvc.settings),
    }
    found = in_turns(acts, bench.long_rounds)
    name = "unchanged file"
    return [
        Row(PART, f"{name}, in process", inside.wall * 1e3, "ms", limit=10, limit_text="≤ 10"),
        Row(PART, f"{name}, whole process", found["clew"].wall, "s", "dvc add", found["dvc"].wall),
    ]
