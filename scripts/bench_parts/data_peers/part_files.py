"""Many small files: add, add again, checkout, as whole processes, by clew and by DVC in turns.

Nothing is deleted until the end: ext4 keeps the inodes of deleted files back for minutes, and searches past each of
them to make the next file, so that whoever came second would pay for it.
"""

import filecmp
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from clew.data import add

from .bench import CLEW, Bench, processors, put, workspace
from .environments import Dvc
from .measure import MB, Cost, cost, in_turns, median, on_disk, process
from .rows import Row, holds, progress, times

PART: Final = "files"
_BYTES: Final = 10_000
_NAME: Final = "pictures"
_SETTLED: Final = 3.2  # seconds after which a file's time of change can be trusted


def measure(bench: Bench) -> list[Row]:
    """Seconds with their limits, then new bytes of what happens to a folder."""
    with bench.part(PART) as folder:
        count = bench.sized(20_000, 400)
        progress(f"files: making {count:,}")
        original = folder / "original"
        _make(original, count)
        ours: dict[str, list[Cost]] = {}
        theirs: dict[str, list[Cost]] = {}
        for turn in range(bench.long_rounds):
            progress(f"files: round {turn + 1} of {bench.long_rounds}")
            place = folder / str(turn)
            place.mkdir()
            for who in (_clew, _dvc) if turn % 2 == 0 else (_dvc, _clew):
                found = ours if who is _clew else theirs
                for name, taken in who(place, original).items():
                    found.setdefault(name, []).append(taken)
        rows = []
        for name, factor in (("add", 1 / 6), ("add again, unchanged", 1 / 8), ("checkout", 1 / 8)):
            mine, other = median(ours[name]), median(theirs[name])
            rows.append(times(PART, name, mine.wall, "s", "DVC", other.wall, factor, processors(mine, other)))
        rows += _inside(bench, place, median(theirs["add again, unchanged"]))
        wrong = _differing(original, place / "clew" / "out")
        rows.append(holds(PART, "files that came back other than they were", count - wrong, count))
        return rows + _bytes(place, count)


def _make(folder: Path, count: int) -> None:
    draw = np.random.default_rng(77)
    for number in range(count):
        path = folder / f"{number // 1000:03}" / f"{number:06}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw.bytes(_BYTES))


def _clew(folder: Path, original: Path) -> dict[str, Cost]:
    place = folder / "clew"
    place.mkdir()
    source = place / "files"
    shutil.copytree(original, source)
    workspace(place).close()
    time.sleep(_SETTLED)
    settings = {"CLEW_WORKSPACE": os.fspath(place)}
    command = [CLEW, "data", "add", _NAME, os.fspath(source)]
    return {
        "add": process(command, place, settings),
        "add again, unchanged": process(command, place, settings),
        "checkout": process([CLEW, "data", "checkout", f"{_NAME}@1", os.fspath(place / "out")], place, settings),
    }


def _dvc(folder: Path, original: Path) -> dict[str, Cost]:
    dvc = Dvc.create(folder / "dvc")
    source = dvc.folder / "files"
    shutil.copytree(original, source)
    time.sleep(_SETTLED)
    adding = dvc.command("add", "--quiet", "files")
    found = {
        "add": process(adding, dvc.folder, dvc.settings),
        "add again, unchanged": process(adding, dvc.folder, dvc.settings),
    }
    source.rename(folder / "moved-away")
    found["checkout"] = process(dvc.command("checkout", "--quiet", "files.dvc"), dvc.folder, dvc.settings)
    return found


def _inside(bench: Bench, folder: Path, theirs: Cost) -> list[Row]:
    """Adding the unchanged folder again in a process that is there already, as a pipeline would."""
    place = folder / "clew"
    with workspace(place) as session:
        found = in_turns({"clew": cost(lambda: add(session, _NAME, place / "files"))}, bench.rounds)["clew"]
        if add(session, _NAME, place / "files").changed:
            raise RuntimeError("an unchanged folder was taken for a change")
    name = "add again, unchanged, in process"
    return [times(PART, name, found.wall, "s", "DVC, whole process", theirs.wall, 1 / 20, processors(found, theirs))]


def _differing(original: Path, other: Path) -> int:
    """How many files aren't there, or are other."""
    names = [os.fspath(path.relative_to(original)) for path in original.rglob("*.bin")]
    _, differing, failed = filecmp.cmpfiles(original, other, names, shallow=False)
    return len(differing) + len(failed)


def _bytes(folder: Path, count: int) -> list[Row]:
    """New bytes of clew and of DVC after the folder was rewritten, renamed in part, changed in part."""
    clew_files, dvc = folder / "clew" / "files", Dvc(folder / "dvc")
    share = count // 100
    rows = []
    for name, act, changed in (
        ("rewritten with the same content", _rewrite, 0),
        ("1% renamed", _rename, 0),
        ("1% changed", _change, share * _BYTES),
    ):
        progress(f"files: {name}")
        for files in (clew_files, dvc.folder / "files"):
            act(files, share)
        time.sleep(_SETTLED)
        with _growth(folder / "clew" / ".clew") as ours:
            put(folder / "clew", clew_files, _NAME)
        with _growth(dvc.folder / ".dvc") as theirs:
            dvc.run("add", "--quiet", "files")
        against = "the changed files" if changed else ""
        rows.append(Row(PART, name, ours[0] / MB, "MB", against, changed / MB if changed else None))
        rows.append(Row(PART, f"{name}: DVC", theirs[0] / MB, "MB", "clew", ours[0] / MB))
    return rows


@contextmanager
def _growth(folder: Path) -> Iterator[list[int]]:
    before, grown = on_disk(folder), [0]
    yield grown
    grown[0] = on_disk(folder) - before


def _written(path: Path, body: bytes) -> None:
    # A new file in the old one's place: DVC's checkout may have linked it to its cache.
    path.unlink()
    path.write_bytes(body)


def _rewrite(folder: Path, share: int) -> None:
    del share
    for path in folder.rglob("*.bin"):
        _written(path, path.read_bytes())


def _some(folder: Path, share: int) -> list[Path]:
    return sorted(folder.rglob("*.bin"))[::100][:share]


def _rename(folder: Path, share: int) -> None:
    for path in _some(folder, share):
        path.rename(path.with_name(f"renamed-{path.name}"))


def _change(folder: Path, share: int) -> None:
    draw = np.random.default_rng(78)
    for path in _some(folder, share):
        _written(path, draw.bytes(_BYTES))
