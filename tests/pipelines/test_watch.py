"""What the watch must not mistake for a read, and that it leaves nothing behind."""

import os
import shutil
import threading
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.projects import ROWS, Project, status, why

from clew.pipelines import wraps
from clew.pipelines.project import Project as Code
from clew.pipelines.watch import Watch, watching

HARMLESS = {
    "numpy": "np.linalg.svd(np.random.default_rng(0).normal(size=(20, 3)))",
    "polars": "pl.DataFrame({'x': [1]}).lazy().group_by('x').len().collect()",
    "polars in memory": "pl.read_csv(io.BytesIO(b'x\\n1')).height + pl.read_json(io.StringIO('[{\"x\": 1}]')).height",
    "polars round trip": "pl.read_ipc(io.BytesIO(pl.DataFrame({'x': [1]}).write_ipc(None).getvalue()))",
    "pandas": "pd.DataFrame({'x': [1.0]}).groupby('x').size()",
    "pandas in memory": "pd.read_csv(io.StringIO('x\\n1'))",
    "pyarrow": "pa.table({'x': [1]}).group_by('x').aggregate([('x', 'sum')])",
    "isinstance": "isinstance(1, pa.OSFile) or isinstance(1, pa_fs.FileSystem)",
    "boosting": "HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=1).fit(X, Y).predict(X)",
    "forest in threads": "RandomForestRegressor(4, n_jobs=2, random_state=0).fit(X, Y).predict(X)",
    "linear": "LinearRegression().fit(X, Y)",
    "threads": "in_threads()",
    "logging": "logging.getLogger('x').warning('said')",
    "own file": "own_file()",
    "folder": "pathlib.Path(__file__).resolve().parent",
    "version": "importlib.metadata.version('numpy')",
    "late library": "__import__('sklearn.neighbors').__name__",
    "time": "time.perf_counter() and None",
    "temporary": "temporary()",
}
SEARCH = "GridSearchCV(Ridge(), {'alpha': [1.0, 2.0]}, cv=2, n_jobs=2).fit(X, Y).best_score_"
TOP = """
import importlib.metadata, io, logging, multiprocessing.pool, os, pathlib, tempfile, time
from concurrent.futures import ThreadPoolExecutor
import numpy as np, pandas as pd, pyarrow as pa, pyarrow.fs as pa_fs
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
X = np.arange(40.0).reshape(20, 2)
Y = X.sum(axis=1)
def own_file():
    path = os.path.join(tempfile.gettempdir(), f"own-{os.getpid()}.txt")
    with open(path, "w") as file:
        file.write("1")
    with open(path) as file:
        file.read()
    os.unlink(path)
def in_threads():
    with ThreadPoolExecutor(2) as one, multiprocessing.pool.ThreadPool(2) as two:
        list(one.map(abs, [1, 2])), two.map(abs, [1])
        two.close(), two.join()
def temporary():
    with tempfile.TemporaryDirectory() as folder:
        pl.DataFrame({"x": [1]}).write_parquet(folder + "/x.parquet")
    with tempfile.NamedTemporaryFile("w+") as file:
        file.write("1"), file.seek(0), file.read()
"""


@pytest.mark.parametrize("bodies", [HARMLESS, pytest.param({"search": SEARCH}, marks=pytest.mark.slow)])
def test_libraries_at_work_are_no_reads(project: Project, bodies: dict[str, str]) -> None:
    # All in one run: each is a step of its own.
    steps = "".join(
        f"@clew.step(name={name!r})\ndef step{number}() -> int:\n    {body}\n    return {number}\n"
        for number, (name, body) in enumerate(bodies.items())
    )
    calls = "".join(f"    step{number}()\n" for number in range(len(bodies)))
    project.write(TOP + steps + "@clew.pipeline\ndef main() -> None:\n" + calls)
    result = project.run()
    assert {name: why(result, name) for name in bodies if "not cached" in why(result, name)} == {}
    assert set(status(project.run()).values()) == {"cached"}


def test_the_example_is_cached_whole(project: Project) -> None:
    here = Path(__file__).parents[2] / "examples" / "house_prices"
    for name in ("pipeline.py", "houses.py"):
        shutil.copy(here / name, project.code / name)
    project.workspace.add("house-sales", str(here / "house_sales.csv.gz"), key=["sale_id"])
    first = project.run(trees=5, learning_rate=0.5)
    assert {step.status for step in first.steps} == {"ran"}
    second = project.run(trees=5, learning_rate=0.5)
    assert {step.name: step.why for step in second.steps[:-1] if step.status != "cached"} == {}
    assert second.steps[-1].why == first.steps[-1].why  # five trees are refused, and so they are again
    assert first.metrics == second.metrics
    assert first.models == second.models == ["house-price@1"]


