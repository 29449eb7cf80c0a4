"""Bisection of real builds: planted faults, each found, and what is harmless never accused."""

import json
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from tests.models.houses import HELPERS, PIPELINE, sales
from tests.projects import Project, made

from clew import models
from clew.catalog.tables import builds, data
from clew.errors import RefusedError, UsageError
from clew.models import environments
from clew.models.bisection.bisect import bisect, kept
from clew.models.bisection.report import describe
from clew.pipelines.history import list_runs

SALES = sales()


@pytest.fixture
def houses(tmp_path: Path) -> Iterator[Project]:
    """A project with price@1 registered."""
    for project in made(tmp_path / "project"):
        project.write(HELPERS, "houses.py")
        project.write(PIPELINE)
        project.workspace.add("sales", SALES, key=["id"])
        assert project.run().models == ["price@1"]
        yield project


def _searched(project: Project, **options: Any) -> dict[str, Any]:
    good, bad = (models.find(project.workspace, f"price@{version}") for version in (1, 2))
    facts: dict[str, Any] = json.loads(json.dumps(bisect(good, bad, **options).facts()))
    return facts


def _smallest(facts: dict[str, Any]) -> list[str]:
    return [one["says"] for one in facts["found"]["smallest"]]


def test_a_wrong_unit_in_a_feature(houses: Project) -> None:
    houses.workspace.add("sales", SALES.with_columns(pl.col("area") * 10.7639))
    houses.run()
    facts = _searched(houses)
    assert facts["verdict"] == "found"
    [said] = _smallest(facts)
    assert said.endswith("area of sales differs in 1,500 of 1,500 rows: it is 10.76 times what it was")
    assert facts["judged_on"] == "214 test rows of price@1"
    assert len(facts["builds"]) <= 5
    # What it found is kept with its run, and its builds register nothing and stand under it.
    assert kept(houses.workspace, facts["run"])["says"] == facts["says"]  # type: ignore[index]
    assert [one["name"] for one in list_runs(houses.workspace)] == ["bisect price@1 price@2", "price", "price"]
    assert {one.reference for one in models.all_versions(houses.workspace)} == {"price@1", "price@2"}
    assert len(houses.workspace.catalog.rows(sa.select(data.datasets))) == 1
    assert "10.76 times" in describe(facts)


@pytest.mark.slow
def test_labels_shifted_in_one_district_beside_an_honest_month_of_new_rows(houses: Project) -> None:
    new = sales(200, seed=9).with_columns(pl.col("id") + 5000, pl.col("sold_on") + pl.duration(days=365))
    shifted = pl.when(pl.col("district") == "north").then(pl.col("price") - 60_000).otherwise("price")
    houses.workspace.add("sales", pl.concat([SALES.with_columns(price=shifted), new]))
    houses.run()
    facts = _searched(houses)
    inside = next(iter(facts["found"]["inside"].values()))
    [guilty] = inside["smallest"]
    assert guilty["column"] == "price"
    assert "where district = north" in guilty["says"]
    assert "60,000 less" in guilty["says"]
    assert [one["matters"] for one in inside["effects"]] == [True, False]


@pytest.mark.slow
def test_a_slice_of_the_rows_that_came_is_told_from_the_honest_others(houses: Project) -> None:
    new = sales(600, seed=9).with_columns(pl.col("id") + 5000)
    wrong = pl.when(pl.col("district") == "west").then(pl.col("price") * 0.2).otherwise("price")
    houses.workspace.add("sales", pl.concat([SALES, new.with_columns(price=wrong)]))
    houses.run()
    facts = _searched(houses)
    inside = next(iter(facts["found"]["inside"].values()))
    [guilty] = inside["smallest"]
    assert "district = west, where the good version is off by" in guilty["says"]
    assert guilty["rows"] == new.filter(pl.col("district") == "west").height


