"""Runs that go wrong: what is said, what is kept, and how the next run goes on."""

import json
import math
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa
from tests.projects import ROWS, Project, status, why

from clew import pipelines
from clew.catalog.commands import EndRun
from clew.catalog.tables import builds
from clew.errors import ClewError, NotFoundError, StepError, UsageError
from clew.pipelines import history
from clew.thread.compared import compare_runs
from clew.thread.doctor import examine

THREE = """
@clew.step
def first() -> int:
    return 1
@clew.step
def second(x: int) -> int:
    {body}
@clew.step
def third(x: int) -> int:
    return x + 1
@clew.pipeline
def main(trees: int = 3, name: str = "a", on: bool = False, rate: float = 0.5, sizes: list = [1]) -> None:
    third(second(first()))
"""


def latest(project: Project) -> dict[str, Any]:
    return history.show(project.workspace, "latest")


def test_a_step_that_raises(project: Project) -> None:
    project.write("def deep():\n    raise KeyError('no such thing')\n", "helper.py")
    project.write("import helper\n" + THREE.format(body="print('said before'); return helper.deep()"))
    with pytest.raises(StepError) as raised:
        project.run()
    lines = raised.value.message.splitlines()
    assert lines[0].startswith("Traceback")
    assert "pipeline.py" in lines[1]  # the user's own frame comes first
    assert "src/clew" not in raised.value.message
    assert "raise KeyError('no such thing')" in raised.value.message
    assert isinstance(raised.value.__cause__, KeyError)
    run = latest(project)
    assert run["status"] == "failed"
    assert [(one["name"], one["status"]) for one in run["steps"]] == [
        ("first", "ran"),
        ("second", "failed"),
        ("third", "skipped"),
    ]
    log = project.workspace.catalog.rows(sa.select(builds.steps.c.log).where(builds.steps.c.state == "failed"))[0][0]
    assert project.workspace.objects.get(log) == b"said before\n"
    project.write("import helper\n" + THREE.format(body="return x + helper.deep()"))
    project.write("def deep():\n    return 5\n", "helper.py")
    assert project.value(project.run(), "third") == 7


