"""The shapes of pipelines: mapped over what steps give, branches, pipelines in pipelines; and what is refused."""

from typing import Any

import pytest
from tests.projects import Project, status, why

from clew import pipelines
from clew.errors import StepError, UsageError
from clew.pipelines.executors.processes import close_pools
from clew.pipelines.plan import plan_of

MAPPED = """
@clew.step
def plan(most: int) -> list[int]:
    return list(range(most))
@clew.step
def square(x: int, plus: int = 0) -> int:
    return x * x + plus
@clew.step
def pair(x: int) -> tuple[int, str]:
    return x, str(x)
@clew.step
def total(xs: list[int]) -> int:
    return sum(xs)
@clew.step
def joined(xs: list[str]) -> str:
    return "".join(xs)
@clew.pipeline
def main(most: int = 4) -> None:
    squares = square.map(clew.each(plan(most)), plus=1)
    total(square.map(clew.each(squares)))
    numbers, texts = pair.map(clew.each(plan(most)))
    joined(texts)
"""


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_a_step_is_mapped_over_what_another_gives(project: Project, executor: Any) -> None:
    project.write(MAPPED)
    done = project.run(executor=executor)
    assert project.value(done, "total") == sum((x * x + 1) ** 2 for x in range(4))
    assert project.value(done, "joined") == "0123"
    assert len(done.steps) == 2 + 4 + 4 + 4 + 2
    more = project.run(executor=executor, most=5)
    assert [name for name, found in status(more).items() if found == "ran"] == [
        "plan", "square-5", "square-2-5", "total", "plan-2", "pair-5", "joined"
    ] or sum(found == "ran" for found in status(more).values()) == 6  # fmt: skip
    none = project.run(executor=executor, most=0)
    assert project.value(none, "total") == 0
    assert project.value(none, "joined") == ""
    assert sorted(set(status(none))) == ["joined", "plan", "plan-2", "total"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("square.map(clew.each(total([1])))", "total gives a int, which is no list"),
        ("square.map(clew.each(plan(2)), plus=[1, 2])", "mapped over plus, a list that is known"),
        ("square.map(clew.each(plan(2)), plus=clew.each(plan(3)))", "lists of different lengths: x has 2, plus has 3"),
        ("[x for x in plan(2)]", "clew.each"),
        ("square(clew.each(plan(2)).nothing)", "nothing"),
    ],
)
def test_what_can_not_be_mapped_is_said(project: Project, call: str, says: str) -> None:
    project.write(MAPPED.replace("    squares = square", f"    {call}\n    squares = square"))
    with pytest.raises(Exception, match=says):
        project.run()


def test_a_pipeline_that_maps_is_still_a_function(project: Project) -> None:
    project.write(MAPPED)
    pipeline, _ = pipelines.load(str(project.code / "pipeline.py"))
    pipeline()
    assert [entry["calls"] for entry in plan_of(pipeline.wire({"most": 1}))] == [2, None, 1, None, 1]


BRANCHES = """
@clew.step
def score(x: float) -> float:
    return x
@clew.step
def good(score: float) -> bool:
    return {good}
@clew.step
def great(score: float) -> bool:
    return score > 0.9
@clew.step
def publish(score: float, how: str) -> str:
    return how
@clew.step
def tell(score: float) -> str:
    return "told"
@clew.step
def last(what: str) -> str:
    return f"last: {{what}}"
@clew.step
def only_if_published(what: str) -> str:
    return what
@clew.pipeline
def main(x: float = 0.5) -> str:
    found = score(x)
    done = clew.when(
        good(found),
        lambda: clew.when(great(found), lambda: publish(found, "widely"), otherwise=lambda: publish(found, "a bit")),
        otherwise=lambda: tell(found),
    )
    maybe = clew.when(good(found), lambda: publish(found, "once more"))
    only_if_published(maybe)
    return last(done)
"""