@pytest.mark.slow
def test_a_month_of_rows_twenty_times_over(houses: Project) -> None:
    """Copies are no lie, only out of proportion: a month of odd prices that counted once now counts for half."""
    month = (pl.col("sold_on").dt.month() == 7) & (pl.col("sold_on").dt.day() < 10)
    odd = SALES.with_columns(price=pl.when(month).then(pl.col("price") * 1.6).otherwise("price"))
    houses.workspace.add("sales", odd)
    assert houses.run().models == ["price@2"]
    july = odd.filter(month)
    houses.workspace.add(
        "sales", pl.concat([odd, *(july.with_columns(pl.col("id") + 10_000 * n) for n in range(1, 21))])
    )
    assert houses.run().models == ["price@3"]
    good, bad = (models.find(houses.workspace, f"price@{version}") for version in (2, 3))
    facts = bisect(good, bad).facts()
    assert facts["verdict"] == "found"
    [said] = [one["says"] for one in facts["found"]["smallest"]]
    assert f"{20 * july.height:,} rows came to sales, such as sold_on in 1995-07" in said


def test_a_bad_parameter_beside_a_harmless_one(houses: Project) -> None:
    houses.run(ridge=3000.0, test_share=0.3)
    facts = _searched(houses)
    assert _smallest(facts) == ["ridge 1e-06 → 3000.0"]
    harmless = next(one for one in facts["found"]["effects"] if "test_share" in one["says"])
    assert harmless["adding"] == harmless["removing"] == [0, 0, 0]


def test_a_harmless_refactoring_beside_a_harmful_edit(houses: Project) -> None:
    houses.write(HELPERS.replace('pl.col("price") > 0', '~(pl.col("price") <= 0)'), "houses.py")
    houses.write(PIPELINE.replace('rows["price"].to_numpy()\n    kept', 'rows["price"].to_numpy() * 0.9\n    kept'))
    houses.run()
    facts = _searched(houses)
    [guilty] = facts["found"]["smallest"]
    assert guilty["says"] == "code of train: pipeline.train in pipeline.py"
    assert '+    x, y = houses.matrix(rows), rows["price"].to_numpy() * 0.9' in guilty["diff"]
    harmless = next(one for one in facts["found"]["effects"] if "houses.usable" in one["says"])
    assert harmless["adding"] == [0, 0, 0]


def test_two_changes_that_only_hurt_together(houses: Project) -> None:
    houses.write(HELPERS.replace('rows["area"].to_numpy()]', 'rows["area"].to_numpy() / 1000]'), "houses.py")
    houses.run(ridge=0.5)
    facts = _searched(houses)
    assert sorted(_smallest(facts)) == ["code of train: houses.matrix in houses.py", "ridge 1e-06 → 0.5"]
    [both] = facts["found"]["interactions"]
    assert both["effect"][1] > 0


