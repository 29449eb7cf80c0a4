"""What looking for leaks costs, in a process of its own: rows are its argument, JSON is its answer."""

import json
import resource
import sys
import time

import numpy as np
import polars as pl

from clew.data.leakage import leakage


def table(rows: int) -> pl.DataFrame:
    """Twenty columns of many kinds."""
    random = np.random.default_rng(1)
    day = np.sort(random.integers(10_000, 12_000, rows)).astype(np.int32)
    return pl.DataFrame(
        {f"f{i}": random.normal(size=rows) for i in range(9)}
        | {f"i{i}": random.integers(0, 10 ** (i + 1), rows) for i in range(5)}
        | {
            "id": np.arange(rows),
            "kind": random.choice(["a", "b", "c"], rows),
            "subject": pl.Series(np.arange(rows) // 3).cast(pl.String),
            "at": pl.Series(day).cast(pl.Date),
            "before": pl.Series(day - 9).cast(pl.Date),
            "y": random.normal(size=rows),
        }
    )


def main(rows: int) -> None:
    """One look."""
    frame = table(rows)
    train, test = frame.head(rows * 4 // 5), frame.tail(rows // 5)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started, cpu = time.monotonic(), time.process_time()
    found = leakage(train, target="y", test=test, subject="subject", at="at")
    print(
        json.dumps(
            {
                "rows": rows,
                "columns": frame.width,
                "table_mb": frame.estimated_size() / 1e6,
                "seconds": time.monotonic() - started,
                "cpu": time.process_time() - cpu,
                "more_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before,
                "found": [str(one) for one in found],
            }
        )
    )


main(int(sys.argv[1]))
