import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serving.served import day

from clew.catalog import new_id
from clew.serving.journal import Journal, Outcome, Prediction, Record, Shadow, compact
from clew.serving.observations import Look, Observations, Observed
from clew.serving.requests import micros


def prediction(at: datetime, entity: str | None = "P1", *, output: float = 1.0, **changes: Any) -> Prediction:
    values: dict[str, Any] = {
        "id": new_id(),
        "endpoint": "plots",
        "request_id": "r",
        "row": 0,
        "model_version": "m@1",
        "model_version_id": "v1",
        "role": "champion",
        "share": 1.0,
        "reason": "test",
        "route_revision": 1,
        "entity": entity,
        "occurred_at": micros(at),
        "recorded_at": micros(at),
        "inputs": {"area": 100.0},
        "output": output,
        "latency_us": 1,
    }
    return Prediction(**(values | changes))


def outcome(about: Prediction | None, at: datetime, value: float = 1.0, **changes: Any) -> Outcome:
    values: dict[str, Any] = {
        "id": new_id(),
        "prediction_id": None if about is None else about.id,
        "name": "price",
        "kind": "label",
        "value": value,
        "occurred_at": micros(at),
        "recorded_at": micros(at),
    }
    return Outcome(**(values | changes))


def write(folder: Path, *records: Record, writer: str = "w") -> None:
    with Journal(folder, writer) as journal:
        journal.append(records).result(10)


def shown(looks: Sequence[Look]) -> list[tuple[datetime, list[str], list[Any]]]:
    return [(look.moment, [one.id for one in look.observed.predictions], values(look.observed)) for look in looks]


def values(observed: Observed) -> list[Any]:
    return [joined.outcome.value for joined in observed.joined]


def test_days_are_given_in_order_and_empty_ones_left_out(tmp_path: Path) -> None:
    first, second, late = (prediction(day(n) + timedelta(hours=5)) for n in (0, 9, 400))
    write(tmp_path, late, second, first, outcome(first, day(20), 7.0))
    found = Observations(tmp_path, "plots")
    assert shown(list(found.looks(day(400)))) == [
        (day(1), [first.id], []),
        (day(10), [second.id], []),
        (day(21), [], [7.0]),
    ]
    assert list(found.looks(day(400) + timedelta(hours=23))) == []
    assert shown(list(found.looks(day(401)))) == [(day(401), [late.id], [])]
    assert list(found.looks(day(500))) == []


def test_what_happened_at_the_moment_itself_waits_for_the_next_look(tmp_path: Path) -> None:
    write(tmp_path, prediction(day(1)))
    found = Observations(tmp_path, "plots", begins=day(0))
    assert list(found.looks(day(1))) == []
    assert [look.moment for look in found.looks(day(2))] == [day(2)]


def test_what_comes_late_is_given_by_the_next_look(tmp_path: Path) -> None:
    found = Observations(tmp_path, "plots", begins=day(0))
    first = prediction(day(0))
    write(tmp_path, first)
    assert [look.moment for look in found.looks(day(5))] == [day(1)]
    assert found.day == day(5)
    old = prediction(day(2))
    write(tmp_path, old, outcome(first, day(1), 7.0))
    assert list(found.looks(day(5))) == []
    assert shown(list(found.looks(day(6)))) == [(day(6), [old.id], [7.0])]


def test_a_garbled_time_long_ago_costs_nothing(tmp_path: Path) -> None:
    write(tmp_path, prediction(datetime.fromisoformat("0002-01-01T00:00:00+00:00")), prediction(day(0)))
    assert len(list(Observations(tmp_path, "plots").looks(day(10)))) == 2


def test_only_its_endpoint_and_its_rollout(tmp_path: Path) -> None:
    mine, other = prediction(day(0), rollout_id="r1"), prediction(day(0), endpoint="houses")
    before = prediction(day(0))
    about = [outcome(one, day(1), float(n)) for n, one in enumerate((mine, other, before))]
    write(tmp_path, mine, other, before, *about, outcome(None, day(1), prediction_id=new_id()))
    [look, joined] = Observations(tmp_path, "plots", rollout_id="r1").looks(day(3))
    assert [one.id for one in look.observed.predictions] == [mine.id]
    assert look.observed.predictions[0].inputs == {}
    assert values(joined.observed) == [0.0]
    both = list(Observations(tmp_path, "plots").looks(day(3)))
    assert {one.id for one in both[0].observed.predictions} == {mine.id, before.id}
    assert both[0].observed.predictions[0].inputs == {"area": 100.0}
    assert sorted(values(both[1].observed)) == [0.0, 2.0]


def test_the_first_label_counts_and_every_response(tmp_path: Path) -> None:
    one = prediction(day(0))
    write(tmp_path, one, outcome(one, day(2), 2.0), outcome(one, day(1), 1.0), outcome(one, day(1), 5.0, name="tax"))
    found = Observations(tmp_path, "plots")
    assert [values(look.observed) for look in found.looks(day(4))] == [[], [1.0, 5.0]]
    clicks = [outcome(one, day(5), float(n), kind="response", name="click") for n in range(3)]
    write(tmp_path, outcome(one, day(5), 3.0), *clicks)
    assert [values(look.observed) for look in found.looks(day(9))] == [[0.0, 1.0, 2.0]]


