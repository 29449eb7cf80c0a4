"""What runs in the environment of deltalake or pylance: one act on one table, its times to stdout as JSON.

    python -I peer_program.py deltalake|pylance overwrite|read SOURCE TARGET

Uses nothing but the peer and pyarrow.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq


def deltalake(what: str, source: str, target: str) -> Callable[[], Any]:
    """The act, ready to be timed: what it reads is in memory already."""
    peer: Any = importlib.import_module("deltalake")
    if what == "read":
        return lambda: peer.DeltaTable(target).to_pyarrow_table()
    table = pq.read_table(source)
    # zstd as the others use: the default, snappy, would take more bytes
    properties = peer.WriterProperties(compression="ZSTD")
    return lambda: peer.write_deltalake(
        target, table, mode="overwrite", schema_mode="overwrite", writer_properties=properties
    )


def pylance(what: str, source: str, target: str) -> Callable[[], Any]:
    """The act, ready to be timed: what it reads is in memory already."""
    peer: Any = importlib.import_module("lance")
    if what == "read":
        return lambda: peer.dataset(target).to_table()
    table = pq.read_table(source)
    return lambda: peer.write_dataset(table, target, mode="overwrite")


def main() -> None:
    name, what, source, target = sys.argv[1:]
    act = {"deltalake": deltalake, "pylance": pylance}[name](what, source, target)
    if what == "read":
        act()  # once to warm up, as clew's reading is
    wall, cpu = time.perf_counter(), time.process_time()
    found = act()
    times = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    print(json.dumps(times | {"rows": found.num_rows if what == "read" else None}), flush=True)
    # Some versions abort while their threads are taken down; what was asked is done and said.
    os._exit(0)


if __name__ == "__main__":
    main()
