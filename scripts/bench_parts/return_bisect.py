"""Bisect, restore and rebuild on planted faults in the house project: `[REPEATS [WORDS]]`, words that name cases."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import _return_bisect


def keep(found: dict[str, Any]) -> None:
    """Write what there is."""
    Path("bench-results/return_bisect.json").write_text(json.dumps(found, indent=2, default=str) + "\n")


def main() -> int:
    """Measure, print and write. Gives 1 when a case wasn't found exactly."""
    repeats, *words = sys.argv[1:] or ["1"]
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder:
        found = _return_bisect.run(Path(folder), " ".join(words), int(repeats), keep)
    print(_return_bisect.printed(found))
    return int(any(row["found"] not in ("exactly", "right: no loss") for row in found["bisect"]))


if __name__ == "__main__":
    sys.exit(main())
