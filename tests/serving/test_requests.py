import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import UsageError
from clew.serving.requests import MOST_ROWS, from_micros, micros, moment, outcomes, rows

NOW = datetime(1996, 2, 3, tzinfo=UTC)
ID = "0198c7a2-7b3e-7cc1-8a00-123456789abc"
GOOD: dict[str, Any] = {"prediction_id": ID, "name": "price", "kind": "label", "value": 1.5}


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": [{"a": 1, "b": "x"}, {"a": None, "b": "ü"}]},
        {"instances": [{"a": 1, "b": "x"}, {"a": None, "b": "ü"}]},
        {"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"], [None, "ü"]]}},
        {"dataframe_split": {"columns": ["a", "b"], "index": [0, 1], "data": [[1, "x"], [None, "ü"]]}},
        {"inputs": {"a": [1, None], "b": ["x", "ü"]}},
        {"dataframe_records": [{"a": 1, "b": "x"}, {"a": None, "b": "ü"}], "params": {}},
    ],
)
def test_all_forms_give_the_same_rows(body: Any) -> None:
    assert rows(json.dumps(body).encode()) == [{"a": 1, "b": "x"}, {"a": None, "b": "ü"}]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b'{"dataframe_records": [{"a": NaN}]}', "no JSON"),
        (b'{"dataframe_records": [{"a": 1e999}]}', "no JSON"),
        (b'{"dataframe_records": [{"a": "\xff"}]}', "no JSON"),
        (b'{"dataframe_records": [{"a": "\\ud800"}]}', "no JSON"),
        (b'{"dataframe_records": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "no JSON"),
        (b"[1]", "must be an object"),
        (b"{}", "must be an object"),
        (b'{"dataframe_records": {"a": 1}}', "must be an object"),
        (b'{"inputs": [1, 2]}', "must be an object"),
        (b'{"dataframe_records": []}', "holds no row"),
        (b'{"inputs": {}}', "inputs"),
        (b'{"inputs": {"a": [1], "b": [1, 2]}}', "same length"),
        (b'{"inputs": {"a": 1}}', "must be a list"),
        (b'{"dataframe_records": [{"a": 1}, 2]}', "row 1"),
        (b'{"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2], [1]]}}', "row 1 of data"),
        (b'{"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}', "each once"),
        (b'{"dataframe_split": {"columns": [["a"], 1], "data": [[1, 2]]}}', "must be names"),
        (b'{"dataframe_records": [{"a": 1}, {"area": 9223372036854775808}]}', "row 1: field 'area'"),
        (b'{"dataframe_records": [{"area": 1' + b"0" * 4000 + b"}]}", "row 0: field 'area'"),
    ],
)
def test_a_body_that_holds_no_rows_is_refused_with_a_mend(body: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        rows(body)
    assert refused.value.mend
    assert len(refused.value.message) < 300


def test_more_rows_than_a_request_may_have_are_refused() -> None:
    assert len(rows(json.dumps({"inputs": {"a": [1] * MOST_ROWS}}).encode())) == MOST_ROWS
    with pytest.raises(UsageError, match="10001 rows"):
        rows(json.dumps({"inputs": {"a": [1] * (MOST_ROWS + 1)}}).encode())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_gives_rows_or_a_refusal(value: Any) -> None:
    for body in (value, {"dataframe_records": value}, {"inputs": value}, {"dataframe_split": value}):
        for read in (rows, lambda text: outcomes(text, NOW)):
            with contextlib.suppress(UsageError):
                assert read(json.dumps(body).encode())


@given(st.binary())
def test_any_bytes_give_rows_or_a_refusal(body: bytes) -> None:
    with pytest.raises(UsageError):
        rows(body)


def test_an_outcome_is_read_with_its_times() -> None:
    at = "1996-02-01T12:00:00+02:00"
    [found] = outcomes(json.dumps(GOOD | {"occurred_at": at}).encode(), NOW, source="file")
    assert (found.prediction_id, found.name, found.kind, found.value) == (ID, "price", "label", 1.5)
    assert from_micros(found.occurred_at) == datetime(1996, 2, 1, 10, tzinfo=UTC)
    assert abs(from_micros(found.recorded_at) - datetime.now(UTC)) < timedelta(minutes=1)
    assert found.source == "file"
    [without] = outcomes(json.dumps(GOOD).encode(), NOW)
    assert from_micros(without.occurred_at) == NOW


@pytest.mark.parametrize("value", [1.5, 7, "sold", True, None])
def test_an_outcome_has_any_scalar_value(value: Any) -> None:
    [found] = outcomes(json.dumps([GOOD | {"value": value}]).encode(), NOW)
    assert found.value == value
    assert isinstance(found.value, bool) == isinstance(value, bool)


def test_an_outcome_names_its_prediction_by_a_business_key() -> None:
    given = {"endpoint": "plots", "entity": 17, "name": "price", "kind": "response", "value": 1}
    [found] = outcomes(json.dumps(given).encode(), NOW)
    assert (found.endpoint, found.entity, found.prediction_id) == ("plots", "17", None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "'name' is empty"),
        ({"kind": "truth"}, "'kind' must be label or response"),
        ({"kind": 1}, "kind"),
        ({"value": [1]}, "value"),
        ({"value": {}}, "value"),
        ({"value": 10**400}, ""),
        ({"prediction_id": None}, "'prediction_id' is missing"),
        ({"prediction_id": None, "entity": "P1"}, "'prediction_id' is missing"),
        ({"prediction_id": "../../etc/passwd"}, "'prediction_id' is no prediction id"),
        ({"prediction_id": ID.upper()}, "'prediction_id' is no prediction id"),
        ({"occurred_at": "yesterday"}, "'occurred_at' must be a date or time"),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "'occurred_at' must be"),
        ({"occurred_at": "9999-12-31T23:59:59-14:00"}, "'occurred_at' must be"),
        ({"occurred_at": 7}, "occurred_at"),
        ({"prise": 7}, "prise"),
    ],
)
def test_a_wrong_outcome_is_refused_with_number_field_and_mend(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match="outcome 1: .*" + said) as refused:
        outcomes(json.dumps([GOOD, GOOD | change]).encode(), NOW)
    assert "send" in (refused.value.mend or "")


def test_without_a_clock_an_outcome_must_say_when() -> None:
    with pytest.raises(UsageError, match="'occurred_at' is missing"):
        outcomes(json.dumps(GOOD).encode(), None)
    assert outcomes(json.dumps(GOOD | {"occurred_at": "1996-01-01"}).encode(), None)


@pytest.mark.parametrize("body", [b"[]", b"7", b'"x"', b"null"])
def test_what_is_no_outcome_is_refused(body: bytes) -> None:
    with pytest.raises(UsageError):
        outcomes(body, NOW)


def test_too_many_outcomes_are_refused() -> None:
    with pytest.raises(UsageError, match="10001"):
        outcomes(json.dumps([GOOD] * (MOST_ROWS + 1)).encode(), NOW)


@given(st.datetimes(datetime(2, 1, 2), datetime(9998, 12, 30)), st.integers(-14, 14))  # noqa: DTZ001 - the zone follows
def test_moments_keep_their_place_in_time(naive: datetime, hours: int) -> None:
    zoned = naive.replace(tzinfo=timezone(timedelta(hours=hours)))
    assert moment(zoned.isoformat(), "it") == zoned
    assert from_micros(micros(zoned)) == zoned
