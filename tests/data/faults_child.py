"""Adds, compacts and collects without end, and says what was acknowledged; killed by itself or by its parent.

    python faults_child.py ROOT SEED KILL_AT

With KILL_AT above 0 it kills itself (SIGKILL) just before it touches the disk for the KILL_AT-th time.
"""

import os
import random
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from clew.data import _compact, add, find
from clew.data._gc import collect
from clew.workspace import open_folder

_TOUCHING = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.chmod", "os.utime", "os.truncate"}


def rows(version: int) -> pl.DataFrame:
    """The table of a version: a tenth of it is other than in the version before."""
    numbers = pl.int_range(0, 600, eager=True)
    return pl.DataFrame(
        {"n": numbers, "x": pl.select(pl.when(numbers % 10 == version % 10).then(version).otherwise(0)).to_series()}
    )


def kill_before(touches: int) -> None:
    """Count what touches the disk, and die before one of them."""
    seen = 0

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal seen
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes or event in _TOUCHING:
            seen += 1
            if seen == touches:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main() -> None:
    root, seed, kill_at = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(seed)
    with open_folder(root) as workspace:
        print("READY", flush=True)
        if kill_at:
            kill_before(kill_at)
        for turn in range(1_000):
            version = seed * 1_000 + turn
            added = add(workspace, "t", rows(version)).snapshot
            print("ACK", added.reference, added.content_id, flush=True)
            folder = root / f"in-{seed}"
            folder.mkdir(exist_ok=True)
            (folder / f"{turn % 5}").write_text(f"{seed} {turn}" * 20)
            both = add(workspace, "photos", rows(version), files_in=folder).snapshot
            print("ACK", both.reference, both.content_id, flush=True)
            if chance.random() < 0.5:
                _compact.compact(workspace, find(workspace, "t@latest"), force=True)
            if chance.random() < 0.5:
                collect(workspace, grace=timedelta(0))


main()
