"""Contracts, privacy and erasure, measured: `scripts/bench contracts [SECTION…]`; sections lie in `safe_data/`.

    scripts/bench contracts speed --rows 2000000 --markdown docs/benchmarks/contracts.md

Each section prints its figures and whether its limits are met, adds them to a JSON file, and with `--markdown` writes
its own part of that page, leaving what other sections wrote.
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]  # safe_data, and what tests plant

from in_sections.command import main  # noqa: E402 - it lies in the path that was just added

_HEAD = """# Clean, correct, and safe to use: figures

Made by `scripts/bench contracts`, a section each; see the head of `scripts/bench_parts/contracts.py`.
"""

main(str(__doc__), "safe_data", "contracts", _HEAD)
