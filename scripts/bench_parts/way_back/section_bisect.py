"""Bisect, restore and rebuild on faults planted in the house project."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from way_back import planted


def options(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--repeats", type=int, default=2, help="of faults that are drawn at random")
    parser.add_argument("--only", default="", help="words of the faults to plant; all, and rebuilds, if none")


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Each case's answer; `missed` when one isn't exact."""
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder:
        found = planted.run(Path(folder), given.only, given.repeats)
    found["missed"] = [row["case"] for row in found["bisect"] if row["found"] not in ("exactly", "right: no loss")]
    return found


def markdown(found: dict[str, Any]) -> str:
    """As tables."""
    return planted.printed(found)