def test_an_outcome_that_is_read_before_its_prediction_is_joined(tmp_path: Path) -> None:
    one = prediction(day(0))
    write(tmp_path, outcome(one, day(1), 7.0), prediction(day(0)), writer="a")
    found = Observations(tmp_path, "plots", begins=day(0))
    assert [len(look.observed.joined) for look in found.looks(day(3))] == [0]
    write(tmp_path, one, writer="b")
    [look] = found.looks(day(4))
    assert values(look.observed) == [7.0]


def test_what_is_about_nothing_is_forgotten(tmp_path: Path) -> None:
    write(tmp_path, prediction(day(0)), *(outcome(None, day(0), prediction_id=new_id()) for _ in range(100)))
    found = Observations(tmp_path, "plots", begins=day(0))
    list(found.looks(day(3)))
    write(tmp_path, prediction(day(4)))
    list(found.looks(day(6)))
    assert not found._unmatched
    assert not found._outcomes


def test_a_business_key_means_the_last_prediction_by_then(tmp_path: Path) -> None:
    predictions = [prediction(day(n), "P7", output=float(n)) for n in (0, 10, 20)]
    named = {"endpoint": "plots", "entity": "P7"}
    write(
        tmp_path,
        *predictions,
        prediction(day(5), "P8"),
        *(outcome(None, day(n), float(n), **named) for n in (11, 25)),
        outcome(None, day(1), 1.0, endpoint="houses", entity="P7"),
        outcome(None, day(1), 1.0, endpoint="plots", entity="P9"),
        outcome(None, day(0) - timedelta(days=1), 1.0, **named),
    )
    looks = list(Observations(tmp_path, "plots", begins=day(0)).looks(day(40)))
    joined = [one for look in looks for one in look.observed.joined]
    assert [(one.outcome.value, one.prediction.output) for one in joined] == [(11.0, 10.0), (25.0, 20.0)]


def test_predictions_beyond_what_is_held_are_found_in_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clew.serving.observations._MOST_HELD", 10)
    predictions = [prediction(day(0) + timedelta(minutes=n), output=float(n)) for n in range(50)]
    write(tmp_path, *predictions)
    found = Observations(tmp_path, "plots", begins=day(0))
    assert sum(len(look.observed.predictions) for look in found.looks(day(1))) == 50
    assert len(found._known) == 10
    write(tmp_path, *(outcome(one, day(2), one.output) for one in predictions))  # type: ignore[arg-type]
    [look] = found.looks(day(3))
    assert [one.prediction.output for one in look.observed.joined] == [float(n) for n in range(50)]
    assert values(look.observed) == [float(n) for n in range(50)]


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_arrival_changes_nothing(tmp_path: Path, seed: int) -> None:
    """Requests of a day may come at once, through several writers, with or without an entity."""
    chance = random.Random(seed)
    predictions = [
        prediction(
            day(n % 3),
            chance.choice([None, "P1", f"P{n}"]),
            output=float(n),
            others=[Shadow(model_version="m@2", model_version_id="v2", role="candidate", output=n / 2, latency_us=1)],
        )
        for n in range(60)
    ]
    about = [outcome(one, day(4), float(n)) for n, one in enumerate(predictions)]

    def observed(name: str, order: random.Random) -> Any:
        shuffled = order.sample(predictions, 60), order.sample(about, 60)
        for part in shuffled:
            write(tmp_path / name, *part[:20], writer="a")
            write(tmp_path / name, *part[20:], writer="b")
        looks = list(Observations(tmp_path / name, "plots").looks(day(9)))
        return [
            ([one.output for one in look.observed.predictions], [one.outcome.value for one in look.observed.joined])
            for look in looks
        ]

    assert observed("one", random.Random(1)) == observed("two", random.Random(2))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(-3, 3), st.sampled_from("ab")), min_size=1, max_size=40))
def test_looks_can_be_taken_again_however_late_things_came(
    tmp_path_factory: pytest.TempPathFactory, story: list[tuple[int, int, str]]
) -> None:
    """Live: each day writes, then looks. Again: from the finished (and compacted) journal, look by look."""
    journal = tmp_path_factory.mktemp("journal")
    live = Observations(journal, "plots", begins=day(0))
    made: list[Prediction] = []
    looks: list[Look] = []
    for number, (kind, delay, writer) in enumerate(story):
        at = day(10 + number) + timedelta(days=delay)
        if kind < 3 or not made:
            made.append(prediction(at, f"P{kind}", output=float(number)))
            write(journal, made[-1], writer=writer)
        else:
            write(journal, outcome(made[number % len(made)], at, float(number)), writer=writer)
        looks += live.looks(day(10 + number))
    looks += live.looks(day(100))
    for compacted in (False, True):
        if compacted:
            compact(journal)
        again = Observations(journal, "plots")
        for look in looks:
            assert again.again(look.moment, look.read) == look.observed
