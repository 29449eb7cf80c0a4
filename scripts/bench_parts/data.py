"""Versions of data, measured: clew against DVC, deltalake, pylance and plain Parquet, in the same run.

    scripts/bench data [--only PART] [--rows N] [--quick] [--markdown FILE] [--folder DIR]

Prints one table with ratios and limits, and writes bench-results/data.json. The peers are installed once, in
environments of their own, in CLEW_BENCH_ENVS or a folder of the user's cache.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench_parts.data_peers.command import main

if __name__ == "__main__":
    sys.exit(main())
