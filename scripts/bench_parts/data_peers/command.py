"""The command: options, room on the disk, the parts one after the other, the table and its files."""

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

from . import part_add, part_diff, part_files, part_memory, part_read, part_tables, part_versions
from .bench import Bench
from .environments import versions
from .page import machine, said_of_them
from .rows import Row, as_markdown, as_text, progress

PARTS: Final[dict[str, Callable[[Bench], list[Row]]]] = {
    "tables": part_tables.measure,
    "add": part_add.measure,
    "read": part_read.measure,
    "versions": part_versions.measure,
    "diff": part_diff.measure,
    "memory": part_memory.measure,
    "files": part_files.measure,
}
# bytes a row of the largest tables that lie on the disk at once; the files and what is small are in the rest
_ROOM: Final = {"tables": 5_000, "add": 2_500, "read": 800, "versions": 2_500, "diff": 3_500}
_MEMORY_ROOM: Final = 18e9
_REST: Final = 2e9
_USUAL_ROWS: Final = 2_000_000
_QUICK_ROWS: Final = 20_000
_TITLE: Final = "What recording data costs"


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 when a part couldn't be measured."""
    options = _options(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the folder is removed
    parts = options.only or list(PARTS)
    rows = options.rows or (_QUICK_ROWS if options.quick else _USUAL_ROWS)
    out = Path("bench-results") / ("data.json" if not options.only else f"data-{'-'.join(sorted(set(parts)))}.json")
    parent = options.folder or out.parent
    parent.mkdir(parents=True, exist_ok=True)
    _require_room(parent, parts, rows, options.quick)
    about = _about(options, rows)
    if options.quick:
        progress("--quick: small sizes, to try the benchmark; the figures say nothing and no result is written")
    found: dict[str, list[Row]] = {}
    failed = []
    with tempfile.TemporaryDirectory(prefix="data-bench-", dir=parent) as folder:
        bench = Bench(Path(folder).resolve(), rows, options.quick)
        for part in dict.fromkeys(parts):
            try:
                found[part] = PARTS[part](bench)
            except Exception:  # noqa: BLE001  hours of other parts are not thrown away for one
                traceback.print_exc()
                failed.append(part)
    about |= {"load_after": round(os.getloadavg()[0], 2), "failed": failed}
    table = [row for part in found.values() for row in part]
    missed = sum(row.met is False for row in table)
    judged = sum(row.met is not None for row in table)
    print(as_text(table))
    print(f"\n{judged - missed} of {judged} limits met" + (f"; not measured: {', '.join(failed)}" if failed else ""))
    if options.quick:
        print("tried with --quick: these figures are of no use")
    else:
        out.parent.mkdir(exist_ok=True)
        out.write_text(json.dumps(about | {"rows": [row.as_json() for row in table]}, indent=2) + "\n")
    if options.markdown is not None:
        options.markdown.write_text(_markdown(about, table, options.quick) + said_of_them(options.markdown))
    return 1 if failed else 0


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench data", description="clew's data room against DVC, deltalake, pylance and plain Parquet."
    )
    parser.add_argument("--only", choices=PARTS, action="append", help="one part; may be given again")
    parser.add_argument("--rows", type=_count, help=f"of the table; default {_USUAL_ROWS:,}")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the benchmark; writes no result")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="the table as a page; what FILE says of misses stays"
    )
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: beside the result")
    return parser.parse_args(words)


def _count(text: str) -> int:
    rows = int(text.replace("_", "").replace(",", ""))
    if rows < 10_000:
        raise argparse.ArgumentTypeError("at least 10,000: 1% of fewer rows is too little to change")
    return rows


def _require_room(folder: Path, parts: Sequence[str], rows: int, quick: bool) -> None:
    need = max(_ROOM.get(part, 0) * rows for part in parts) + _REST
    if "memory" in parts and not quick:
        need = max(need, _MEMORY_ROOM)
    free = shutil.disk_usage(folder).free
    if free < need:
        raise SystemExit(
            f"{folder} has {free / 1e9:.1f} GB free, and this needs {need / 1e9:.1f}: "
            "free some, or name another disk with --folder"
        )


def _about(options: argparse.Namespace, rows: int) -> dict[str, Any]:
    command = ["scripts/bench", "data", *(word for part in options.only or () for word in ("--only", part))]
    command += ["--rows", str(options.rows)] if options.rows else []
    command += ["--quick"] if options.quick else []
    own = {name: importlib.metadata.version(name) for name in ("clew", "polars", "pyarrow")}
    return {
        "command": shlex.join(command),
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "rows_of_the_table": rows,
        "machine": machine(),
        "versions": own | versions(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _markdown(about: dict[str, Any], table: Sequence[Row], quick: bool) -> str:
    here = about["machine"]
    lines = [
        f"# {_TITLE}",
        "",
        (
            f"`{about['command']}`, {about['date'][:10]}: {here['cpu']}, {here['cores']} cores, "
            f"{here['memory_gb']} GB, {here['system']}, Python {here['python']}; "
            f"{about['rows_of_the_table']:,} rows × 20 columns. Each peer is in an environment of its own, and "
            "measured in the same run as clew. CPU is user and system time; the cores are shared, so look at ratios."
        ),
        "",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in about["versions"].items()) + ".",
        "",
        *(["Tried with `--quick`: these figures are of no use.", ""] if quick else []),
        *([f"Not measured, because it failed: {', '.join(about['failed'])}.", ""] if about["failed"] else []),
        as_markdown(table),
    ]
    return "\n".join(lines) + "\n"
