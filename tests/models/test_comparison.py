"""Versions compared on the same rows; the candidate judged beside the live one."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.projects import Project

import clew
from clew import models
from clew.catalog.commands import CreateEndpoint
from clew.data import add
from clew.errors import DataError, NotFoundError, UsageError
from clew.models import Model, comparison, live
from clew.models.losses import row_metrics
from clew.pipelines import history
from clew.stats import paired_difference

RNG = np.random.default_rng(5)
X = RNG.normal(size=400)
TABLE = pl.DataFrame(
    {"x": X, "y": 3 * X + RNG.exponential(size=400), "place": ["north", "south", "east", "west"] * 100}
)

PIPELINE = """
import numpy as np
from sklearn.linear_model import LinearRegression
def matrix(rows):
    return rows.select("x").to_numpy()
@clew.step
def split(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    return rows.head(200), rows.tail(200)
@clew.step
def train(rows: pl.DataFrame, shift: float) -> clew.Model:
    fitted = LinearRegression().fit(matrix(rows), rows["y"].to_numpy() + shift)
    return clew.Model(fitted, example=rows.select("x"), before=matrix)
@clew.step
def evaluate(model: clew.Model, rows: pl.DataFrame) -> clew.Evaluation:
    from clew.models import by_slice, regression
    truth, said = rows["y"].to_numpy(), model.predict(rows)
    half = ["first" if at < 100 else "second" for at in range(200)]
    slices = [*by_slice("place", rows["place"].to_list(), truth, said), *by_slice("half", half, truth, said)]
    return clew.Evaluation(regression(truth, said), slices, {"half": half})
@clew.pipeline(accept=[clew.no_worse_than_live("mae", margin=0.1)])
def price(rows: pl.DataFrame = clew.dataset("sales@latest"), shift: float = 0.0) -> None:
    train_rows, test_rows = split(rows)
    model = train(train_rows, shift)
    found = evaluate(model, test_rows)
    clew.register("price", model=model, evaluation=found, train=train_rows, test=test_rows, target="y")
"""


@pytest.fixture
def sales(project: Project) -> Project:
    path = project.folder / "sales.parquet"
    TABLE.write_parquet(path)
    add(project.workspace, "sales", path)
    project.write(PIPELINE)
    return project


def why(project: Project, run: str) -> str:
    return str(history.show(project.workspace, run)["steps"][-1]["why"])


def test_a_worse_candidate_is_refused_and_kept_and_says_why(sales: Project) -> None:
    first = sales.run()
    assert not first.refused
    assert str(why(sales, first.run)).startswith("registered price@1")
    worse = sales.run(shift=2.0)
    assert worse.models == ["price@2"]
    assert "mae differs from that of price@1 by" in worse.refused[0]
    version = models.find(sales.workspace, "price@2")
    assert version.state == "refused"
    assert "worse is not excluded" in str(version.refused_because)
    verdict = version.verdicts[0]
    assert (verdict["met"], verdict["against"], verdict["limit"]) == (False, "price@1", 0.1)
    assert verdict["value"] > 0.5
    same = sales.run(shift=0.01)
    assert not same.refused  # harm beyond the margin is excluded
    assert "beside price@1, mae differs by" in why(sales, same.run)
    beside = comparison.profile_of(models.find(sales.workspace, "price@3"))
    assert beside is not None
    assert beside["comparison"]["because"] == "the newest accepted version"
    assert beside["comparison"]["rows"] == 200


def test_the_same_again_is_no_other_version_whatever_it_was_compared_with(sales: Project) -> None:
    sales.run()
    again = sales.run()
    assert again.models == ["price@1"]
    assert "unchanged" in why(sales, again.run)


def test_the_champion_is_what_counts(sales: Project) -> None:
    for shift in (0.0, 0.01, 0.02):
        sales.run(shift=shift)
    one = models.find(sales.workspace, "price@1")
    assert live.live_version(sales.workspace, "none") is None
    found = live.live_version(sales.workspace, "price")
    assert found is not None
    assert (found.version.reference, found.because) == ("price@3", "the newest accepted version")
    sales.workspace.catalog.execute(
        CreateEndpoint(name="price", model_version_id=one.id, occurred_at=datetime(2026, 1, 1, tzinfo=UTC))
    )
    found = live.live_version(sales.workspace, "price")
    assert found is not None
    assert (found.version.reference, found.because) == ("price@1", "champion of endpoint price")
    assert live.live_version(sales.workspace, "price", but=one.id).version.reference == "price@3"  # type: ignore[union-attr]


def test_comparing_by_metric_and_slice(sales: Project) -> None:
    sales.run()
    sales.run(shift=2.0)
    a, b = models.find(sales.workspace, "price@1"), models.find(sales.workspace, "price@2")
    found = comparison.compare(a, b)
    by_name = {one["metric"]: one for one in found["metrics"]}
    truth, rows = TABLE["y"].tail(200).to_numpy(), TABLE.tail(200)
    for version, side in ((a, "a"), (b, "b")):
        expected = np.abs(version.load().predict(rows) - truth).mean()
        assert by_name["mae"][side] == pytest.approx(expected)
    assert by_name["mae"]["verdict"] == "worse"
    assert by_name["bias"]["verdict"] == "different"
    assert comparison.compare(b, a)["metrics"][0]["verdict"] == "better"
    assert [(one["slice"], one["value"]) for one in found["slices"]] == [
        *(("place", name) for name in ("east", "north", "south", "west")),
        ("half", "first"),
        ("half", "second"),
    ]
    assert all(one["verdict"] == "worse" and one["low"] < one["difference"] < one["high"] for one in found["slices"])
    nothing = comparison.compare(a, a)
    assert {one["verdict"] for one in nothing["metrics"]} == {"no difference shown"}
    other = comparison.compare(a, b, TABLE.head(10), "y")
    assert other["rows"] == 10
    assert all(one["verdict"] == "too few rows" for one in other["slices"])
    with pytest.raises(UsageError, match="no column 'z'"):
        comparison.compare(a, b, TABLE, "z")
    with pytest.raises(UsageError, match="lacks columns"):
        comparison.compare(a, b, TABLE.drop("x"), "y")


class Says:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def predict(self, rows: pl.DataFrame) -> np.ndarray:
        return rows["x"].to_numpy() * self.factor


def test_rows_without_a_truth_are_left_out_and_kinds_must_fit() -> None:
    rows = pl.DataFrame({"x": [1.0, 2.0, 3.0], "y": [1.0, None, 3.0]})
    a, b = (Model(Says(factor), example=rows.select("x")) for factor in (1.0, 2.0))
    found = comparison.differences(a, b, rows, rows["y"], {})
    assert found["rows"] == 2
    assert found["metrics"][0]["difference"] == 2.0
    with pytest.raises(DataError, match="fewer than two"):
        comparison.differences(a, b, rows.head(2), rows["y"].head(2), {})
    with pytest.raises(DataError, match="one value a row"):
        row_metrics(np.zeros((3, 2)), rows["y"])
    classes = row_metrics(np.array(["u", "v", "w"]), pl.Series(["u", "u", None]))["accuracy"]
    np.testing.assert_array_equal(classes, [1.0, 0.0, np.nan])
    assert "mape" not in row_metrics(np.ones(2), pl.Series([0.0, 1.0]))


def test_the_interval_of_the_difference_covers_as_promised() -> None:
    """95% promised, at 200 rows of skewed losses of two correlated models, as registration compares them.

    In 600 simulations fewer than 92.7% has a chance of under 1% when 95% is true.
    """
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(600):
        noise = rng.exponential(size=200)
        left = np.abs(noise + rng.normal(scale=0.3, size=200))
        right = np.abs(1.1 * noise + rng.normal(scale=0.3, size=200))
        found = paired_difference(left, right, comparison.ALPHA, 23)
        covered += found.low <= TRUE <= found.high
    assert covered / 600 >= 0.927


def _true() -> float:
    rng = np.random.default_rng(12)
    noise = rng.exponential(size=4_000_000)
    left = np.abs(noise + rng.normal(scale=0.3, size=noise.size))
    right = np.abs(1.1 * noise + rng.normal(scale=0.3, size=noise.size))
    return float((right - left).mean())


TRUE = _true()


def test_a_version_that_cannot_be_compared_says_so(sales: Project) -> None:
    sales.run()
    path = sales.code / "pipeline.py"
    text = path.read_text().replace('rows.select("x").to_numpy()', 'rows.select("x2").to_numpy()')
    text = text.replace('example=rows.select("x")', 'example=rows.select("x2")')
    path.write_text(
        text.replace(
            "return rows.head(200), rows.tail(200)",
            """rows = rows.rename({"x": "x2"})
    return rows.head(200), rows.tail(200)""",
        )
    )
    result = sales.run()
    assert "it can't be compared with price@1: the table lacks columns that the model needs: x" in result.refused[0]


def test_criteria_are_refused_where_they_are_declared(project: Project) -> None:
    with pytest.raises(UsageError, match="row by row"):
        clew.no_worse_than_live("rmse", margin=1)
    for margin in (-1.0, float("inf"), float("nan")):
        with pytest.raises(UsageError, match="no margin"):
            clew.no_worse_than_live("mae", margin=margin)
    accept: Any = [clew.no_worse_than_live("mae", margin=1)]
    path = project.folder / "sales.parquet"
    TABLE.write_parquet(path)
    add(project.workspace, "sales", path)
    with clew.record("price", workspace=project.workspace, accept=accept) as run:
        run.use("sales@1")
        with pytest.raises(UsageError, match="without test rows"):
            run.register(Model(_Fixed(), example=TABLE.select("x")))
    with pytest.raises(NotFoundError):
        models.find(project.workspace, "price@1")


class _Fixed:
    def predict(self, rows: Any) -> np.ndarray:
        return np.zeros(len(rows))


def test_wrong_groups_are_refused(sales: Project) -> None:
    path = sales.code / "pipeline.py"
    path.write_text(path.read_text().replace('{"half": half}', '{"half": half[1:]}'))
    with pytest.raises(UsageError, match="199 labels for 200 test rows"):
        sales.run()
