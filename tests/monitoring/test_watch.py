import json
import math

import msgspec
import numpy as np
import pytest
from scipy.stats import binom
from tests.monitoring.live import COLUMNS, Town, Traffic, profile, watch

from clew.monitoring.watch import ALPHA, Watch, alerts
from clew.serving.observations import Joined, Observed

CHANCE_OF_A_FALSE_ALARM = 1e-4
"""Of each calibration test here, when the promise is kept exactly."""


def found(watched: Watch) -> set[str]:
    """What is said to be really different."""
    report = watched.report()
    real = {column["column"] for column in report["columns"] if column["real"]}
    return real | ({"error"} if report["performance"]["alarm"] else set())


def run(seed: int, town: Town, rows: int, daily: int = 100) -> Watch:
    watched, traffic = watch(seed), Traffic(seed, town)
    for _ in range(0, rows, daily):
        watched.take(traffic.day(daily))
    return watched


def most(streams: int) -> int:
    return int(binom.ppf(1 - CHANCE_OF_A_FALSE_ALARM, streams, ALPHA))


def test_a_whole_watch_cries_wolf_at_most_at_alpha() -> None:
    """60 streams of 1,000 rows in six columns, predictions and errors: more than 11 would refute 5%.

    What is counted is whether anything was ever said to be real, large or not.
    """
    wrong = [seed for seed in range(60) if found(run(seed, Town(), 1000))]
    assert len(wrong) <= most(60) == 11


@pytest.mark.slow
def test_a_whole_watch_cries_wolf_at_most_at_alpha_in_many_streams() -> None:
    """600 streams of 3,000 rows: more than 52 would refute 5%."""
    wrong = [seed for seed in range(600) if found(run(seed, Town(), 3000))]
    assert len(wrong) <= most(600) == 52


@pytest.mark.parametrize(
    ("town", "column"),
    [(Town(shift=0.5), "area"), (Town(missing=0.2), "income"), (Town(bricks=0.1), "wall")],
    ids=["numbers move", "values go missing", "categories change"],
)
def test_a_shift_of_one_column_is_found_and_named(town: Town, column: str) -> None:
    """10 streams of 600 rows: the column is found in each, and others (but the predictions) hardly."""
    for seed in range(10):
        watched = run(seed, town, 600)
        assert column in found(watched)
        raised = {alert.subject for alert in alerts(watched.report())}
        assert column in raised
        assert raised <= {column, "prediction"}


def test_errors_that_grow_by_30_percent_are_found() -> None:
    """10 streams of 1,000 outcomes."""
    for seed in range(10):
        watched = run(seed, Town(errors=1.3), 1000)
        assert found(watched) == {"error"}
        [alert] = alerts(watched.report())
        assert alert.kind == "performance"
        assert "over 1,000 outcomes" in alert.message
        assert "was promised" in alert.message


def test_errors_as_promised_or_smaller_are_no_alarm() -> None:
    """30 streams of 1,000 outcomes: more than 6 would refute a quarter of alpha, and 2.5% for the promise itself."""
    wrong = [seed for seed in range(30) if "error" in found(run(seed, Town(), 1000))]
    assert len(wrong) <= int(binom.ppf(1 - CHANCE_OF_A_FALSE_ALARM, 30, ALPHA / 4 + 0.025)) == 6
    assert not found(run(1, Town(errors=0.5), 1000))


def test_a_report_is_json_before_and_after_rows_came() -> None:
    watched = watch(1)
    empty = watched.report()
    assert json.loads(json.dumps(empty)) == empty
    assert alerts(empty) == []
    watched.take(Traffic(1).day(5))
    full = watched.report()
    assert json.loads(json.dumps(full)) == full
    assert [column["column"] for column in full["columns"]] == [*COLUMNS, "prediction"]
    assert (full["predictions"], full["outcomes"]) == (5, 5)
    assert not any(isinstance(v, float) and math.isnan(v) for column in full["columns"] for v in column.values())


def test_how_rows_are_cut_into_looks_changes_nothing() -> None:
    together, apart = watch(1), watch(1)
    rows = Traffic(1, Town(shift=0.2)).day(300)
    together.take(rows)
    for first in range(0, 300, 7):
        apart.take(Observed(rows.predictions[first : first + 7], rows.joined[first : first + 7]))
    assert together.report()["performance"] == apart.report()["performance"]
    for one, other in zip(together.report()["columns"], apart.report()["columns"], strict=True):
        numbers = {name for name, value in one.items() if isinstance(value, float)}
        assert {name: one[name] for name in numbers} == pytest.approx({name: other[name] for name in numbers})
        assert {name: one[name] for name in one.keys() - numbers} == {
            name: other[name] for name in other.keys() - numbers
        }


def test_only_what_this_version_answered_counts() -> None:
    rows = Traffic(1).day(20)
    others = [msgspec.structs.replace(one, model_version_id="v2") for one in rows.predictions[:5]]
    failed = [msgspec.structs.replace(one, error="ValueError", output=None) for one in rows.predictions[5:10]]
    kept = rows.predictions[10:]
    joined = [
        Joined(prediction, one.outcome) for prediction, one in zip([*others, *failed, *kept], rows.joined, strict=True)
    ]
    watched = watch(1)
    watched.take(Observed([*others, *failed, *kept], joined))
    assert (watched.predictions, watched.outcomes) == (10, 10)


def test_outcomes_that_are_no_label_of_the_target_dont_count() -> None:
    rows = Traffic(1).day(3)
    changed = [
        msgspec.structs.replace(one.outcome, **change)
        for one, change in zip(rows.joined, ({"name": "tax"}, {"kind": "response"}, {"value": "sold"}), strict=True)
    ]
    watched = watch(1)
    watched.take(Observed([], [Joined(one.prediction, other) for one, other in zip(rows.joined, changed, strict=True)]))
    assert watched.outcomes == 0


def test_inputs_that_are_missing_or_of_another_kind_count_as_missing() -> None:
    rows = Traffic(1).day(200)
    odd = [
        msgspec.structs.replace(one, inputs={"area": "large", "wall": 7, "income": True}) for one in rows.predictions
    ]
    watched = watch(1)
    watched.take(Observed(odd, []))
    by_name = {column["column"]: column for column in watched.report()["columns"]}
    assert by_name["area"]["missing"] == [0.0, 1.0]
    assert by_name["age"]["alarm"]
    assert by_name["wall"]["alarm"]


def test_predictions_that_are_no_numbers_dont_stop_it() -> None:
    rows = Traffic(1).day(50)
    odd = [msgspec.structs.replace(one, output=["a", 1.0]) for one in rows.predictions]
    watched = watch(1)
    watched.take(Observed(odd, [Joined(odd[0], rows.joined[0].outcome)]))
    assert (watched.predictions, watched.outcomes) == (50, 0)


def test_a_perfect_promise_is_still_a_promise() -> None:
    perfect = profile(np.random.default_rng(1)) | {"loss": {"mean": 0.0, "sd": 0.0, "count": 100}}
    watched = Watch("m@1", "v1", perfect)
    watched.take(Traffic(1).day(100))
    assert watched.report()["performance"]["alarm"]


def test_the_budget_is_split_over_all_that_is_watched() -> None:
    watched = watch(1)
    parts = [math.exp(-column.threshold) for column in watched.columns] + [math.exp(-watched.error_threshold)]
    assert sum(parts) == pytest.approx(ALPHA)
