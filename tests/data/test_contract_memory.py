"""Keys of more rows than are held: in bounded memory, a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import resource, sys
from pathlib import Path
import polars as pl
from clew.data.contract import Column, Contract, check
folder = Path(sys.argv[1])
N = 1_000_000
for i in range(20):
    ids = pl.int_range(i * N, (i + 1) * N, eager=True)
    if i == 19:
        ids = ids.set(ids == 19 * N + 5, 7)
    name = pl.select(pl.format("name-{}", ids % 1_000_003)).to_series()
    columns = {"id": ids, "name": name, "x": (ids % 977).cast(pl.Float64)}
    pl.DataFrame(columns).write_parquet(folder / f"{i:02}.parquet", row_group_size=131_072)
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
columns = {"id": Column(type="int64", unique=True), "name": Column(type="string"), "x": Column(type="float64")}
contract = Contract(dataset="d", columns=columns, unique=(("name", "x"),))
before = peak()
found = check(contract, pl.scan_parquet(folder / "*.parquet"))
for one in found.results:
    print(one.rule, one.failing_rows, [example.row for example in one.examples])
print(peak() - before)
"""


@pytest.mark.slow
def test_uniqueness_of_twenty_million_keys_takes_bounded_memory(tmp_path: Path) -> None:
    """About 800 MB in memory; two rules of keys, each spilled beyond 8 million, may take 450 MB with all batches."""
    done = subprocess.run([sys.executable, "-c", CODE, str(tmp_path)], capture_output=True, text=True, check=True)
    unique, group, grown = done.stdout.splitlines()
    assert unique == "unique 2 [8, 19000006]"
    assert group == "unique name, x 2 [8, 19000006]"
    assert int(grown) < 450
