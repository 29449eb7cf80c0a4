"""Tables between steps: mapped from the store, never copied, whatever their columns are."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.projects import Project

from clew.errors import IntegrityError
from clew.pipelines import values
from clew.pipelines.executors.processes import close_pools
from clew.pipelines.tables import mapped

WHERE = """
import pathlib
import numpy as np
import pyarrow as pa

def homes(frame: pl.DataFrame) -> list[str]:
    # The file of each buffer's memory; empty for memory of the process's own.
    maps = []
    for line in pathlib.Path("/proc/self/maps").read_text().splitlines():
        span, *_, name = line.split(maxsplit=5) if line.count("/") else (line.split()[0], "")
        first, last = (int(one, 16) for one in span.split("-"))
        maps.append((first, last, name))
    table = frame.to_arrow(compat_level=pl.CompatLevel.newest())
    found = set()
    for column in table.columns:
        for chunk in column.chunks:
            for buffer in chunk.buffers():
                if buffer is not None and buffer.size:
                    found |= {name for first, last, name in maps if first <= buffer.address < last}
    return sorted(found)

@clew.step
def made(rows: int) -> pl.DataFrame:
    text = pl.Series("text", [f"{'a long text of row'} {row}" for row in range(rows)])
    return pl.DataFrame({"x": np.arange(rows), "y": np.arange(rows) / 3}).with_columns(text)
@clew.step(cache=False)
def eager(table: pl.DataFrame) -> list[str]:
    return homes(table)
@clew.step(cache=False)
def lazy(table: pl.LazyFrame) -> list[str]:
    return homes(table.collect())
@clew.step(cache=False)
def numbers(table: pa.Table) -> list[str]:
    return homes(pl.from_arrow(table.select(["x", "y"])))
@clew.pipeline
def main(rows: int = 20_000) -> None:
    table = made(rows)
    eager(table), lazy(table), numbers(table)
"""


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_the_columns_lie_in_the_stores_own_file(project: Project, executor: Any) -> None:
    project.write(WHERE)
    done = project.run(executor=executor)
    objects = project.folder.resolve() / ".clew" / "objects"
    for step in ("eager", "lazy", "numbers"):
        [home] = project.value(done, step)
        assert Path(home).is_relative_to(objects)
    close_pools()


KINDS: dict[str, pl.Series] = {
    "category": pl.Series(["a", None, "b"], dtype=pl.Categorical),
    "enum": pl.Series(["y", None, "x"], dtype=pl.Enum(["x", "y", "z"])),
    "decimal": pl.Series([Decimal("1.20"), None, Decimal(3)], dtype=pl.Decimal(10, 2)),
    "time": pl.Series([dt.time(1, 2), None, dt.time(3)]),
    "span": pl.Series([dt.timedelta(1), None, dt.timedelta(2)]),
    "zone": pl.Series([dt.date(2026, 1, 1), None, dt.date(2026, 7, 1)]).cast(pl.Datetime("ms", "Europe/Paris")),
    "bytes": pl.Series([b"x" * 40, None, b""]),
    "list": pl.Series([["a", "b" * 40], None, []]),
    "array": pl.Series([[1, 2], None, [3, 4]], dtype=pl.Array(pl.Int8, 2)),
    "struct": pl.Series([{"n": 1, "t": "x"}, None, {"n": None, "t": "y"}]),
    "nothing": pl.Series([None, None, None]),
    "truth": pl.Series([True, None, False]),
    "large": pl.Series([2**100, None, -1], dtype=pl.Int128),
    "float": pl.Series([1.5, None, float("nan")], dtype=pl.Float32),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_column_comes_back(project: Project, kind: str) -> None:
    objects = project.workspace.objects
    for frame in (KINDS[kind].to_frame("c"), KINDS[kind].to_frame("c").slice(1, 2), KINDS[kind].to_frame("c").clear()):
        back = values.store(objects, frame).load(objects)
        assert back.schema == frame.schema
        assert back.equals(frame)
    assert not list((project.folder / ".clew" / "objects" / "temporary").iterdir())


def test_a_file_that_is_no_table_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "table"
    KINDS["zone"].to_frame("c").write_ipc(path, compression="uncompressed")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(IntegrityError, match="can't be read"):
        mapped(path)
