"""Nothing that a step depends on may change without the step running again."""

import json
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.projects import ROWS, Project, status, why

from clew.pipelines import environment

ONE_STEP = """
@clew.step
def answer() -> float:
    return {body}

@clew.pipeline
def main() -> None:
    answer()
"""


def settled(project: Project, step: str = "answer", **parameters: Any) -> Any:
    """The step's value once whatever can be cached is cached: runs twice."""
    project.run(**parameters)
    return project.value(project.run(**parameters), step)


def edits(project: Project, name: str, before: str, after: str, body: str, top: str = "") -> None:
    """The step gives 1, then after an edit of one file 2; and what could be cached was."""
    project.write(before, name)
    project.write(top + ONE_STEP.format(body=body))
    assert settled(project) == 1
    assert status(project.run()) == {"answer": "cached"}
    project.write(after, name)
    result = project.run()
    assert project.value(result, "answer") == 2
    assert name.removesuffix(".py").replace("/", ".") in why(result, "answer")


def test_helper_beside_the_pipeline(project: Project) -> None:
    # The same length within the same second: a compiled file of the old text would look current.
    edits(project, "helper.py", "VALUE = 1", "VALUE = 2", "helper.VALUE", "import helper\n")


def test_module_in_a_subpackage(project: Project) -> None:
    project.write("", "pack/__init__.py")
    project.write("", "pack/deep/__init__.py")
    top = "from pack.deep.leaf import value\n"
    edits(project, "pack/deep/leaf.py", "def value(): return 1", "def value(): return 2", "value()", top)


def test_namespace_package(project: Project) -> None:
    top = "import folder.leaf as leaf\n"
    edits(project, "folder/leaf.py", "VALUE = 1", "VALUE = 2", "leaf.VALUE", top)


def test_late_import(project: Project) -> None:
    edits(project, "late.py", "VALUE = 1", "VALUE = 2", "__import__('late').VALUE")


def test_the_steps_own_text(project: Project) -> None:
    for number in (1, 2):
        project.write(ONE_STEP.format(body=number))
        assert settled(project) == number


def test_default_argument(project: Project) -> None:
    text = "DEFAULT = {}\n@clew.step\ndef answer(x: int = DEFAULT) -> int:\n    return x\n"
    for number in (1, 2):
        project.write(text.format(number) + "@clew.pipeline\ndef main() -> None:\n    answer()\n")
        assert settled(project) == number


def test_edit_while_the_run_is_under_way(project: Project) -> None:
    # The late import finds the file edited: the text of the start counts, for the result and for the key.
    project.write("VALUE = 1", "late.py")
    project.write("""
        import pathlib
        @clew.step(cache=False)
        def edit() -> int:
            pathlib.Path(__file__).with_name("late.py").write_text("VALUE = 2")
            return 0
        @clew.step
        def answer(after: int) -> int:
            import late
            return late.VALUE
        @clew.pipeline
        def main() -> None:
            answer(edit())
        """)
    assert project.value(project.run(), "answer") == 1
    project.write("VALUE = 2", "late.py")
    assert project.value(project.run(), "answer") == 2


