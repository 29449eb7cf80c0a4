"""A table of a gigabyte through three steps, each way in a process of its own: time, and the peak of memory."""

import json
import math
import sys
from pathlib import Path
from typing import Any, Final

from scripts.bench_parts.data_peers.measure import MB, fresh, process
from scripts.bench_parts.data_peers.rows import Row, progress

from .peers import PROGRAMS, program

PART: Final = "a gigabyte"
_ROWS: Final = 11_000_000
_FEW: Final = 200_000
_WORDS: Final = {"inline": "in one process", "processes": "in a pool"}


def measure(folder: Path, rounds: int) -> list[Row]:
    """Against plain calls of the same functions, against plain calls with pickle between, and against joblib."""
    rows = _ROWS if rounds > 2 else _FEW
    plain, pickled = (_run(how, fresh(folder / how), rows) for how in ("plain", "pickle"))
    places = {how: fresh(folder / how) for how in _WORDS}
    first = {how: _run(how, place, rows) for how, place in places.items()}
    cached = {how: _run(how, place, rows) for how, place in places.items()}
    where = {how: _run(f"where-{how}", place, rows)["found"] for how, place in places.items()}
    parts = _run("parts", places["inline"], rows)
    sums = [plain["found"]["sum"], pickled["found"]["sum"], *(one["found"] for one in first.values())]
    if any(
        not math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-3) for one in sums for a, b in zip(one, sums[0], strict=True)
    ):
        raise RuntimeError("the ways gave different sums")
    progress(f"{PART}: joblib")
    theirs = program("joblib", "table", str(fresh(folder / "joblib")), str(rows))
    gigabytes = plain["found"]["bytes"] / 1e9
    spent = (
        f"two tables of {gigabytes:.2f} GB: each takes {parts['hash']:.1f} s CPU to hash by content and "
        f"{parts['write']:.1f} s wall to write durably"
    )
    own, again = first["inline"], cached["inline"]
    return [
        *(_timed(f"first run, {_WORDS[how]}", one, "plain calls", plain, spent) for how, one in first.items()),
        _timed("first run, in one process", own, "pickle between", pickled, "the files of pickle aren't synced"),
        _timed("first run, in one process", own, "joblib", theirs["first"], ""),
        _timed("all cached, in one process", again, "plain calls", plain, "what is used is hashed again before"),
        _timed("all cached, in one process", again, "joblib", theirs["cached"], "joblib reads both tables back"),
        *(_peak(how, one, plain, pickled) for how, one in first.items()),
        *(_copied(how, *counts) for how, counts in where.items()),
    ]


def _run(how: str, folder: Path, rows: int) -> dict[str, Any]:
    progress(f"{PART}: {how}")
    out = folder / "out.json"
    cost = process([sys.executable, PROGRAMS / "table_program.py", how, folder, str(rows), out], folder, {})
    found: dict[str, Any] = json.loads(out.read_text())
    return found | {"peak": cost.peak, "all": cost.cpu}


def _timed(words: str, own: dict[str, Any], against: str, theirs: dict[str, Any], note: str) -> Row:
    said = f"CPU of the driver {own['cpu']:.1f} s against {theirs['cpu']:.1f} s"
    text = "; ".join(one for one in (said, note) if one)
    return Row(PART, words, own["wall"], "s wall", against, theirs["wall"], note=text)


def _peak(how: str, own: dict[str, Any], plain: dict[str, Any], pickled: dict[str, Any]) -> Row:
    note = f"with pickle between {pickled['peak'] / MB:,.0f} MB"
    note += "; the largest of the processes" if how == "processes" else "; mapped pages of the store's files included"
    words = f"peak of memory, first run, {_WORDS[how]}"
    return Row(PART, words, own["peak"] / MB, "MB", "plain calls", plain["peak"] / MB, note=note)


def _copied(how: str, mapped: int, copied: int) -> Row:
    note = f"by the addresses of its buffers; {mapped / 1e9:.2f} GB lie in the store's file, mapped"
    words = f"bytes of a table that are copied for the step that takes it, {_WORDS[how]}"
    return Row(PART, words, copied, "", limit=0, limit_text="none", note=note)
