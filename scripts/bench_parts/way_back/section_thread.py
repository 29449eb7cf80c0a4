"""The thread in both directions, on a workspace of so many runs and predictions, on SQLite and on PostgreSQL.

The workspace is made by `catalog_rows.py` (in bulk, through the real tables) and `journal_records.py` (through the
real journal, compacted), once; `--keep FOLDER` leaves it for the next time. Each question is asked of random ids,
inside the process, in a workspace that is open; the limit is 50 ms for the 99th percentile.
"""

import argparse
import os
import platform
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from way_back import catalog_rows, journal_records
from way_back.catalog_rows import DATASETS, MODELS, Sizes
from way_back.ids import ident

LIMIT_MS = 50.0
Found = dict[str, Any]


def options(parser: argparse.ArgumentParser) -> None:
    """What this section takes."""
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--predictions", type=int, default=10_000_000)
    parser.add_argument("--times", type=int, default=300, help="how many random ids each question is asked of")
    parser.add_argument("--keep", type=Path, help="a folder that holds the workspace, and keeps it")
    parser.add_argument("--catalogs", default="sqlite,postgresql")


def measure(given: argparse.Namespace) -> Found:
    """Make the workspace, if it isn't there, and ask."""
    folder = given.keep or Path(tempfile.mkdtemp(prefix="clew-bench-return-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        began = time.perf_counter()
        journal = folder / f"journal-{given.predictions}-{given.runs}"
        journal_records.write(journal, given.predictions, given.runs)
        seconds = time.perf_counter() - began
        found: Found = {
            "runs": given.runs,
            "predictions": given.predictions,
            "times": given.times,
            "journal": {
                "seconds": round(seconds, 1),
                "segments": len(list(journal.glob("*/*.json"))),
                "bytes": sum(path.stat().st_size for path in journal.rglob("*") if path.is_file()),
            },
            "machine": f"{platform.machine()}, {_cores()} cores, Python {platform.python_version()}",
            "catalogs": {},
        }
        for name in given.catalogs.split(","):
            with {"sqlite": _sqlite, "postgresql": _postgresql}[name](folder, given.runs) as root:
                found["catalogs"][name] = _ask(root, journal, given)
        figures = [one for questions in found["catalogs"].values() for one in questions["questions"]]
        found["missed"] = [one["question"] for one in figures if one["p99_ms"] > LIMIT_MS]
        return found
    finally:
        if given.keep is None:
            shutil.rmtree(folder)


def _cores() -> int:
    return int(subprocess.run(["nproc"], capture_output=True, text=True, check=True).stdout)


@contextmanager
def _sqlite(folder: Path, runs: int) -> Iterator[Path]:
    from clew.workspace import Workspace, init

    root = folder / f"sqlite-{runs}"
    if not (root / "filled").exists():
        init(root)
        with Workspace(root) as workspace:
            catalog_rows.fill(workspace, runs)
        (root / "filled").touch()
    yield root


@contextmanager
def _postgresql(folder: Path, runs: int) -> Iterator[Path]:
    from tests.servers.postgres import PostgresServer

    from clew.workspace import Workspace, init

    server = PostgresServer()
    root = Path(tempfile.mkdtemp(prefix="clew-bench-postgres-", dir=folder))
    try:
        server.start()
        url = server.database_url(server.create_database())
        init(root, catalog=url, objects=str(root / "objects"))
        with Workspace(root) as workspace:
            catalog_rows.fill(workspace, runs)
        yield root
    finally:
        server.close()
        shutil.rmtree(root)


def _ask(root: Path, journal: Path, given: argparse.Namespace) -> Found:
    from clew.pipelines.history import find_run
    from clew.thread import why
    from clew.thread.compared import compare_runs
    from clew.thread.used_by import model_used_by, snapshot_used_by
    from clew.workspace import open_folder

    size, times, draw = Sizes(given.runs), given.times, random.Random(5)
    late = int(given.predictions * 0.1)

    def run() -> str:
        return ident("run", draw.randrange(given.runs), given.runs)

    def prediction(number: int) -> str:
        return journal_records.prediction_id(number, given.predictions)

    def version() -> str:
        number = draw.randrange(size.versions)
        return f"model-{number % MODELS}@{number // MODELS + 1}"

    def snapshot() -> str:
        number = draw.randrange(size.snapshots)
        return f"set-{number % DATASETS}@{number // DATASETS + 1}"

    def learned() -> str:
        every = journal_records.OUTCOME_EVERY
        return prediction(draw.randrange(late // every + 1, given.predictions // every) * every - late)

    with open_folder(root) as workspace:
        workspace.journal = journal
        questions: list[tuple[str, Callable[..., Any], list[tuple[Any, ...]]]] = [
            ("clew why, any prediction", why, [(prediction(draw.randrange(given.predictions)),) for _ in range(times)]),
            ("clew why, one with an outcome", why, [(learned(),) for _ in range(times)]),
            ("clew runs compare", compare_runs, [(run(), run()) for _ in range(times)]),
            ("clew data used-by, any", snapshot_used_by, [(snapshot(),) for _ in range(times)]),
            ("clew data used-by, of a third of all runs", snapshot_used_by, [("set-0@1",)] * times),
            ("clew model used-by", model_used_by, [(version(),) for _ in range(times)]),
            ("a run by its id", find_run, [(run(),) for _ in range(times)]),
            ("a run by the beginning of its id", find_run, [(run()[:18],) for _ in range(times)]),
            ("a run by the end of its id", find_run, [(run()[-10:],) for _ in range(times)]),
        ]
        assert len(why(workspace, learned())["outcomes"]) == 1
        asked = [_timed(workspace, *question) for question in questions]
        return {"questions": asked, "load": round(os.getloadavg()[0], 1)}


def _timed(workspace: Any, question: str, ask: Callable[..., Any], of: list[tuple[Any, ...]]) -> Found:
    ask(workspace, *of[0])  # what is loaded once
    took, used = [], []
    for arguments in of:
        began, cpu = time.perf_counter(), time.process_time()
        ask(workspace, *arguments)
        used.append((time.process_time() - cpu) * 1000)
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    found = {
        "question": question,
        "median_ms": round(statistics.median(took), 2),
        "p99_ms": round(took[int(len(took) * 0.99)], 2),
        "worst_ms": round(took[-1], 2),
        "cpu_ms": round(statistics.median(used), 2),
        "cpu_p99_ms": round(sorted(used)[int(len(used) * 0.99)], 2),
    }
    verdict = "met" if found["p99_ms"] <= LIMIT_MS else "MISSED"
    figures = f"median {found['median_ms']:>7} ms, p99 {found['p99_ms']:>7} ms, {found['cpu_ms']:>6} ms of CPU"
    print(f"{question:<45} {figures}  {verdict}")
    return found


def markdown(found: Found) -> str:
    """This section of the page."""
    journal = found["journal"]
    sizes = " ".join(f"--{name} {found[name]}" for name in ("runs", "predictions", "times"))
    command = f"scripts/bench return thread {sizes}"
    size = f"{journal['segments']} compacted segments, {journal['bytes'] / 1e9:.2f} GB"
    lines = [
        "## The thread in both directions",
        "",
        f"`{command}`, asked inside the process; {found['machine']}, shared with other work.",
        f"The journal has {size}. The limit is {LIMIT_MS:g} ms for the 99th percentile.",
        "",
        "| question | "
        + " | ".join(
            f"{name}, load {one['load']}: median, p99 in ms (of CPU)" for name, one in found["catalogs"].items()
        )
        + " | limit |",
        "|---|" + "---|" * (len(found["catalogs"]) + 1),
    ]
    tables = [one["questions"] for one in found["catalogs"].values()]
    for rows in zip(*tables, strict=True):
        figures = " | ".join(
            f"{row['median_ms']}, {row['p99_ms']} ({row['cpu_ms']}, {row['cpu_p99_ms']})" for row in rows
        )
        verdict = "met" if all(row["p99_ms"] <= LIMIT_MS for row in rows) else "**missed**"
        lines.append(f"| {rows[0]['question']} | {figures} | {verdict} |")
    return "\n".join(lines)