def state_of_everything() -> list[object]:
    kind = type(os.environ)
    return [
        *(getattr(pl, name) for name in dir(pl) if name.startswith(("read_", "scan_"))),
        *(getattr(pq, name) for name in ("read_table", "ParquetFile", "ParquetDataset")),
        *(pq.ParquetFile.__init__, pq.ParquetDataset.__init__, pa.OSFile, pa.memory_map, pl.SQLContext.__init__),
        *(vars(kind).get(name) for name in ("__getitem__", "__contains__", "__iter__", "__repr__", "get")),
        *(os.stat, os.access, os.lstat, threading.Thread.start, vars(pl.DataFrame)["deserialize"]),
    ]


def watch_of(folder: Path) -> Watch:
    return Watch(Code(folder, "pipeline.py", {}, None, None), (), ())


def test_nothing_stays_wrapped(tmp_path: Path) -> None:
    before = state_of_everything()
    with watching(watch_of(tmp_path)), watching(watch_of(tmp_path)):
        assert state_of_everything() != before
    assert state_of_everything() == before
    with pytest.raises(KeyError), watching(watch_of(tmp_path)):
        raise KeyError
    assert state_of_everything() == before
    with watching(watch_of(tmp_path)):
        early = pl.read_csv
    assert early is not pl.read_csv  # bound while it was wrapped: it does its work, and tells nobody
    (tmp_path / "x.csv").write_text("x\n1\n")
    assert early(tmp_path / "x.csv").item() == 1
    assert not wraps._told


def test_an_inner_watch_does_not_blind_the_outer(tmp_path: Path) -> None:
    outer, inner = watch_of(tmp_path / "code"), watch_of(tmp_path / "code")
    path = tmp_path / "x.txt"
    path.write_text("1")
    with watching(outer):
        with watching(inner):
            path.read_text()
        assert len(outer.reads) == 1
        outer.reads.clear()
        path.read_text()
    assert len(outer.reads) == 1
    assert len(inner.reads) == 1


def test_threads_take_turns(tmp_path: Path) -> None:
    before = state_of_everything()
    watches = [watch_of(tmp_path / "code") for _ in range(4)]
    paths = [tmp_path / f"{number}.txt" for number in range(4)]

    def read(watch: Watch, path: Path) -> None:
        path.write_text("1")
        with watching(watch):
            path.read_text()

    threads = [threading.Thread(target=read, args=pair) for pair in zip(watches, paths, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A thread that waits for its turn may be seen by another's watch, but none misses its own.
    for watch, path in zip(watches, paths, strict=True):
        assert any(path.name in read for read in watch.reads)
    assert state_of_everything() == before


def test_shutil_works_as_ever(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    (tmp_path / "a" / "link").symlink_to("x")
    with watching(watch_of(tmp_path)):
        shutil.copytree(tmp_path / "a", tmp_path / "b", symlinks=True)
        shutil.rmtree(tmp_path / "a")
    assert (tmp_path / "b" / "link").is_symlink()
    assert os.stat not in os.supports_fd or os.stat in os.supports_follow_symlinks


def test_what_was_read_and_the_mend(project: Project) -> None:
    ROWS.write_parquet(project.code / "rows.parquet")
    (project.code / "parts").mkdir()
    ROWS.write_parquet(project.code / "parts" / "one.parquet")
    project.write("""
        import os, pathlib
        ROOT = pathlib.Path(__file__).parent
        @clew.step
        def answer() -> int:
            os.environ.get("CLEW_TEST_SETTING")
            return pl.read_parquet(ROOT / "rows.parquet").height + pl.read_parquet(ROOT / "parts" / "*.parquet").height
        @clew.pipeline
        def main() -> None:
            answer()
        """)
    because = why(project.run(), "answer")
    assert (
        'it reads the file rows.parquet, which it doesn\'t declare (mend: @clew.step(files=["rows.parquet"]))'
        in because
    )
    assert 'it reads the folder parts, which it doesn\'t declare (mend: @clew.step(files=["parts"]))' in because
    assert '(mend: @clew.step(env=["CLEW_TEST_SETTING"]))' in because
    path = project.code / "pipeline.py"
    declared = '@clew.step(files=["rows.parquet", "parts"], env=["CLEW_TEST_SETTING"])'
    path.write_text(path.read_text().replace("@clew.step", declared))
    assert "not cached" not in why(project.run(), "answer")
    assert status(project.run()) == {"answer": "cached"}