@pytest.mark.parametrize("executor", ["inline", "processes"])
@pytest.mark.parametrize(("x", "gives", "ran"), [(0.95, "widely", 7), (0.7, "a bit", 7), (0.2, "told", 4)])
def test_a_branch_runs_if_a_step_says_so(project: Project, executor: Any, x: float, gives: str, ran: int) -> None:
    project.write(BRANCHES.format(good="score > 0.5"))
    done = project.run(executor=executor, x=x)
    assert project.value(done, "last") == f"last: {gives}"
    states = list(status(done).values())
    assert len(states) == 10
    assert states.count("skipped") == 10 - states.count("ran") - states.count("cached")
    if gives == "told":
        assert why(done, "publish") == "good gave False"
        assert why(done, "only_if_published").endswith("was skipped")
    else:
        assert why(done, "tell") == "good gave True"
    pipeline, _ = pipelines.load(str(project.code / "pipeline.py"))
    assert pipeline(x) == f"last: {gives}"  # the same, as a plain function


def test_what_decides_must_be_true_or_false(project: Project) -> None:
    project.write(BRANCHES.format(good="1").replace("def good(score: float) -> bool", "def good(score: float)"))
    with pytest.raises(StepError, match="good decides which branch runs, and gave 1"):
        project.run()
    project.write(BRANCHES.format(good="1").replace("def good(score: float) -> bool", "def good(score: float) -> int"))
    with pytest.raises(UsageError, match="good gives a int"):
        project.run()


CYCLE = """
@clew.step
def one(x: int) -> int:
    return x
@clew.pipeline
def inner(x: int = 1) -> int:
    return {inner}
@clew.pipeline
def main(x: int = 1) -> None:
    one(inner(x))
"""


def test_pipelines_in_pipelines_and_cycles(project: Project) -> None:
    project.write(CYCLE.format(inner="one(x)"))
    pipeline, path = pipelines.load(str(project.code / "pipeline.py") + ":main")
    done = pipelines.run(project.workspace, pipeline, path, executor="inline")
    assert status(done) == {"one": "ran", "one-2": "ran"}
    project.write(CYCLE.format(inner="main(x)"))
    pipeline, path = pipelines.load(str(project.code / "pipeline.py") + ":main")
    with pytest.raises(UsageError, match=r"pipeline.py:\d+: pipelines call each other in a cycle: main → inner → main"):
        pipelines.run(project.workspace, pipeline, path)


def test_a_handle_of_another_pipeline_is_refused(project: Project) -> None:
    project.write(
        CYCLE.format(inner="LEFT.append(one(x)) or LEFT[0]").replace(
            "@clew.pipeline\ndef inner", "LEFT = []\n@clew.pipeline\ndef inner"
        )
    )
    pipeline, path = pipelines.load(str(project.code / "pipeline.py") + ":main")
    pipelines.run(project.workspace, pipeline, path, executor="inline")
    with pytest.raises(UsageError, match=r"pipeline.py:\d+: what one gives belongs to another pipeline"):
        pipelines.run(project.workspace, pipeline, path, executor="inline")


NESTED = """
import numpy as np
@clew.step
def rows(n: int) -> list[list[float]]:
    return [[1.0, 2.0], [3.0]]
@clew.step
def each_row(row: list[float]) -> list[float]:
    return row
@clew.step
def one(x: float) -> float:
    return x * 2
@clew.step
def flat(lists: list[list[float]]) -> list[float]:
    return [x for row in lists for x in row]
@clew.step
def loose(n: int):
    return ["text"]
@clew.pipeline
def main(n: int = 1) -> None:
    lists = each_row.map(clew.each(rows(n)))
    {wired}
"""


@pytest.mark.parametrize(
    ("wired", "says"),
    [
        (
            "one.map(clew.each(lists))",
            r"each of what each_row gives is list\[float\], and 'x' of step one",
        ),
        ("one(rows(n))", r"rows-2 gives list\[list\[float\]\], and 'x' of step one .* takes float"),
        ("one.map(clew.each(rows(n)))", r"each of what rows-2 gives is list\[float\]"),
        ("one.map(clew.each(loose(n)))", "x='text' is str, and step one .* takes float"),
    ],
)
def test_elements_that_do_not_fit(project: Project, wired: str, says: str) -> None:
    project.write(NESTED.format(wired=wired))
    with pytest.raises(UsageError, match=says):
        project.run()


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_a_map_over_what_a_map_gave(project: Project, executor: Any) -> None:
    project.write(NESTED.format(wired="one.map(clew.each(flat(lists)))"))
    done = project.run(executor=executor)
    assert [project.value(done, name) for name in ("one", "one-2", "one-3")] == [2.0, 4.0, 6.0]
    close_pools()
