"""How long clew takes to start: imports and light commands, as whole processes, beside a bare Python.

Prints medians in milliseconds with their limits, and writes bench-results/startup.json.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMANDS = {
    "python -c pass": ([sys.executable, "-c", "pass"], None),
    "import clew": ([sys.executable, "-c", "import clew"], 150),
    "clew --help": ([str(Path(sys.executable).parent / "clew"), "--help"], 300),
    "clew runs list": ([str(Path(sys.executable).parent / "clew"), "runs", "list"], 800),
}


def milliseconds(command: list[str], folder: str, runs: int) -> list[float]:
    """Wall times of a command, after one run to warm up."""
    environment = os.environ | {"CLEW_WORKSPACE": folder}
    found = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=environment)
        found.append((time.perf_counter() - started) * 1000)
    return found[1:]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([COMMANDS["clew --help"][0][0], "init", folder], check=True, capture_output=True)
        for name, (command, limit) in COMMANDS.items():
            found = milliseconds(command, folder, runs)
            middle = statistics.median(found)
            results[name] = {"median_ms": round(middle, 1), "min_ms": round(min(found), 1), "limit_ms": limit}
            verdict = "" if limit is None else f"limit {limit}: {'met' if middle <= limit else 'MISSED'}"
            print(f"{name:18} median {middle:6.0f} ms, least {min(found):6.0f} ms  {verdict}")
    out = Path("bench-results/startup.json")
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