def test_the_next_run_resumes(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "import os\n    if os.environ.get('CLEW_TEST_FAIL'):\n        raise OSError\n    return x"
    project.write(THREE.format(body=body).replace("@clew.step\ndef second", "@clew.step(cache=False)\ndef second"))
    monkeypatch.setenv("CLEW_TEST_FAIL", "1")
    with pytest.raises(StepError):
        project.run()
    monkeypatch.delenv("CLEW_TEST_FAIL")
    assert status(project.run()) == {"first": "cached", "second": "ran", "third": "ran"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise ValueError('\\0 \\ud800')", "ValueError"),
        ("return object()", "a step gave a object, which can't be stored"),
        ("return lambda: 1", "which can't be stored"),
        ("return {'x': object()}", "which can't be stored"),
        ("return (x for x in 'ab')", "which can't be stored"),
        ("import numpy as np; return np.array([object()])", "an array of Python objects"),
        ("import numpy as np; return np.ma.masked_array([1], [True])", "can't be stored without losing"),
        ("import pandas as pd; return pd.DataFrame({'x': [1]}, index=pd.Index([5], name='id'))", "would be lost"),
        ("return 'text'", "doesn't fit the hint"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("return second(second)", "RecursionError"),
    ],
)
def test_what_cannot_be_kept_fails_with_words(project: Project, body: str, words: str) -> None:
    project.write(THREE.format(body=body))
    with pytest.raises(ClewError) as raised:
        project.run()
    assert words in raised.value.message
    assert latest(project)["status"] == "failed"


def test_wrong_words_are_refused_before_anything_runs(project: Project) -> None:
    project.write(THREE.format(body="return x"))
    for settings, words in (
        ({"tree": 1}, "has no parameter 'tree'; it has: trees, name"),
        ({"trees": "many"}, "trees='many' doesn't fit: its default is 3 (int)"),
        ({"trees": "2.5"}, "doesn't fit"),
        ({"on": "perhaps"}, "doesn't fit"),
        ({"rate": "fast"}, "doesn't fit"),
        ({"sizes": "1"}, "doesn't fit"),
        ({"name": object()}, "can't be recorded"),
    ):
        with pytest.raises(UsageError, match=words.replace("(", r"\(").replace(")", r"\)")):
            project.run(**settings)
    assert history.list_runs(project.workspace) == []
    assert status(project.run(trees="5", name="5", on="true", rate="2", sizes="[2]"))["third"] == "ran"
    assert latest(project)["parameters"] == {"trees": 5, "name": "5", "on": True, "rate": 2.0, "sizes": [2]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "has no pipeline"),
        ("@clew.pipeline\ndef a(): pass\n@clew.pipeline\ndef b(): pass\n", "several pipelines: a, b"),
        ("def broken(:\n", "SyntaxError"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("raise SystemExit", "raised while it was imported"),
        ("@clew.pipeline\ndef a(x): pass", "has no default"),
        ("@clew.pipeline\ndef a(): pass", "calls no step"),
        ("@clew.step\ndef s(x: 'Nope'): pass\n@clew.pipeline\ndef a(): s(1)", "a type hint can't be resolved"),
        ("@clew.step\ndef s(x): pass\n@clew.pipeline\ndef a(): s()", "is called wrongly"),
        ("@clew.step\ndef s(*x): pass\n@clew.pipeline\ndef a(): s(1)", "can't be recorded by name"),
        ("@clew.step\ndef s(x=len): pass\n@clew.pipeline\ndef a(): s()", "can't be part of a key"),
        ("@clew.step\ndef s(): pass\n@clew.pipeline\ndef a():\n    if s(): pass", "isn't known while"),
        ("@clew.step\ndef s(): pass\n@clew.pipeline\ndef a():\n    x, y = s()", "gives one value"),
        ("@clew.step(files=['nope.txt'])\ndef s(): pass\n@clew.pipeline\ndef a(): s()", "isn't there"),
        ("@clew.step(files='nope.txt')\ndef s(): pass\n@clew.pipeline\ndef a(): s()", "is one text"),
        ("@clew.step\ndef s(x): pass\n@clew.pipeline\ndef a(d=clew.dataset('nope@1')): s(d)", "nope"),
        ("@clew.step\ndef s(x): pass\n@clew.pipeline\ndef a(d=clew.dataset('nope@1')): s({'d': d})", "by itself|nope"),
        ("@clew.step\ndef s() -> tuple[int, int]: return 1\n@clew.pipeline\ndef a(): s()", "gave 1 values"),
    ],
)
def test_pipelines_that_are_none(project: Project, text: str, words: str) -> None:
    project.write(text)
    with pytest.raises(ClewError) as raised:
        project.run()
    assert any(word in str(raised.value) for word in words.split("|")), str(raised.value)
    for run in history.list_runs(project.workspace):
        assert run["state"] == "failed"


def test_a_failing_declaration_is_the_steps_own_failure(project: Project) -> None:
    project.write("@clew.step(files=['nope.txt'])\ndef s(): pass\n@clew.pipeline\ndef a(): s()")
    with pytest.raises(NotFoundError):
        project.run()
    assert [(one["name"], one["status"]) for one in latest(project)["steps"]] == [("s", "failed")]


def test_names_of_files_that_hide_others(project: Project) -> None:
    for name in ("json.py", "clew.py"):
        path = project.code / name
        path.write_text("x = 1\n")
        with pytest.raises(UsageError, match="would take the place of"):
            pipelines.load(str(path))
        path.unlink()
    assert json.loads("1") == 1
    for target in ("none.py", "none.txt", "pipeline.py:other"):
        project.write(THREE.format(body="return x"))
        (project.code / "none.txt").write_text("")
        with pytest.raises((NotFoundError, UsageError)):
            pipelines.load(str(project.code / target))


def test_one_pipeline_under_two_names(project: Project) -> None:
    project.write(THREE.format(body="return x") + "again = main\n")
    project.run()
    project.write("from pipeline import main as base\n@clew.pipeline\ndef own():\n    base.function()\n", "other.py")
    assert list(status(project.run("other.py"))) == ["first", "second", "third"]


@pytest.mark.parametrize("harm", ["damaged", "deleted"])
def test_a_harmed_cache_entry_is_made_again(project: Project, harm: str) -> None:
    project.write("""
        @clew.step
        def answer() -> pl.DataFrame:
            return pl.DataFrame({"x": [1, 2]})
        @clew.pipeline
        def main() -> None:
            answer()
        """)
    run = project.run().run
    digest = project.workspace.catalog.rows(sa.select(builds.artifacts.c.digest))[0][0]
    path = project.workspace.objects.open_path(digest)
    if harm == "deleted":
        project.workspace.objects.delete(digest)
    else:
        path.chmod(0o644)
        path.write_bytes(b"x" * path.stat().st_size)
    result = project.run()
    assert status(result) == {"answer": "ran"}
    assert "it runs again" in result.notes[0]
    assert project.value(run, "answer").equals(project.value(result, "answer"))
    assert status(project.run()) == {"answer": "cached"}
    assert all(finding["ok"] for finding in examine(project.workspace))


