"""Predictions and outcomes to journal in tests, each known by a number."""

import msgspec

from clew.serving.journal import Outcome, Prediction, Shadow

PREDICTION = Prediction(
    id="",
    endpoint="house-price",
    request_id="r1",
    row=0,
    model_version="house-price@2",
    model_version_id="m2",
    role="champion",
    share=0.95,
    reason="sticky",
    route_revision=3,
    entity="c-17",
    occurred_at=1_760_000_000_000_000,
    recorded_at=1_760_000_000_000_100,
    inputs={"rooms": 3, "area": 71.5, "city": "Bern", "garden": True, "year": None},
    output=412_000.0,
    others=[Shadow(model_version="house-price@3", model_version_id="m3", role="candidate", output=1.0, latency_us=9)],
    latency_us=120,
)


def uid(number: int) -> str:
    return f"{number:08x}-0000-7000-8000-000000000000"


def prediction(number: int) -> Prediction:
    return msgspec.structs.replace(PREDICTION, id=uid(number), recorded_at=PREDICTION.recorded_at + number)


def outcome(number: int, value: float | str | bool | None = 1.0) -> Outcome:
    at = PREDICTION.recorded_at + 10_000 + number
    return Outcome(
        id=f"o{number}",
        prediction_id=uid(number),
        name="price",
        kind="label",
        value=value,
        occurred_at=at,
        recorded_at=at,
    )
