"""From a pipeline to versions: accepted or refused, once for the same, with all that they came from."""

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa
from tests.projects import ROWS, Project, status, why

from clew import models
from clew.catalog.tables import builds
from clew.errors import IntegrityError, NotFoundError, StepError, UsageError
from clew.models import comparison
from clew.models.criteria import at_least, at_most, better, no_leakage
from clew.pipelines import history
from clew.thread import card_text
from clew.thread.card import card

PIPELINE = """
import numpy as np
import parts
from sklearn.linear_model import LinearRegression
@clew.step
def train(rows: pl.DataFrame, bias: float) -> clew.Model:
    estimator = LinearRegression().fit(parts.matrix(rows), rows["y"].to_numpy() + bias)
    return clew.Model(estimator, example=rows.select("x"), before=parts.matrix)
@clew.step
def evaluate(model: clew.Model, rows: pl.DataFrame) -> clew.Evaluation:
    predicted = model.predict(rows)
    return clew.Evaluation({"mae": float(np.abs(predicted - rows["y"].to_numpy()).mean()), "baseline": 10.0})
@clew.step
def copy(rows: pl.DataFrame) -> pl.DataFrame:
    return rows
@clew.pipeline(accept=[clew.at_most("mae", 1.0), clew.better("mae", than="baseline", by=0.5)])
def main(sales: pl.DataFrame = clew.dataset("sales@latest"), bias: float = 0.0, target: str = "y") -> None:
    rows = copy(sales)
    model = train(rows, bias)
    clew.register("price", model=model, evaluation=evaluate(model, rows), train=rows, test=rows, target=target)
"""


@pytest.fixture
def sales(project: Project) -> Project:
    project.write(PIPELINE)
    project.write("def matrix(rows):\n    return rows.select('x').to_numpy()\n", "parts.py")
    project.workspace.add("sales", ROWS)
    return project


def test_the_same_gives_the_same_version(sales: Project) -> None:
    first = sales.run()
    assert first.models == ["price@1"]
    again = sales.run()
    assert again.models == ["price@1"]
    assert status(again)["register price"] == "cached"
    # Trained anew, it is the same too.
    for row in sales.workspace.catalog.rows(sa.select(builds.artifacts.c.digest)):
        sales.workspace.objects.delete(row.digest)
    third = sales.run()
    assert status(third)["train"] == "ran"
    assert third.models == ["price@1"]
    assert [one.version for one in models.all_versions(sales.workspace)] == [1]


def test_changed_data_code_or_parameters_give_a_new_version(sales: Project) -> None:
    sales.run()
    sales.workspace.add("sales", ROWS.head(3))
    assert sales.run().models == ["price@2"]
    assert sales.run(bias=0.5).models == ["price@3"]
    sales.write("def matrix(rows):\n    return rows.select('x').to_numpy() * 1\n", "parts.py")
    assert sales.run(bias=0.5).models == ["price@4"]
    version = models.find(sales.workspace, "price@2")
    assert [(one["role"], one["snapshot"], one["rows"]) for one in version.inputs()] == [
        ("sales", "sales@2", None),
        ("train", None, 3),
        ("test", None, 3),
    ]


def test_a_refused_version_is_kept_with_its_reason(sales: Project) -> None:
    result = sales.run(bias=2.0)
    assert result.status == "done"
    assert result.refused == ["price@1: mae at most 1: it is 2, the limit 1"]
    version = models.find(sales.workspace, "price@1")
    assert version.state == "refused"
    assert version.refused_because == "mae at most 1: it is 2, the limit 1"
    assert [verdict["met"] for verdict in version.verdicts] == [False, True]
    assert version.load().predict(ROWS).tolist() == pytest.approx([4, 6, 8, 10])
    assert sales.run().models == ["price@2"]
    assert models.find(sales.workspace, "price@2").state == "accepted"


def test_criteria_are_recorded_before_anything_is_trained(sales: Project) -> None:
    path = sales.code / "pipeline.py"
    path.write_text(path.read_text().replace("    estimator =", "    raise OSError\n    estimator ="))
    with pytest.raises(StepError):
        sales.run()
    assert [one["metric"] for one in history.show(sales.workspace, "latest")["criteria"]] == ["mae", "mae"]