def test_values_come_as_they_were_given(project: Project) -> None:
    project.write("""
        import datetime, dataclasses, math
        import numpy as np
        @dataclasses.dataclass
        class Thing:
            when: datetime.date
            odd: float
        @clew.step
        def thing() -> Thing:
            return Thing(datetime.date(2024, 1, 1), math.inf)
        @clew.step
        def metrics() -> dict[str, float]:
            return {"mae": math.nan, "b": np.float64(2.5)}
        @clew.step
        def numbers() -> dict[int, bytes]:
            return {1: b"x"}
        @clew.step
        def array() -> np.ndarray:
            return np.arange(3)
        @clew.step
        def check(thing, metrics, numbers, array) -> str:
            array += 1
            return f"{thing} {metrics} {numbers} {array}"
        @clew.pipeline
        def main() -> None:
            check(thing(), metrics(), numbers(), array())
        """)
    for _ in range(2):
        assert project.value(project.run(), "check") == (
            "Thing(when=datetime.date(2024, 1, 1), odd=inf) {'b': 2.5, 'mae': nan} {1: b'x'} [1 2 3]"
        )
    given = project.value(project.run(), "array")
    assert isinstance(given, np.ndarray)
    assert given.tolist() == [0, 1, 2]  # what the step changed was its own copy
    assert math.isnan(project.value(project.run(), "metrics")["mae"])


def test_a_plain_call_records_nothing(project: Project) -> None:
    project.write(THREE.format(body="return x * 10"))
    pipeline, _ = pipelines.load(str(project.code / "pipeline.py"))
    pipeline()
    assert history.list_runs(project.workspace) == []


def test_history(project: Project) -> None:
    project.workspace.add("sales", ROWS)
    project.write("""
        @clew.step
        def answer(sales: pl.DataFrame, k: int) -> float:
            return sales["x"].sum() * k
        @clew.pipeline
        def main(sales: pl.DataFrame = clew.dataset("sales@latest"), k: int = 1) -> None:
            answer(sales, k)
        """)
    first = project.run()
    project.workspace.add("sales", ROWS.head(1))
    second = project.run(k=2)
    assert [one["run"] for one in history.list_runs(project.workspace)] == [second.run, first.run]
    shown = history.show(project.workspace, first.run[-8:])
    assert shown["inputs"][0]["snapshot"] == "sales@1"
    assert shown["parameters"] == {"sales": "sales@latest", "k": 1}
    compared = compare_runs(project.workspace, first.run, second.run)
    assert compared["data"] == {"sales": ["sales@1", "sales@2"]}
    assert compared["parameters"] == {"k": [1, 2]}
    assert compared["code"] is None
    assert (compared["data_diff"]["sales"]["removed"], compared["data_diff"]["sales"]["added"]) == (3, 0)
    assert compared["steps"] == [
        {"step": "answer", "why": ["input sales changed", "parameter k changed (1 → 2)"]},
    ]
    explained = history.explain(project.workspace, "latest", "answer")
    assert explained["why"] == "input sales changed; parameter k changed (1 → 2)"
    assert explained["key"].startswith("k3:")
    for wrong in ("nope", "nope12", "0" * 36, "x" * 36):
        with pytest.raises((NotFoundError, UsageError)):
            history.show(project.workspace, wrong)
    with pytest.raises(NotFoundError, match="it has: answer"):
        history.explain(project.workspace, "latest", "other")


def test_a_metric_that_is_no_number_is_shown(project: Project) -> None:
    pipeline, path = pipelines.load(str(project.write(THREE.format(body="return x"))))
    found: list[str] = []

    def observe(name: str, state: str, why: str) -> None:
        if not found and state == "ran":
            found.append(name)
            ended = EndRun(run_id=latest(project)["run"], state="done", metrics={"loss": math.nan, "mae": 1.0})
            project.workspace.catalog.execute(ended)

    pipelines.run(project.workspace, pipeline, path, observer=observe)
    assert latest(project)["metrics"] == {"loss": None, "mae": 1.0}


