"""The command: options, the parts one after the other, the table and its files."""

import argparse
import datetime as dt
import importlib.metadata
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from scripts.bench_parts.data_peers.environments import versions
from scripts.bench_parts.data_peers.measure import fresh
from scripts.bench_parts.data_peers.page import machine, said_of_them
from scripts.bench_parts.data_peers.rows import Row, as_markdown, as_text, progress

from . import part_overhead, part_peers, part_stale, part_table
from .peers import PEERS

PARTS: Final[dict[str, Callable[[Path, int], list[Row]]]] = {
    "overhead": part_overhead.measure,
    "peers": part_peers.measure,
    "stale": part_stale.measure,
    "table": part_table.measure,
}
_ROUNDS: Final = 5
_QUICK_ROUNDS: Final = 1
_ROOM: Final = 14e9  # bytes: the table, as each way keeps it
_REST: Final = 1e9
_TITLE: Final = "What builds cost"


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 when a limit is missed, or a part couldn't be measured."""
    options = _options(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the folder is removed
    parts = list(dict.fromkeys(options.only or PARTS))
    rounds = _QUICK_ROUNDS if options.quick else _ROUNDS
    name = "pipelines.json" if not options.only else f"pipelines-{'-'.join(sorted(parts))}.json"
    out = Path("bench-results") / name
    parent = options.folder or out.parent
    parent.mkdir(parents=True, exist_ok=True)
    _require_room(parent, _ROOM if "table" in parts and not options.quick else _REST)
    about = _about(options)
    found: dict[str, list[Row]] = {}
    failed = []
    with tempfile.TemporaryDirectory(prefix="pipelines-bench-", dir=parent) as folder:
        for part in parts:
            place = fresh(Path(folder).resolve() / part)
            try:
                found[part] = PARTS[part](place, rounds)
            except Exception:  # noqa: BLE001  the other parts' figures are kept
                traceback.print_exc()
                failed.append(part)
            shutil.rmtree(place, ignore_errors=True)
    about |= {"load_after": round(os.getloadavg()[0], 2), "failed": failed}
    table = [row for rows in found.values() for row in rows]
    missed = sum(row.met is False for row in table)
    judged = sum(row.met is not None for row in table)
    print(as_text(table))
    print(f"\n{judged - missed} of {judged} limits met" + (f"; not measured: {', '.join(failed)}" if failed else ""))
    if options.quick:
        progress("--quick: the figures say little, and no result is written")
    else:
        out.write_text(json.dumps(about | {"rows": [row.as_json() for row in table]}, indent=2) + "\n")
    if options.markdown is not None:
        options.markdown.write_text(_markdown(about, table, options.quick) + said_of_them(options.markdown))
    return 1 if failed or missed else 0


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench pipelines",
        description="clew's builds against DVC, Hamilton, Kedro, Metaflow, joblib and redun.",
    )
    parser.add_argument("--only", choices=PARTS, action="append", help="one part; may be given again")
    parser.add_argument("--quick", action="store_true", help="one round and a small table; writes no result")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="the table as a page; what FILE says of misses stays"
    )
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: beside the result")
    return parser.parse_args(words)


def _require_room(folder: Path, need: float) -> None:
    free = shutil.disk_usage(folder).free
    if free < need:
        raise SystemExit(
            f"{folder} has {free / 1e9:.1f} GB free, and this needs {need / 1e9:.1f}: "
            "free some, or name another disk with --folder"
        )


def _about(options: argparse.Namespace) -> dict[str, Any]:
    command = ["scripts/bench", "pipelines", *(word for part in options.only or () for word in ("--only", part))]
    command += ["--quick"] if options.quick else []
    command += ["--markdown", str(options.markdown)] if options.markdown else []
    own = {name: importlib.metadata.version(name) for name in ("clew", "polars", "pyarrow")}
    return {
        "command": shlex.join(command),
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": own | versions(PEERS),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _markdown(about: dict[str, Any], table: Sequence[Row], quick: bool) -> str:
    here = about["machine"]
    lines = [
        f"# {_TITLE}",
        "",
        (
            f"`{about['command']}`, {about['date'][:10]}: {here['cpu']}, {here['cores']} cores, "
            f"{here['memory_gb']} GB, {here['system']}, Python {here['python']}. Each peer is in an environment of its "
            "own, and measured in the same run as clew, in a process that has done the like before. CPU of the driver "
            "is that of the process that runs the pipeline; the cores are shared, so look at ratios: "
            "below 1, clew took less."
        ),
        "",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in about["versions"].items()) + ".",
        "",
        *(["Tried with `--quick`: these figures are of no use.", ""] if quick else []),
        *([f"Not measured, because it failed: {', '.join(about['failed'])}.", ""] if about["failed"] else []),
        as_markdown(table),
    ]
    return "\n".join(lines) + "\n"
