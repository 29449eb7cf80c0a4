"""Fifty rules over one table: clew against pandera, dataframely, Great Expectations, and one plain scan; and the peak.

Each runs in a process of its own, the peers in environments of the benchmark's own; each is asked the same rules of
the same Parquet files and reads them itself, once to warm up and three times measured (the median by CPU). A limit of
3 plain scans is for clew alone, in CPU and on the clock, on a table where all is well: the plain scan is polars'
streaming one over the same columns. `dirty` has five kinds of failures in a hundredth of the rows.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from data_peers.environments import installed

from safe_data import speed_rules

Found = dict[str, Any]
PEERS: Final[dict[str, tuple[str, ...]]] = {
    "pandera": ("pandera[polars]==0.35.0", "polars==2.1.0"),
    "dataframely": ("dataframely==3.1.2", "polars==2.1.0"),
    "great-expectations": ("great-expectations==1.24.1", "pyarrow==26.0.1"),
}
_LIMIT: Final = 3.0
_PEAK_LIMIT: Final = 1.5e9
_PROGRAM: Final = Path(__file__).with_name("speed_program.py")


def options(parser: argparse.ArgumentParser) -> None:
    """What this section takes."""
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--large-rows", type=int, default=24_000_000, help="of the table whose peak is measured")


def measure(given: argparse.Namespace) -> Found:
    """Write the tables, and ask everyone."""
    folder = Path(tempfile.mkdtemp(prefix="clew-bench-contracts-"))
    try:
        rules = folder / "rules.json"
        rules.write_text(json.dumps(speed_rules.rules()))
        found: Found = {
            "rows": given.rows,
            "rules": len(speed_rules.rules()),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "load": round(os.getloadavg()[0], 1),
            "asked": [],
            "missed": [],
        }
        clean, dirty = (speed_rules.write(folder, given.rows, dirty=one) for one in (False, True))
        plain = {peer: _run(peer, clean, rules, "plain") for peer in ("clew", *PEERS)}
        for peer in ("clew", *PEERS):
            for kind, table in (("clean", clean), ("dirty", dirty)):
                taken = _run(peer, table, rules, "check")
                figure = {
                    "who": peer, "table": kind, "cpu": round(taken["cpu"], 2), "wall": round(taken["wall"], 2),
                    "scans_cpu": round(taken["cpu"] / plain["clew"]["cpu"], 2),
                    "scans_wall": round(taken["wall"] / plain["clew"]["wall"], 2),
                    "peak_mb": round(taken["peak"] / 1e6), "broken": taken["found"],
                    "own_plain_cpu": round(plain[peer]["cpu"], 2), "own_plain_wall": round(plain[peer]["wall"], 2),
                }  # fmt: skip
                found["asked"].append(figure)
                words = f"{figure['cpu']:>7} s of CPU, {figure['wall']:>7} s, {figure['scans_cpu']:>6} scans"
                print(f"{peer:<20} {kind:<6} {words}, peak {figure['peak_mb']:>6} MB, {figure['broken']} broken")
        ours = found["asked"][0]
        if max(ours["scans_cpu"], ours["scans_wall"]) > _LIMIT:
            found["missed"].append(f"{ours['scans_cpu']} scans of CPU, {ours['scans_wall']} on the clock")
        found["large"] = _large(folder, given.large_rows, rules)
        if found["large"]["peak_mb"] * 1e6 > _PEAK_LIMIT:
            found["missed"].append(f"a peak of {found['large']['peak_mb']} MB")
        return found
    finally:
        shutil.rmtree(folder)


def _large(folder: Path, rows: int, rules: Path) -> Found:
    shutil.rmtree(folder / "clean")
    shutil.rmtree(folder / "dirty")
    table = speed_rules.write(folder, rows, dirty=False)
    size = sum(path.stat().st_size for path in table.iterdir())
    taken = _run("clew", table, rules, "check")
    figure = {
        "rows": rows, "parquet_mb": round(size / 1e6), "memory_mb": round(rows * 140 / 1e6),
        "cpu": round(taken["cpu"], 1), "wall": round(taken["wall"], 1), "peak_mb": round(taken["peak"] / 1e6),
        "broken": taken["found"],
    }  # fmt: skip
    print(f"clew, {rows:,} rows: {figure}")
    return figure


def _run(peer: str, table: Path, rules: Path, what: str) -> dict[str, Any]:
    python = sys.executable if peer == "clew" else str(installed(peer, PEERS[peer]) / "python")
    quiet = {"GX_ANALYTICS_ENABLED": "false", "TQDM_DISABLE": "1"}
    done = subprocess.run(
        [python, "-I", str(_PROGRAM), peer, str(table), str(rules), what],
        capture_output=True, text=True, check=False, env=os.environ | quiet,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{peer} {what} failed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


_SAID: Final = """## Fifty rules in one scan

`scripts/bench contracts speed --rows {rows} --large-rows {large[rows]}`; {machine}, shared with other work
(load {load}), so look at ratios.

{rules} rules over {rows:,} rows × 20 columns of Parquet: 19 not null, 16 ranges, 2 lists of values, a pattern, 2 of
uniqueness (one over three columns), a key of another table, 4 relations of two columns, monotone time, rows, freshness,
a length and a mean. All read the same files; the peers run in environments of their own
({peers}). A scan is polars' streaming read of the columns. A hundredth of the rows of
*dirty* breaks one of five rules; 6 rules are broken then, as both kinds of uniqueness may be.

| who | table | CPU s | clock s | scans, CPU | scans, clock | peak MB | broken | its own plain read, CPU s |
|---|---|--:|--:|--:|--:|--:|--:|--:|
{table}

Limits for clew: 3 scans in CPU and on the clock on the clean table, and a peak under {peak:,.0f} MB for
{large[rows]:,} rows (about {large[memory_mb]:,} MB in memory, {large[parquet_mb]:,} MB of Parquet): {verdict}. The
large table took {large[cpu]} s of CPU, {large[wall]} s on the clock, and a peak of {large[peak_mb]:,} MB.

pandera's and dataframely's checks of order, rows, freshness, relations and keys of another table are expressions that
were written for the benchmark; Great Expectations' are its own.
"""


def markdown(found: Found) -> str:
    """This section of the page."""
    table = [
        f"| {one['who']} | {one['table']} | {one['cpu']} | {one['wall']} | {one['scans_cpu']} | {one['scans_wall']} | "
        f"{one['peak_mb']:,} | {one['broken']} | {one['own_plain_cpu']} |"
        for one in found["asked"]
    ]
    verdict = "met" if not found["missed"] else f"**missed**: {'; '.join(found['missed'])}"
    peers = ", ".join(words[0] for words in PEERS.values())
    return _SAID.format(**found, table="\n".join(table), verdict=verdict, peers=peers, peak=_PEAK_LIMIT / 1e6)
