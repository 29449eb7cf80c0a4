"""Builds, measured: clew against DVC, Hamilton, Kedro, Metaflow, joblib and redun, in the same run.

    scripts/bench pipelines [--only PART] [--quick] [--markdown FILE] [--folder DIR]

Prints one table with ratios and limits, and writes bench-results/pipelines.json. The peers are installed once, in
environments of their own, in CLEW_BENCH_ENVS or a folder of the user's cache. Gives 1 when a limit is missed.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench_parts.pipeline_peers.command import main

if __name__ == "__main__":
    sys.exit(main())
