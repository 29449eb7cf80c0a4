"""The way back, measured: `scripts/bench return [SECTION…]`; each section is a module of `way_back/`.

    scripts/bench return thread --runs 100000 --predictions 10000000 --markdown docs/benchmarks/return.md

Each section prints its figures and whether its limits are met, adds them to a JSON file, and with `--markdown` writes
its own part of that page, leaving what other sections wrote.
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]  # way_back, and tests.servers

from in_sections.command import main  # noqa: E402 - it lies in the path that was just added

_HEAD = """# The way back: figures

Made by `scripts/bench return`, a section each; see the head of `scripts/bench_parts/return.py`.
"""

main(str(__doc__), "way_back", "return", _HEAD)