FLAKY = """
import os
import pathlib
TRIES = pathlib.Path(__file__).with_name("tries")
@clew.step(retries={retries}, wait=0.01, cache=True)
def flaky(rows: list) -> int:
    rows.append(1)
    with TRIES.open("a") as file:
        file.write("x")
    if TRIES.stat().st_size < 3:
        print("not yet")
        raise ConnectionError("the warehouse is asleep")
    return len(rows)
@clew.pipeline
def main() -> None:
    flaky([])
"""


def test_a_step_is_tried_again(project: Project) -> None:
    project.write(FLAKY.format(retries=1))
    with pytest.raises(StepError, match="the warehouse is asleep"):
        project.run()
    assert (project.code / "tries").read_text() == "xx"
    (project.code / "tries").unlink()
    project.write(FLAKY.format(retries=2))
    seen: list[str] = []
    pipeline, path = pipelines.load(str(project.code / "pipeline.py"))
    done = pipelines.run(project.workspace, pipeline, path, observer=lambda _name, _state, why: seen.append(why))
    assert "it was tried 3 times" in why(done, "flaky")
    assert [one[:39] for one in seen[1:3]] == [f"attempt {n} raised ConnectionError; again" for n in (1, 2)]
    row = project.workspace.catalog.first(sa.select(builds.steps.c.log).where(builds.steps.c.state == "ran"))
    assert row is not None
    log = project.workspace.objects.get(row.log).decode()
    assert log.count("not yet") == log.count("ConnectionError: the warehouse is asleep") == 2


MAPPED = """
@clew.step
def rows() -> pl.DataFrame:
    return pl.DataFrame({{"a": [1.0, 2.0]}})
@clew.step
def train(rows: pl.DataFrame, depth: int, rate: float = 0.5) -> float:
    return rows["a"].sum() * depth + rate
@clew.step
def best(scores: list[float]) -> float:
    return max(scores)
@clew.pipeline
def main(depths: list = [4, 6, 8]) -> None:
    best({call})
"""


def test_a_step_is_mapped(project: Project) -> None:
    project.write(MAPPED.format(call="train.map(rows(), depth=depths)"))
    done = project.run()
    assert project.value(done, "best") == 24.5
    assert list(status(done)) == ["rows", "train", "train-2", "train-3", "best"]
    more = project.run(depths=[4, 6, 8, 10])
    assert status(more) == {
        "rows": "cached", "train": "cached", "train-2": "cached", "train-3": "cached", "train-4": "ran", "best": "ran"
    }  # fmt: skip
    project.write(MAPPED.format(call="train.map(rows(), depth=range(2), rate=(0.0, 1.0))"))
    assert project.value(project.run(), "best") == 4.0
    pipeline, _ = pipelines.load(str(project.code / "pipeline.py"))
    pipeline()  # a plain call: the functions themselves


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("train.map(rows(), depth=3)", "is mapped over nothing"),
        ("train.map(rows(), depth=[1], rate=[1.0, 2.0])", "depth has 1, rate has 2"),
        ("train.map(rows(), height=[1])", "is mapped wrongly"),
        ("train.map(rows(), depth=['a'])", "depth='a' is str"),
    ],
)
def test_maps_that_are_none(project: Project, call: str, words: str) -> None:
    project.write(MAPPED.format(call=call))
    with pytest.raises(UsageError, match=words):
        project.run()


UNFIT = """
import numpy as np
import pandas as pd
@clew.step
def count() -> int:
    return 1
@clew.step
def table() -> pl.DataFrame:
    return pl.DataFrame({{"a": [1]}})
@clew.step
def take({parameter}) -> int:
    return 1
@clew.pipeline
def main() -> None:
    take({argument})
"""