def test_what_is_registered_can_be_found_and_is_checked(sales: Project) -> None:
    sales.run()
    version = models.find(sales.workspace, "price@latest")
    assert version.reference == "price@1"
    assert version.provenance == "recorded"
    rows = version.artifact("predictions")
    stored = pl.read_ipc(sales.workspace.objects.open_path(rows.digest))
    np.testing.assert_array_equal(stored["prediction"].to_numpy(), version.load().predict(ROWS))
    moved = models.move_alias(sales.workspace, "price@1", "staging", "a trial")
    assert moved == {"alias": "price@staging", "from": None, "to": "price@1", "moved": True}
    assert models.find(sales.workspace, "price@staging").id == version.id
    assert version.aliases() == ["staging"]
    for wrong in ("price@2", "price@nope", "other@1"):
        with pytest.raises(NotFoundError):
            models.find(sales.workspace, wrong)
    path = sales.workspace.objects.open_path(version.digest)
    path.chmod(0o644)
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(bytes(body))
    with pytest.raises(IntegrityError):
        version.load()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('target: str = "y"', 'target: str = "z"', "no column 'z'"),
        ("model=model,", "model=rows,", "model must be a model"),
        ("train=rows,", "train=sales,", "train must be a table that a step gave"),
        ("evaluation=evaluate(model, rows)", "evaluation=rows", "evaluation must be a value"),
        ('clew.at_most("mae"', 'clew.at_most("rmse"', "names 'rmse', which was not evaluated"),
        ('"price", model', '"Not a name!", model', "name"),
    ],
)
def test_registering_wrongly(sales: Project, old: str, new: str, words: str) -> None:
    path = sales.code / "pipeline.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UsageError, match=words):
        sales.run()
    run = history.show(sales.workspace, "latest")
    assert run["status"] == "failed"
    assert run["steps"][-1]["status"] == "failed"
    assert models.all_versions(sales.workspace) == []


def test_a_model_that_raises_on_the_test_rows(sales: Project) -> None:
    path = sales.code / "pipeline.py"
    text = path.read_text().replace("predicted = model.predict(rows)", 'predicted = rows["y"].to_numpy()')
    path.write_text(text.replace("before=parts.matrix", "before=parts.odd"))
    sales.write(
        "def matrix(rows):\n    return rows.select('x').to_numpy()\n"
        "def odd(rows):\n    if 'capsule' in __name__: raise OSError(7)\n    return matrix(rows)\n",
        "parts.py",
    )
    with pytest.raises(StepError, match="OSError: 7"):
        sales.run()
    assert history.show(sales.workspace, "latest")["status"] == "failed"


def test_a_metric_that_is_no_number_is_refused_not_accepted(sales: Project) -> None:
    path = sales.code / "pipeline.py"
    path.write_text(path.read_text().replace('"baseline": 10.0', '"baseline": float("nan")'))
    result = sales.run()
    assert len(result.refused) == 1
    assert models.find(sales.workspace, "price@1").state == "refused"
    assert sales.run().models == ["price@1"]
    assert history.show(sales.workspace, "latest")["metrics"]["baseline"] is None


def test_a_plain_call_of_the_pipeline(sales: Project) -> None:
    from clew import pipelines

    pipeline, _ = pipelines.load(str(sales.code / "pipeline.py"))
    pipeline(sales=ROWS)
    assert models.all_versions(sales.workspace) == []
    with pytest.raises(UsageError, match="no workspace"):
        pipeline(sales=pipeline.defaults["sales"])


def test_criteria() -> None:
    metrics = {"mae": 5.0, "base": 10.0}
    for criterion, met in (
        (at_most("mae", 5.0), True),
        (at_most("mae", 4.9), False),
        (at_least("mae", 5.0), True),
        (at_least("mae", 5.1), False),
        (better("mae", than="base", by=0.5), True),
        (better("mae", than="base", by=0.51), False),
        (better("mae", than="mae"), True),
    ):
        assert criterion.judge(metrics)["met"] is met, criterion.text
    for share in (1.0, -0.1, 15.0, float("nan")):
        with pytest.raises(UsageError, match="no share"):
            better("mae", than="base", by=share)
    with pytest.raises(UsageError, match="names 'other'"):
        at_most("other", 1).judge(metrics)
    assert why is not None


