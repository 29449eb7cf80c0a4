"""Erasing a person from many versions of a large table: what is read to find the rows, and what it takes in all.

A table of `--rows` × 20 (a person has about five rows) gets `--versions` full deliveries; each edits a scattered 1%,
deletes a little and appends as much. Then one person is planned for erasure, erased, and every version verified. The
comparison is what deltalake, lakeFS or DVC would do: read and write each version again; of that the reading alone, of
one plain Parquet copy of the newest version, is measured here, times the number of versions.
"""

import argparse
import os
import platform
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

Found = dict[str, Any]
_PERSON: Final = "P0000042"


def options(parser: argparse.ArgumentParser) -> None:
    """What this section takes."""
    parser.add_argument("--erasure-rows", type=int, default=2_000_000)
    parser.add_argument("--versions", type=int, default=100)


def measure(given: argparse.Namespace) -> Found:
    """Make the versions, erase a person, verify."""
    folder = Path(tempfile.mkdtemp(prefix="clew-bench-erasure-"))
    os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
    from clew.data import add, find, verify
    from clew.thread.erasure import erase, plan_erasure
    from clew.workspace import init, open_folder

    try:
        init(folder / "workspace")
        with open_folder(folder / "workspace") as workspace:
            chance = np.random.default_rng(6)
            table = _table(given.erasure_rows)
            began = time.perf_counter()
            for version in range(given.versions):
                if version:
                    table = _edited(table, chance, version)
                add(workspace, "people", table, subject="person")
            added = time.perf_counter() - began
            size = _bytes(folder / "workspace")
            plan, planning = _timed(lambda: plan_erasure(workspace, "people", _PERSON))
            copy = folder / "copy.parquet"
            table.write_parquet(copy)
            _, reading = _timed(lambda: pl.read_parquet(copy))
            stages: dict[str, float] = {}
            receipt, erasing = _timed(lambda: erase(workspace, "people", _PERSON, report=_told(stages)))
            faults = [
                one.fault
                for version in (1, given.versions // 2, given.versions)
                for one in verify([find(workspace, f"people@{version}")])
            ]
            newest = find(workspace, f"people@{given.versions}").collect()
            same = newest.equals(table.filter(pl.col("person") != _PERSON))
        found: Found = {
            "rows": given.erasure_rows,
            "versions": given.versions,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "load": round(os.getloadavg()[0], 1),
            "adding_s": round(added, 1),
            "workspace_mb": round(size / 1e6),
            "fragments": plan["fragments"]["read"],
            "looked_mb": round(plan["fragments"]["bytes_read"] / 1e6, 1),
            "find": planning,
            "erase": erasing,
            "stages_s": {name: round(seconds, 1) for name, seconds in stages.items()},
            "rewritten_fragments": plan["fragments"]["rewritten"],
            "snapshots": len(receipt["snapshots"]),
            "read_all_cpu": round(reading["cpu"] * given.versions, 1),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000),
            "faults": [one for one in faults if one],
            "newest_as_it_was": same,
            "missed": [] if same and not any(faults) and plan["fragments"]["bytes_read"] < size / 4 else ["erasure"],
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name in ("find", "erase"):
        print(f"{name:<8} {found[name]['wall']:>7} s, {found[name]['cpu']:>7} s of CPU")
    print(f"one column of {found['fragments']} fragments: {found['looked_mb']} MB of {found['workspace_mb']} MB")
    return found


def _table(rows: int) -> pl.DataFrame:
    number = pl.int_range(0, rows, eager=True)
    person = pl.select(pl.format("P{}", (number % max(1, rows // 5)).cast(pl.String).str.zfill(7))).to_series()
    chance = np.random.default_rng(5)
    columns: dict[str, Any] = {"person": person, "row": number}
    columns |= {f"f{n}": chance.normal(size=rows).round(3) for n in range(9)}
    columns |= {f"i{n}": chance.integers(0, 1000, rows) for n in range(6)}
    columns |= {f"t{n}": pl.Series([f"word {at}" for at in range(50)])[chance.integers(0, 50, rows)] for n in range(3)}
    return pl.DataFrame(columns)


def _edited(table: pl.DataFrame, chance: np.random.Generator, version: int) -> pl.DataFrame:
    """A delivery later: a scattered 1% of one column is other, a little is gone, and as much came."""
    few = table.height // 1000
    kept = np.ones(table.height, dtype=bool)
    kept[chance.choice(table.height, few, replace=False)] = False
    kept |= (table["person"] == _PERSON).to_numpy()
    changed = pl.Series(chance.random(table.height) < 0.01)
    edited = table.with_columns(i0=pl.when(changed).then(pl.lit(version)).otherwise("i0"))
    fresh = table.head(few).with_columns(
        row=pl.col("row") + version * 10_000_000, person=pl.format("N{}", pl.col("row"))
    )
    return pl.concat([edited.filter(pl.Series(kept)), fresh])


def _timed(call: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    wall, cpu = time.perf_counter(), time.process_time()
    answer = call()
    return answer, {"wall": round(time.perf_counter() - wall, 2), "cpu": round(time.process_time() - cpu, 2)}


def _told(stages: dict[str, float]) -> Callable[[str, int, int | None], None]:
    last = [time.perf_counter()]

    def report(stage: str, done: int, total: int | None) -> None:
        del done, total
        now = time.perf_counter()
        stages[stage] = stages.get(stage, 0.0) + now - last[0]
        last[0] = now

    return report


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / ".clew" / "objects").rglob("*") if path.is_file())


def markdown(found: Found) -> str:
    """This section of the page."""
    command = f"scripts/bench contracts erasure --erasure-rows {found['rows']} --versions {found['versions']}"
    find, erase = found["find"], found["erase"]
    stages = ", ".join(f"{name} {seconds} s" for name, seconds in found["stages_s"].items())
    rows = found["rows"]
    head = (
        f"`{command}`; {found['machine']}, load {found['load']}. {found['versions']} full deliveries of a table of "
        f"{rows:,} rows × 20 columns, each with a scattered 1% edited; {found['workspace_mb']:,} MB in all, added "
        f"in {found['adding_s']:,} s. One person, with a few rows in each version, is taken out of all of them."
    )
    looked = f"one column of {found['fragments']} fragments: {found['looked_mb']} MB of {found['workspace_mb']:,}"
    taken = f"{found['rewritten_fragments']} fragments written anew; {stages}"
    tail = (
        f"Peak memory {found['peak_mb']:,} MB. {found['snapshots']} versions lost the rows; the newest reads as it was "
        "but for them, and three of them verify. The price is that of hashing each version again, since a version's "
        "id is a hash of what it says."
    )
    return "\n".join(
        [
            "## Erasing a person from history",
            "",
            head,
            "",
            "| | wall, s | CPU, s | |",
            "|---|---|---|---|",
            f"| find the rows (`--dry-run`) | {find['wall']} | {find['cpu']} | {looked} |",
            f"| reading {found['versions']} plain copies | | {found['read_all_cpu']} | finding without ropes |",
            f"| erase, and prove each version | {erase['wall']} | {erase['cpu']} | {taken} |",
            "",
            tail,
        ]
    )