@pytest.mark.parametrize(
    ("parameter", "argument", "words"),
    [
        ("x: pl.DataFrame", "count()", "count gives int, and 'x' of step take (pipeline.py:"),
        ("x: int", "table()", "table gives DataFrame"),
        ("x: clew.Model", "table()", "takes Model"),
        ("x: np.ndarray", "table()", "takes ndarray"),
        ("x: str", "count()", "takes str"),
        ("x: int", "'six'", "x='six' is str"),
        ("x: int | None", "1.5", "x=1.5 is float"),
        ("x: list[int]", "count(), 3", "too many positional arguments"),
        ("x: int, y: int", "count()", "missing a required argument: 'y'"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_runs(
    project: Project, parameter: str, argument: str, words: str
) -> None:
    place = project.write(UNFIT.format(parameter=parameter, argument=argument))
    with pytest.raises(UsageError) as said:
        project.run()
    assert words in said.value.message
    assert str(place) in said.value.message or "pipeline.py:" in said.value.message
    assert history.list_runs(project.workspace) == []


@pytest.mark.parametrize(
    ("parameter", "argument"),
    [
        ("x: float", "count()"), ("x: int | str", "count()"), ("x", "table()"), ("x: object", "table()"),
        ("x: pd.DataFrame", "table()"), ("x: pl.LazyFrame", "table()"), ("x: int = None", ""), ("x: float", "1"),
    ],
)  # fmt: skip
def test_what_fits_runs(project: Project, parameter: str, argument: str) -> None:
    project.write(UNFIT.format(parameter=parameter, argument=argument))
    assert status(project.run())["take"] == "ran"


FOUR = """
@clew.step
def one(x: int) -> int:
    return x + 1
@clew.step(cache=False)
def last(x: int) -> int:
    {body}
@clew.pipeline
def main() -> None:
    last(one(one(one(0))))
"""
ENDS = {"return x": "done", "raise ValueError(x)": "failed", "raise KeyboardInterrupt": "cancelled"}


@pytest.mark.parametrize("body", ENDS)
def test_what_came_from_the_cache_is_journalled_however_the_run_ends(project: Project, body: str) -> None:
    project.write(FOUR.format(body="return x"))
    project.run()
    project.write(FOUR.format(body=body))
    with suppress(StepError, KeyboardInterrupt):
        project.run()
    shown = latest(project)
    assert shown["status"] == ENDS[body]
    assert [step["status"] for step in shown["steps"]][:3] == ["cached"] * 3


def test_a_step_is_journalled_before_the_next_one_runs(project: Project) -> None:
    project.write(FOUR.format(body="return x"))
    project.run()
    seen: list[int] = []

    def observe(name: str, state: str, _why: str) -> None:
        if (name, state) == ("last", "running"):
            seen.append(len(latest(project)["steps"]))

    pipeline, path = pipelines.load(str(project.code / "pipeline.py"))
    pipelines.run(project.workspace, pipeline, path, observer=observe)
    assert seen == [3]


def test_ctrl_c_leaves_the_run_cancelled(project: Project) -> None:
    project.write(THREE.format(body="import time; print(1); time.sleep(60)"))
    child = project.start("run", "pipeline.py")
    end = time.monotonic() + 60
    while not history.list_runs(project.workspace) or len(latest(project)["steps"]) < 1:
        assert time.monotonic() < end
        time.sleep(0.02)
    time.sleep(0.3)
    child.kill(signal.SIGINT)
    assert child.wait() == 130
    assert latest(project)["status"] == "cancelled"
    assert [one["status"] for one in latest(project)["steps"]] == ["ran"]


def test_disk_full_in_the_middle_of_a_step(project: Project) -> None:
    project.write("""
        import resource
        import numpy as np
        @clew.step
        def first() -> int:
            return 1
        @clew.step
        def second(x: int, full: bool) -> np.ndarray:
            return np.zeros(2_000_000)
        @clew.pipeline
        def main(full: bool = False) -> None:
            second(first(), full)
        """)
    limit = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (8_000_000, 8_000_000))"
    child = project.start("run", "pipeline.py", before=limit)
    assert child.wait() == 5, child.stderr
    assert "File too large" in child.stderr
    assert "mend:" in child.stderr
    assert latest(project)["status"] == "failed"
    assert status(project.run()) == {"first": "cached", "second": "ran"}
    assert all(finding["ok"] for finding in examine(project.workspace))


def test_tables_come_as_the_hint_asks(project: Project) -> None:
    project.write("""
        import pandas as pd, pyarrow as pa
        @clew.step
        def rows() -> pd.DataFrame:
            return pd.DataFrame({"x": [1, 2]})
        @clew.step
        def kinds(
            a: pl.DataFrame, b: pl.LazyFrame, c: pa.Table, d: pd.DataFrame, e, f: list[pl.LazyFrame]
        ) -> list[str]:
            return [type(one).__name__ for one in (a, b, c, d, e, *f)]
        @clew.pipeline
        def main() -> None:
            r = rows()
            kinds(r, r, r, r, r, [r, r])
        """)
    assert project.value(project.run(), "kinds") == [
        *("DataFrame", "LazyFrame", "Table", "DataFrame", "DataFrame", "LazyFrame", "LazyFrame")
    ]
    assert isinstance(project.value(project.run(), "rows"), pl.DataFrame)
    assert why(project.run(), "kinds") == "nothing that it depends on changed"
    assert Path(project.code).is_dir()