def test_a_library_that_was_upgraded(houses: Project, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for version, factor in (("1.0", 1.0), ("2.0", 0.8)):
        _wheel(wheels, version, f"def scaled(values):\n    return values * {factor}\n")
    houses.write(
        PIPELINE.replace("import houses\n", "import houses\nimport acme_scale\n").replace(
            'rows["price"].to_numpy()\n    kept', 'acme_scale.scaled(rows["price"].to_numpy())\n    kept'
        )
    )
    for version in ("1.0", "2.0"):
        python = environments.make_over({"acme-scale": version}, tmp_path / version, wheels=wheels)
        command = [
            python,
            "-m",
            "clew.cli",
            "run",
            "pipeline.py",
            "--executor",
            "inline",
            "--workspace",
            str(houses.folder),
        ]
        done = subprocess.run(command, cwd=houses.code, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    good, bad = (models.find(houses.workspace, f"price@{version}") for version in (2, 3))
    facts = bisect(good, bad, wheels=wheels).facts()
    assert [one["says"] for one in facts["found"]["smallest"]] == ["acme-scale 1.0 → 2.0"]


def _wheel(folder: Path, version: str, code: str) -> None:
    info = f"acme_scale-{version}.dist-info"
    with zipfile.ZipFile(folder / f"acme_scale-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr("acme_scale.py", code)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: acme-scale\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", f"acme_scale.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def test_nothing_that_matters_differs(houses: Project) -> None:
    houses.write(PIPELINE.replace("def evaluate(model", "# said in other words\ndef evaluate(model"))
    assert houses.run().models == ["price@2"]
    facts = _searched(houses)
    assert facts["verdict"] in ("no loss", "no difference")
    assert len(facts["builds"]) <= 2


def test_another_seed_is_no_loss_unless_it_is_more_than_seeds_do(houses: Project) -> None:
    houses.run(seed=4)
    facts = _searched(houses, metric="mse")
    assert facts["verdict"] == "no loss"


def test_rows_to_judge_on_may_be_named(houses: Project) -> None:
    houses.workspace.add(
        "fresh", sales(300, seed=77).with_columns(pl.col("id") + 9000, pl.col("area") + 0.05), key=["id"]
    )
    houses.run(ridge=3000.0)
    facts = _searched(houses, on=("rows of fresh@1", houses.workspace.snapshot("fresh@1").collect()))
    assert facts["judged_on"] == "300 rows of fresh@1"
    assert facts["left_out"] == 0
    trained = _searched(houses, on=("rows of sales@1", SALES))
    assert trained["left_out"] == 1500 - 214


@pytest.mark.slow
def test_a_mixture_that_fails_is_no_answer_but_said(houses: Project) -> None:
    """A helper that takes one argument more, and its only caller: neither runs without the other."""
    houses.write(HELPERS.replace("def matrix(rows)", "def matrix(rows, times=None)").replace(
        "return np.column_stack(columns)", "return (times or 1) * np.column_stack(columns)"), "houses.py")  # fmt: skip
    houses.write(
        PIPELINE.replace("houses.matrix(rows), rows", "houses.matrix(rows, 1), rows").replace(
            'rows["price"].to_numpy()\n    kept', 'rows["price"].to_numpy() * 0.9\n    kept'
        )
    )
    houses.run(test_share=0.3)
    facts = _searched(houses)
    assert facts["verdict"] == "found"
    assert any("pipeline.train" in said for said in _smallest(facts))
    assert any("error" in one for one in facts["builds"]) or len(facts["builds"]) < 8


@pytest.mark.slow
def test_a_budget_that_is_too_small_is_said_and_kept_to(houses: Project) -> None:
    houses.write(PIPELINE.replace("* np.eye", "* 9 * np.eye"))
    houses.run(ridge=3000.0, test_share=0.3)
    facts = _searched(houses, budget=4)
    assert facts["verdict"] == "budget spent"
    assert len(facts["builds"]) <= 4
    with pytest.raises(UsageError, match="tell nothing"):
        _searched(houses, budget=1)


def test_what_cannot_be_compared_is_refused_before_anything_is_built(houses: Project) -> None:
    workspace = houses.workspace
    houses.run(ridge=2.0)
    with pytest.raises(UsageError, match="'fairness' is no metric of either version"):
        _searched(houses, metric="fairness")
    one = models.find(workspace, "price@1")
    with pytest.raises(UsageError, match="both are price@1"):
        bisect(one, one)
    other = PIPELINE.replace('clew.register(\n        "price"', 'clew.register(\n        "area"').replace(
        'target="price"', 'target="area"'
    )
    houses.write(other)
    assert houses.run().models == ["area@1"]
    with pytest.raises(UsageError, match="price@1 predicts price, area@1 predicts area"):
        bisect(one, models.find(workspace, "area@1"))
    with pytest.raises(UsageError, match="lack area, district"):
        _searched(houses, on=("rows of thin@1", SALES.select("sold_on", "rooms", "price")))
    with pytest.raises(RefusedError, match="no 30 rows to judge"):
        _searched(houses, on=("rows of few@1", SALES.head(20)))
    runs = workspace.catalog.rows(sa.select(builds.runs).where(builds.runs.c.name.startswith("bisect")))
    assert not runs


def test_a_declared_version_is_refused(houses: Project) -> None:
    workspace = houses.workspace
    version = models.find(workspace, "price@1")
    declared = type(version)(**{**vars(version), "provenance": "declared", "id": "other"})
    with pytest.raises(RefusedError, match="is declared: it can't be built again with a change"):
        bisect(version, declared)


def test_on_the_command_line(houses: Project) -> None:
    houses.run(ridge=3000.0)
    done = houses.start("model", "bisect", "price@1", "price@2", "--json")
    assert done.wait() == 0, done.stderr
    assert json.loads(done.stdout)["found"]["smallest"][0]["says"] == "ridge 1e-06 → 3000.0"
    done = houses.start("model", "bisect", "price@1", "price@2", "--on", "sales@1", "--outcomes", "price")
    assert done.wait() == 2