def test_regression_at_its_edges() -> None:
    found = models.regression(np.array([0.0, 2.0]), np.array([0.0, 1.0]))
    assert found == {"mae": 0.5, "mape": 0.25, "bias": -0.5}
    assert models.regression(np.array([0.0]), np.array([1.0]))["mape"] == np.inf
    for truth, predicted in (([], []), ([1.0], [1.0, 2.0])):
        with pytest.raises(UsageError):
            models.regression(np.array(truth), np.array(predicted))


LEAKING = (
    PIPELINE.replace("def copy(rows", "def parted(rows")
    .replace(
        "-> pl.DataFrame:\n    return rows",
        "-> tuple[pl.DataFrame, pl.DataFrame]:\n    return rows.head(160), rows.tail(60)",
    )
    .replace("rows = copy(sales)", "rows, held = parted(sales)")
    .replace("evaluate(model, rows), train=rows, test=rows,", "evaluate(model, held), train=rows, test=held,")
    .replace('clew.at_most("mae", 1.0), clew.better("mae", than="baseline", by=0.5)', "clew.no_leakage()")
    .replace('select("x")', 'select("x", "told", "on", "until")')
    .replace("target=target)", 'target=target, subject="who", at="on")')
)


@pytest.fixture
def leaking(project: Project) -> Project:
    """200 rows of which the last 60 are the test, 20 of them in the training as well; and all else that can leak."""
    random = np.random.default_rng(1)
    y = random.normal(size=200)
    rows = pl.DataFrame(
        {"x": random.normal(size=200), "told": 3 * y + 1, "who": [f"p{i % 170}" for i in range(200)], "y": y}
    ).with_columns(on=pl.date(2020, 1, 1).dt.offset_by(pl.format("{}d", pl.int_range(200))))
    project.workspace.add("sales", rows.with_columns(until=pl.col("on").dt.offset_by("3d")))
    project.write("def matrix(rows):\n    return rows.select('x').to_numpy()\n", "parts.py")
    project.write(LEAKING)
    return project


def test_what_leaks_refuses_a_version_and_is_kept_with_it(leaking: Project) -> None:
    made = leaking.run()
    assert made.refused
    version = models.find(leaking.workspace, "price@latest")
    assert version.state == "refused"
    kinds = {(one["column"], one["kind"]) for one in (comparison.profile_of(version) or {})["leakage"]}
    assert kinds == {
        ("(rows)", "same-rows"),
        ("who", "same-subject"),
        ("told", "gives-target-away"),
        ("until", "known-later"),
    }
    (verdict,) = version.verdicts
    assert (verdict["criterion"], verdict["value"], verdict["met"]) == ("nothing leaks", 4, False)
    assert "until: after on in 160 of 160 rows" in str(version.refused_because)
    assert "told: nearly gives y away" in card_text.markdown(card(version))
    leaking.write(LEAKING.replace("no_leakage()", 'at_most("mae", 10.0)'))
    made = leaking.run()
    assert models.find(leaking.workspace, "price@latest").state == "accepted"
    assert "leakage: (rows) same-rows, who same-subject, told gives-target-away, until known-later" in str(
        why(made, "register price")
    )


def test_kinds_of_leakage_may_be_allowed(leaking: Project) -> None:
    leaking.write(LEAKING.replace("no_leakage()", 'no_leakage(allow=["same-rows", "same-subject", "known-later"])'))
    assert leaking.run().refused
    leaking.write(
        LEAKING.replace(
            "no_leakage()", 'no_leakage(allow=["same-rows", "same-subject", "known-later", "gives-target-away"])'
        )
    )
    assert not leaking.run().refused
    with pytest.raises(UsageError, match="no kind of leakage"):
        no_leakage(allow=["all"])
    assert not no_leakage().judge(None)["met"]
