"""Reading a fresh snapshot: all of it, two columns, 1% of the rows; against polars' own Parquet file."""

from collections.abc import Callable
from typing import Final

import polars as pl

from clew.data.identity import table_id

from .bench import NAME, Bench, peer_cost, processors, put, seconds, workspace
from .measure import Cost, cost, in_turns
from .rows import Row, holds, progress, times
from .tables import table, write

PART: Final = "read"


def measure(bench: Bench) -> list[Row]:
    """Rows by the clock and by the processors, both with the limit."""
    with bench.part(PART) as folder:
        base = table(bench.rows, 0)
        put(folder / "fresh", base)
        path, source = folder / "polars.parquet", folder / "source.parquet"
        base.write_parquet(path)
        write(base, source)
        for peer in ("deltalake", "pylance"):
            peer_cost(peer, "overwrite", source, folder / peer)
        progress("read: a fresh snapshot")
        with workspace(folder / "fresh") as session:
            acts = reading(lambda: session.snapshot(f"{NAME}@1").scan(), lambda: pl.scan_parquet(path))
            acts["polars, all"] = cost(lambda: pl.read_parquet(path))
            for peer in ("deltalake", "pylance"):
                acts[peer] = lambda peer=peer: peer_cost(peer, "read", source, folder / peer)  # type: ignore[misc]
            found = in_turns(acts, bench.rounds)
            back = session.snapshot(f"{NAME}@1").collect()
        rows = judged(PART, "fresh", found, 1.3)
        for peer in ("deltalake", "pylance"):
            theirs, ours = found[peer], found["clew, all"]
            rows.append(
                Row(PART, f"fresh, all: {peer}", theirs.wall, "s", "clew", ours.wall, note=processors(theirs, ours))
            )
        same = back.schema == base.schema and table_id(back).id == table_id(base).id
        return [*rows, holds(PART, "fresh: reads back what was added", int(same), 1)]


def reading(ours: Callable[[], pl.LazyFrame], plain: Callable[[], pl.LazyFrame]) -> dict[str, Callable[[], Cost]]:
    """What is read, of clew and of polars."""
    acts: dict[str, Callable[[], Cost]] = {}
    for name, scan in (("clew", ours), ("polars", plain)):
        acts[f"{name}, all"] = cost(lambda scan=scan: scan().collect())  # type: ignore[misc]
        acts[f"{name}, 2 columns"] = cost(lambda scan=scan: scan().select("f1", "town").collect())  # type: ignore[misc]
        acts[f"{name}, a 1% filter"] = cost(lambda scan=scan: scan().filter(pl.col("lot") < 10_000).collect())  # type: ignore[misc]
    return acts


def judged(part: str, what: str, found: dict[str, Cost], factor: float) -> list[Row]:
    """The rows of what was read: all of it is held against the limit, the rest is for information."""
    ours, plain = found["clew, all"], found["polars, all"]
    against = "polars.read_parquet"
    rows = [
        times(part, f"{what}, all", ours.wall, "s", against, plain.wall, factor, processors(ours, plain)),
        times(part, f"{what}, all", ours.cpu, "CPU s", against, plain.cpu, factor, seconds(ours, plain)),
    ]
    for which in ("2 columns", "a 1% filter"):
        ours, plain = found[f"clew, {which}"], found[f"polars, {which}"]
        rows.append(Row(part, f"{what}, {which}", ours.wall, "s", "polars", plain.wall, note=processors(ours, plain)))
    return rows