@pytest.mark.parametrize("late", [False, True])
def test_module_outside_of_the_folder(project: Project, late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = project.folder / "outside"
    outside.mkdir()
    monkeypatch.syspath_prepend(str(outside))
    shared = outside / "shared_by_all.py"
    shared.write_text("VALUE = 1\n")
    body = "__import__('shared_by_all').VALUE"
    # Two steps: the second one finds the module imported already.
    project.write(
        ("" if late else "import shared_by_all\n")
        + f"@clew.step\ndef first() -> int:\n    return {body} * 0\n"
        + f"@clew.step\ndef answer(x: int) -> int:\n    return x + {body}\n"
        + "@clew.pipeline\ndef main() -> None:\n    answer(first())\n"
    )
    assert settled(project) == 1
    result = project.run()
    assert status(result)["answer"] == ("ran" if late else "cached")
    if late:
        assert "mend: import shared_by_all at the top" in why(result, "answer")
    shared.write_text("VALUE = 2\n")
    assert settled(project) == 2


def test_file_run_by_its_path(project: Project) -> None:
    # Compiled once, such a file is read from __pycache__ the next time.
    other = project.folder / "elsewhere.py"
    other.write_text("VALUE = 1\n")
    project.write(f"""
        import importlib.util
        @clew.step
        def answer() -> int:
            spec = importlib.util.spec_from_file_location("anyhow", {str(other)!r})
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module.VALUE
        @clew.pipeline
        def main() -> None:
            answer()
        """)
    assert settled(project) == 1
    assert "elsewhere.py" in why(project.run(), "answer")


READS: dict[str, str] = {
    "open": "float(text_of(PATH))",
    "pathlib": "float(pathlib.Path(PATH).read_text())",
    "os.open": "read_descriptor(PATH)",
    "r+": "float(text_of(PATH, 'r+'))",
    "a+": "read_after_appending(PATH)",
    "json": "float(json.loads(text_of(PATH)))",
    "np.loadtxt": "float(np.loadtxt(PATH))",
    "np.fromfile": "float(np.fromfile(PATH, sep=' ')[0])",
    "pandas": "float(pd.read_csv(PATH, header=None).iloc[0, 0])",
    "pl.read_csv": "pl.read_csv(PATH, has_header=False).item()",
    "pl.scan_csv": "pl.scan_csv(PATH, has_header=False).collect().item()",
    "keyword": "pl.read_csv(new_columns=['x'], source=PATH, has_header=False).item()",
    "bound early": "read_early(PATH, has_header=False).item()",
    "bound in a dict": "READERS['csv'](PATH, has_header=False).item()",
    "bound by partial": "READ(PATH).item()",
    "all names": "read_csv(PATH, has_header=False).item()",
    "in a thread": "next(POOL(1).map(lambda p: pl.read_csv(p, has_header=False).item(), [PATH]))",
    "pyarrow.csv": "pa_csv.read_csv(PATH, pa_csv.ReadOptions(column_names=['x']))['x'][0].as_py()",
    "pyarrow.csv early": "pa_early(PATH, pa_csv.ReadOptions(column_names=['x']))['x'][0].as_py()",
    "pa.memory_map": "float(pa.memory_map(PATH).read())",
    "pa.OSFile": "float(pa.OSFile(PATH).read())",
    "pyarrow.dataset": "ds.dataset(PATH, format=ds.CsvFileFormat(pa_csv.ParseOptions(),"
    " read_options=pa_csv.ReadOptions(column_names=['x']))).to_table()['x'][0].as_py()",
    "pyarrow.fs": "float(pa_fs.LocalFileSystem().open_input_file(PATH).read())",
    "sql": "pl.sql(f\"select * from read_csv('{PATH}')\", eager=True).columns and 1.0",
    "exists": "float(os.path.exists(PATH) and 1)",
    "Path.exists": "float(pathlib.Path(PATH).exists())",
    "size": "float(os.path.getsize(PATH)) - 1",
    "listdir": "float('number.txt' in os.listdir(os.path.dirname(PATH)))",
    "glob": "float(bool(glob.glob(os.path.dirname(PATH) + '/*.txt')))",
    "program": "float(subprocess.run(['cat', PATH], capture_output=True).stdout)",
    "process": "float(os.system('true') + 1)",
    "pool": "POOL_OF_PROCESSES(1).submit(float, open_text(PATH)).result()",
    "joblib": "joblib.Parallel(2)([joblib.delayed(float)('1')])[0]",
    "sqlite": "sqlite3.connect(':memory:').close() or 1.0",
    "workspace": "clew.open_workspace(os.path.dirname(PATH)).close() or 1.0",
    "deserialize": "pl.LazyFrame.deserialize(PATH).collect().height / 1",
    "remembered": "remembered(PATH)",
}
TOP = """
import functools, glob, importlib, io, json, os, pathlib, sqlite3, subprocess
from concurrent.futures import ProcessPoolExecutor as POOL_OF_PROCESSES, ThreadPoolExecutor as POOL
import joblib, numpy as np, pandas as pd, pyarrow as pa
import pyarrow.csv as pa_csv, pyarrow.dataset as ds, pyarrow.fs as pa_fs
from polars import read_csv as read_early
from polars import *
from pyarrow.csv import read_csv as pa_early
READERS = {"csv": pl.read_csv}
READ = functools.partial(pl.read_csv, has_header=False)
PATH = %r
def open_text(path):
    return "1"
def text_of(path, mode="r"):
    with open(path, mode) as file:
        return file.read()
def read_descriptor(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return float(os.read(descriptor, 9))
    finally:
        os.close(descriptor)
def read_after_appending(path):
    with open(path, "a+") as file:
        file.seek(0)
        return float(file.read())
@functools.cache
def remembered(path):
    return float(text_of(path))
"""


@pytest.mark.parametrize("how", READS)
def test_undeclared_read_is_not_cached(project: Project, how: str) -> None:
    path = project.folder / "number.txt"
    path.write_text("1\n")
    if how == "deserialize":
        pl.LazyFrame({"x": [1]}).serialize(path)
    project.write(TOP % str(path) + ONE_STEP.format(body=READS[how]))
    result = project.run()
    assert project.value(result, "answer") == 1
    assert "not cached, since it reads" in why(result, "answer")
    assert "(mend: " in why(result, "answer")
    if how not in ("program", "process", "pool", "joblib", "sqlite", "workspace", "sql", "pyarrow.fs"):
        assert "number.txt" in why(result, "answer") or how in ("listdir", "glob")


def test_a_reader_that_is_imported_late(project: Project) -> None:
    # In a process of its own: here everything is imported already.
    project.write("x\n1", "number.csv")
    project.write("""
        @clew.step
        def first() -> int:
            from pyarrow.csv import read_csv
            return read_csv(__file__.replace("pipeline.py", "number.csv"))["x"][0].as_py() * 0
        @clew.step
        def answer(x: int) -> int:
            from pyarrow.csv import read_csv
            import pyarrow.dataset
            path = __file__.replace("pipeline.py", "number.csv")
            return pyarrow.dataset.dataset(path, format="csv").head(1)["x"][0].as_py()
        @clew.pipeline
        def main() -> None:
            answer(first())
        """)
    child = project.start("run", "pipeline.py", "--json")
    assert child.wait() == 0, child.stderr
    found = json.loads(child.stdout)
    assert all("number.csv" in step["why"] for step in found["steps"]), found


def test_a_lazy_table_that_reads_when_it_is_collected(project: Project) -> None:
    project.write("7", "number.txt")
    project.write("""
        import pathlib
        def read(frame):
            return pl.DataFrame({"x": [int(pathlib.Path(__file__).with_name("number.txt").read_text())]})
        @clew.step
        def answer() -> pl.LazyFrame:
            return pl.LazyFrame({"x": [0]}).map_batches(read)
        @clew.pipeline
        def main() -> None:
            answer()
        """)
    assert settled(project).item() == 7
    assert "number.txt" in why(project.run(), "answer")


def test_what_one_step_remembers_the_next_reads_for_itself(project: Project) -> None:
    project.write("7", "number.txt")
    project.write("""
        import functools, pathlib
        @functools.cache
        def number():
            return float(pathlib.Path(__file__).with_name("number.txt").read_text())
        _KEPT = {}
        @clew.step
        def first() -> int:
            number()
            return 0
        @clew.step
        def answer(x: int) -> float:
            return number()
        @clew.pipeline
        def main() -> None:
            answer(first())
        """)
    assert settled(project) == 7
    assert "number.txt" in why(project.run(), "answer")
    project.write("8", "number.txt")
    assert settled(project) == 8


def test_what_one_step_leaves_in_a_global(project: Project) -> None:
    text = """
        import pathlib
        KEPT = {{}}
        @clew.step(files=["number.txt"])
        def first() -> int:
            KEPT["number"] = float(pathlib.Path(__file__).with_name("number.txt").read_text())
            return 0
        @clew.step
        def answer(x: int) -> float:
            return KEPT.get("number", -1.0)
        @clew.pipeline
        def main() -> None:
            answer(first())
        """.replace("{{", "{").replace("}}", "}")
    project.write("7", "number.txt")
    project.write(text)
    assert project.value(project.run(), "answer") == 7
    project.write("8", "number.txt")
    assert project.value(project.run(), "answer") == 8


@pytest.mark.parametrize("where", ["module", "nested", "object"])
def test_a_global_that_the_pipeline_sets(project: Project, where: str) -> None:
    change, read = {
        "module": ("global K; K = k", "K"),
        "nested": ("LIST[0]['k'] = k", "LIST[0]['k']"),
        "object": ("THING.k = k", "THING.k"),
    }[where]
    project.write(f"""
        class Thing:
            pass
        THING = Thing()
        K, LIST, THING.k = 0, [{{}}], 0
        @clew.step
        def answer() -> int:
            return {read}
        @clew.pipeline
        def main(k: int = 1) -> None:
            {change}
            answer()
        """)
    assert settled(project, k=1) == 1
    assert status(project.run(k=1)) == {"answer": "cached"}
    assert settled(project, k=2) == 2


@pytest.mark.parametrize("how", ["closure", "partial", "bound method", "default"])
def test_a_function_that_carries_a_value(project: Project, how: str) -> None:
    make = {
        "closure": "def make(k):\n    def inner() -> int:\n        return k\n    return inner\n",
        "partial": "import functools\ndef give(k) -> int:\n    return k\n"
        "def make(k):\n    return functools.partial(give, k)\n",
        "bound method": "class Thing:\n    def __init__(self, k):\n        self.k = k\n"
        "    def give(self) -> int:\n        return self.k\ndef make(k):\n    return Thing(k).give\n",
        "default": "def make(k):\n    def inner(x: int = k) -> int:\n        return x\n    return inner\n",
    }[how]
    project.write(
        make + "@clew.pipeline\ndef main(k: int = 1) -> None:\n" + "    clew.step(name='answer')(make(k))()\n"
    )
    assert settled(project, k=1) == 1
    assert settled(project, k=2) == 2


def test_a_closure_that_cannot_be_seen_into(project: Project) -> None:
    project.write("""
        import threading
        def make(lock):
            @clew.step
            def answer() -> int:
                return 1 if lock else 2
            return answer
        @clew.pipeline
        def main() -> None:
            make(threading.Lock())()
        """)
    project.run()
    assert "hand it over as an argument" in why(project.run(), "answer")


ENVIRONMENT = {
    "subscript": "float(os.environ['CLEW_TEST_NUMBER'])",
    "get": "float(os.environ.get('CLEW_TEST_NUMBER', 0))",
    "getenv": "float(os.getenv('CLEW_TEST_NUMBER'))",
    "from os": "float(environ['CLEW_TEST_NUMBER'])",
    "early": "float(get_early('CLEW_TEST_NUMBER'))",
    "bytes": "float(os.environb[b'CLEW_TEST_NUMBER'])",
    "all": "float(dict(os.environ)['CLEW_TEST_NUMBER'])",
    "copy": "float(os.environ.copy()['CLEW_TEST_NUMBER'])",
    "items": "float([v for k, v in os.environ.items() if k == 'CLEW_TEST_NUMBER'][0])",
    "in": "float('CLEW_TEST_NUMBER' in os.environ)",
    "or": "float((os.environ | {})['CLEW_TEST_NUMBER'])",
    "expandvars": "float(os.path.expandvars('$CLEW_TEST_NUMBER'))",
    "template": "float(string.Template('$CLEW_TEST_NUMBER').substitute(os.environ))",
    "format": "float('{CLEW_TEST_NUMBER}'.format(**os.environ))",
    "helper": "helper.number()",
}


@pytest.mark.parametrize("how", ENVIRONMENT)
def test_environment_variable(project: Project, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEW_TEST_NUMBER", "1")
    project.write("import os\ndef number():\n    return float(os.environ['CLEW_TEST_NUMBER'])\n", "helper.py")
    top = "import os, string, helper\nfrom os import environ, getenv as get_early\n"
    project.write(top + ONE_STEP.format(body=ENVIRONMENT[how]))
    assert project.value(project.run(), "answer") == 1
    because = why(project.run(), "answer")
    assert "CLEW_TEST_NUMBER" in because or "all environment variables" in because
    project.write(
        top + ONE_STEP.format(body=ENVIRONMENT[how]).replace("@clew.step", "@clew.step(env=['CLEW_TEST_NUMBER'])")
    )
    if "all environment" not in because:
        assert settled(project) == 1
        assert status(project.run()) == {"answer": "cached"}
        if how != "in":
            monkeypatch.setenv("CLEW_TEST_NUMBER", "2")
            assert settled(project) == 2


@pytest.mark.parametrize("late", [False, True])
def test_what_a_module_reads_when_it_is_imported(project: Project, late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEW_TEST_NUMBER", "10")
    project.write("1", "number.txt")
    project.write(
        """
        import os, pathlib
        NUMBER = float(pathlib.Path(__file__).with_name("number.txt").read_text())
        NUMBER += int(os.environ["CLEW_TEST_NUMBER"])
        """,
        "config.py",
    )
    project.write(
        ("" if late else "import config\n")
        + "@clew.step\ndef first() -> int:\n    import config\n    return 0\n"
        + "@clew.step\ndef answer(x: int) -> float:\n    import config\n    return config.NUMBER\n"
        + "@clew.pipeline\ndef main() -> None:\n    answer(first())\n"
    )
    assert settled(project) == 11
    if not late:
        assert status(project.run())["answer"] == "cached"
    project.write("2", "number.txt")
    assert settled(project) == 12
    monkeypatch.setenv("CLEW_TEST_NUMBER", "20")
    assert settled(project) == 22


def test_the_clock(project: Project) -> None:
    project.write(
        "import datetime\ndef unused():\n    return datetime.date.today()\n"
        + ONE_STEP.format(body="datetime.datetime.now().year / 1")
        + "@clew.step\ndef calm(x: float) -> float:\n    return x\n"
        + "@clew.pipeline\ndef both() -> None:\n    calm(answer())\n"
    )
    project.run("pipeline.py:both")
    result = project.run("pipeline.py:both")
    assert "the clock (pipeline.py:" in why(result, "answer")
    assert status(result)["calm"] == "cached"


def test_the_clock_at_import(project: Project) -> None:
    project.write("import time\nSTARTED = time.time_ns()\n" + ONE_STEP.format(body="STARTED"))
    first, second = (project.value(project.run(), "answer") for _ in range(2))
    assert first != second


def test_unseen_library_matters_only_to_steps_that_reach_it(project: Project) -> None:
    project.write("import ctypes\ndef low():\n    return ctypes.sizeof(ctypes.c_int) / 4\n", "lowest.py")
    project.write(
        "import lowest\n"
        + ONE_STEP.format(body="lowest.low()")
        + "@clew.step\ndef calm(x: float) -> float:\n    return x\n"
        + "@clew.step(cache=True)\ndef vouched(x: float) -> float:\n    return lowest.low()\n"
        + "@clew.pipeline\ndef both() -> None:\n    vouched(calm(answer()))\n"
    )
    project.run("pipeline.py:both")
    result = project.run("pipeline.py:both")
    assert status(result) == {"answer": "ran", "calm": "cached", "vouched": "cached"}
    assert "ctypes (lowest.py:" in why(result, "answer")


PAIRS: dict[str, tuple[Any, Any]] = {
    "int and float": (1, 1.0),
    "int and bool": (1, True),
    "float and bool": (1.0, True),
    "zero and false": (0, False),
    "number and text": (1, "1"),
    "none and nan": (None, float("nan")),
    "infinities": (float("inf"), float("-inf")),
    "list and tuple": ([1], (1,)),
    "keys": ({1: 2}, {"1": 2}),
    "order": ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
    "bytes and text": (b"x", "eA=="),
    "date and text": (__import__("datetime").date(2024, 1, 1), "2024-01-01"),
    "path and text": (Path("x"), "x"),
    "zeros": (0.0, -0.0),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_parameters_that_look_alike(project: Project, pair: str) -> None:
    project.write("""
        @clew.step
        def answer(x) -> str:
            return repr(x)
        @clew.pipeline
        def main(x=None) -> None:
            answer(x)
        """)
    for expected in PAIRS[pair]:
        value = f'"{expected}"' if isinstance(expected, str) else expected  # text as the command line would give it
        assert project.value(project.run(x=value), "answer") == repr(expected)
        assert status(project.run(x=value)) == {"answer": "cached"}


SALES = """
@clew.step
def answer(sales: pl.DataFrame) -> str:
    return f"{sales.schema} {sales['x'].sum()}"
@clew.pipeline
def main(sales: pl.DataFrame = clew.dataset("sales@latest")) -> None:
    answer(sales)
"""


def test_a_reference_that_moved(project: Project) -> None:
    project.workspace.add("sales", ROWS)
    project.write(SALES)
    assert settled(project).endswith("10.0")
    assert status(project.run()) == {"answer": "cached"}
    project.workspace.add("sales", ROWS.head(2))
    result = project.run()
    assert project.value(result, "answer").endswith("3.0")
    assert why(result, "answer") == "input sales changed"
    assert status(project.run(sales="sales@1")) == {"answer": "cached"}


def test_an_input_of_another_type(project: Project) -> None:
    project.write("""
        @clew.step
        def give(kind: str) -> pl.DataFrame:
            return pl.DataFrame({"x": ["1", "2"]}).cast(getattr(pl, kind))
        @clew.step
        def answer(rows: pl.DataFrame) -> str:
            return str(rows.schema["x"])
        @clew.pipeline
        def main(kind: str = "String") -> None:
            answer(give(kind))
        """)
    for kind in ("String", "Categorical", "Int32", "Int64", "Float32"):
        assert settled(project, kind=kind) == kind
        assert status(project.run(kind=kind)) == {"give": "cached", "answer": "cached"}


def test_equal_content_keeps_what_follows_cached(project: Project) -> None:
    text = """
        @clew.step
        def give() -> pl.DataFrame:
            return pl.DataFrame({"x": [1, 2]})%s
        @clew.step
        def answer(rows: pl.DataFrame) -> int:
            return rows["x"].sum()
        @clew.pipeline
        def main(n: int = 0) -> None:
            answer(give())
        """
    project.write(text % "")
    project.run()
    # The whole folder counts as code for now, so this runs again; what it must not do is keep the old result.
    project.write(text % ".head(1)")
    assert project.value(project.run(), "answer") == 1


def test_a_step_that_can_tell_the_version(project: Project) -> None:
    project.write("""
        @clew.step
        def answer(sales: clew.Snapshot) -> int:
            return sales.version
        @clew.pipeline
        def main(sales: clew.Snapshot = clew.dataset("sales@latest")) -> None:
            answer(sales)
        """)
    for rows, version in ((ROWS, 1), (ROWS.head(1), 2), (ROWS, 3)):
        project.workspace.add("sales", rows)
        assert settled(project) == version


def test_moved_folder_stays_cached(project: Project) -> None:
    project.write("VALUE = 1", "helper.py")
    project.write("import helper\n" + ONE_STEP.format(body="helper.VALUE"))
    project.run()
    project.code = project.code.rename(project.folder / "elsewhere")
    result = project.run()
    assert status(result) == {"answer": "cached"}, why(result, "answer")


def test_declared_files(project: Project) -> None:
    project.write("1", "number.txt")
    project.write("1", "many/one.txt")
    body = "sum(float(p.read_text()) for p in [ROOT / 'number.txt', *sorted((ROOT / 'many').glob('*.txt'))])"
    text = "import pathlib\nROOT = pathlib.Path(__file__).parent\n" + ONE_STEP.format(body=body)
    project.write(text.replace("@clew.step", "@clew.step(files=['number.txt', 'many'])"))
    assert settled(project) == 2
    assert status(project.run()) == {"answer": "cached"}
    project.write("2", "number.txt")
    assert settled(project) == 3
    project.write("1", "many/two.txt")
    assert settled(project) == 4


def test_a_declared_file_that_changes_while_the_step_runs(project: Project) -> None:
    project.write("1", "number.txt")
    project.write("""
        import pathlib
        PATH = pathlib.Path(__file__).with_name("number.txt")
        @clew.step(files=["number.txt"])
        def answer() -> float:
            PATH.write_text("2")
            return float(PATH.read_text())
        @clew.pipeline
        def main() -> None:
            answer()
        """)
    assert "changed while it ran" in why(project.run(), "answer")


def test_another_environment(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(ONE_STEP.format(body="1"))
    project.run()
    assert status(project.run()) == {"answer": "cached"}
    now = environment.current()
    changed = environment.Environment(now.lock.replace("numpy==", "numpy==9"), now.python, now.platform, now.settings)
    monkeypatch.setattr(environment, "current", lambda: changed)
    result = project.run()
    assert "library numpy changed (" in why(result, "answer")


def test_what_is_installed_is_recorded_with_hashes_and_origins() -> None:
    settings = environment.current().settings
    names = {line.partition("==")[0] for line in environment.current().lock.splitlines()}
    assert settings["files"].keys() == names
    assert settings["files"]["numpy"] != settings["files"]["polars"]
    assert settings["origins"]["clew"]["editable"]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (
            {"url": "https://me:secret@host/a.git?token=secret", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            {"url": "https://host/a.git", "commit": "abc"},
        ),
        (
            {"url": "https://host/a.whl", "archive_info": {"hashes": {"sha256": "12"}}},
            {"url": "https://host/a.whl", "hashes": {"sha256": "12"}},
        ),
        ({"url": "file:///home/me/a", "dir_info": {}}, {"url": "file:///home/me/a"}),
        ({}, {}),
    ],
)
def test_origins_hold_no_credentials(said: dict[str, Any], found: dict[str, Any]) -> None:
    assert environment.origin(json.dumps(said)) == found
    assert environment.origin("no JSON") == {}


def test_a_package_installed_from_a_folder_counts_by_its_files() -> None:
    now = environment.current()
    ids = {
        environment.Environment(now.lock, now.python, now.platform, now.settings | settings).content_id
        for settings in ({}, {"unpublished": {"mine": "a"}}, {"unpublished": {"mine": "b"}}, {"cpus": 3})
    }
    assert len(ids) == 3  # the number of cores is noted, and changes nothing


def test_two_folders_with_a_module_of_one_name(project: Project, tmp_path: Path) -> None:
    project.write("VALUE = 1", "helper.py")
    project.write("import helper\n" + ONE_STEP.format(body="helper.VALUE"))
    assert settled(project) == 1
    first, project.code = project.code, tmp_path / "second"
    project.write("VALUE = 2", "helper.py")
    project.write("import helper\n" + ONE_STEP.format(body="helper.VALUE"))
    assert settled(project) == 2
    project.code = first
    assert settled(project) == 1


def test_a_module_that_others_imported_and_that_was_edited_since(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = project.folder / "outside"
    outside.mkdir()
    monkeypatch.syspath_prepend(str(outside))
    (outside / "imported_before.py").write_text("VALUE = 1\n")
    __import__("imported_before")
    (outside / "imported_before.py").write_text("VALUE = 2\n")
    project.write("import imported_before\n" + ONE_STEP.format(body="imported_before.VALUE"))
    assert "start a new process" in why(project.run(), "answer")
    del sys.modules["imported_before"]


def test_extension_modules_count(project: Project) -> None:
    project.write("try:\n    import fast\nexcept ImportError:\n    fast = None\n" + ONE_STEP.format(body="fast or 1"))
    (project.code / "fast.so").write_bytes(b"1")
    project.run()
    (project.code / "fast.so").write_bytes(b"2")
    assert why(project.run(), "answer") == "fast.so changed"


def test_what_only_the_makers_of_a_library_need_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "Needed>=1",
        'optional; extra == "fast"',
        'tester; extra == "test"',
        "writer; python_version > '3' and extra == 'docs-full'",
        'both; extra == "all"',
    ]
    monkeypatch.setattr("importlib.metadata.requires", lambda _name: lines)
    environment._required.cache_clear()
    assert environment._required("some-library") == ("needed", "optional", "both")
    environment._required.cache_clear()
