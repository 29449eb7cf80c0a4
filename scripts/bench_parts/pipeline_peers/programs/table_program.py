"""The three steps over a table, one way, in a process of its own; figures to a file as JSON.

python table_program.py plain|pickle|inline|processes|where-inline|where-processes|parts FOLDER ROWS OUT
"""

import json
import pickle
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import table_steps

PIPELINE = """
import pathlib
import clew
import polars as pl
import table_steps

make, scaled, summed = clew.step(table_steps.make), clew.step(table_steps.scaled), clew.step(table_steps.summed)

@clew.step(cache=False)
def where(table: pl.DataFrame) -> list[int]:
    # Bytes of the table's buffers that lie in a mapped file of the store, and bytes that lie elsewhere.
    maps = []
    for line in pathlib.Path("/proc/self/maps").read_text().splitlines():
        span, *_, name = line.split(maxsplit=5)
        first, last = (int(one, 16) for one in span.split("-"))
        maps.append((first, last, "/objects/" in name))
    counted = [0, 0]
    for column in table.to_arrow(compat_level=pl.CompatLevel.newest()).columns:
        for buffer in (one for chunk in column.chunks for one in chunk.buffers() if one is not None):
            mapped = any(first <= buffer.address < last and own for first, last, own in maps)
            counted[0 if mapped else 1] += buffer.size
    return counted

@clew.pipeline
def main(rows: int = 1) -> None:
    summed(scaled(make(rows)))

@clew.pipeline
def look(rows: int = 1) -> None:
    where(scaled(make(rows)))
"""


def timed(act: Callable[[], Any]) -> dict[str, Any]:
    cpu, wall = time.process_time(), time.perf_counter()
    found = act()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "found": found}


def plain(rows: int) -> dict[str, Any]:
    made = table_steps.make(rows)
    changed = table_steps.scaled(made)
    return {"sum": table_steps.summed(changed), "bytes": changed.estimated_size()}


def pickled(folder: Path, rows: int) -> dict[str, Any]:
    def passed(table: pl.DataFrame, name: str) -> Any:
        with (folder / name).open("wb") as file:
            pickle.dump(table, file, protocol=5)
        with (folder / name).open("rb") as file:
            return pickle.load(file)

    return {"sum": table_steps.summed(passed(table_steps.scaled(passed(table_steps.make(rows), "made")), "scaled"))}


def built(folder: Path, rows: int, name: str, executor: Any) -> Callable[[], list[float]]:
    import clew
    from clew import pipelines
    from clew.pipelines.history import output

    if not (folder / "pipeline.py").exists():
        (folder / "pipeline.py").write_text(PIPELINE)
        shutil.copy(Path(__file__).with_name("table_steps.py"), folder)
    sys.path.insert(0, str(folder))
    sys.modules.pop("table_steps")
    workspace = clew.open_workspace(folder, create=not (folder / ".clew").exists())
    pipeline, path = pipelines.load(f"{folder / 'pipeline.py'}:{name}")
    step = {"main": "summed", "look": "where"}[name]

    def run() -> list[float]:
        result = pipelines.run(workspace, pipeline, path, {"rows": rows}, executor=executor)
        found: list[float] = output(workspace, result.run, step)
        return found

    return run


def parts(folder: Path, rows: int) -> dict[str, Any]:
    """What hashing one such table takes, and writing it durably; the bytes on the disk."""
    import clew
    from clew.data.identity import table_id
    from clew.pipelines.tables import Tables

    with clew.open_workspace(folder) as workspace:
        frame = table_steps.make(rows + 1)
        hashed = timed(lambda: table_id(frame) and None)
        _, write, _ = Tables().encode(frame)
        path = workspace.objects.scratch()

        def put() -> int:
            write(path)
            return workspace.objects.put_file(path, move=True).size

        return {"hash": hashed["cpu"], "hash wall": hashed["wall"], "write": timed(put)["wall"]}


def main() -> None:
    how, where, count, out = sys.argv[1:]
    folder, rows = Path(where), int(count)
    if how == "parts":
        answer = parts(folder, rows)
    else:
        acts: dict[str, Callable[[], Any]] = {
            "plain": lambda: plain(rows),
            "pickle": lambda: pickled(folder, rows),
        }
        mode = how.removeprefix("where-")
        act = acts.get(how) or built(folder, rows, "look" if how.startswith("where-") else "main", mode)
        answer = timed(act)
    Path(out).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
