"""A journal of so many predictions and outcomes, through the real writer, sealed and compacted as a server's are."""

from pathlib import Path

from clew.serving.journal import Journal, Outcome, Prediction, compact
from way_back.catalog_rows import MODELS, ROUTES, Sizes, live_at
from way_back.ids import BEGIN_MS, YEAR_MS, ident

_BATCH = 5000
_LATE = 0.1  # an outcome comes a tenth of the whole time after its prediction
OUTCOME_EVERY = 5


def prediction_id(number: int, of: int) -> str:
    """The id of the `number`-th prediction."""
    return ident("prediction", number, of)


def write(folder: Path, count: int, runs: int) -> None:
    """Write and compact the journal, if it isn't there yet."""
    done = folder.with_suffix(".done")
    if done.exists():
        return
    size, late = Sizes(runs), int(count * _LATE)
    versions = {
        (model, revision): f"model-{model}@{live_at(size, model, revision) // MODELS + 1}"
        for model in range(MODELS)
        for revision in range(1, ROUTES + 1)
    }
    ids = {key: size.version_id(live_at(size, *key)) for key in versions}
    with Journal(folder, "server-1") as journal:
        for start in range(0, count, _BATCH):
            records: list[Prediction | Outcome] = []
            for number in range(start, min(start + _BATCH, count)):
                at = (BEGIN_MS + number * YEAR_MS // count) * 1000
                model, revision = number % MODELS, min(number * ROUTES // count + 1, ROUTES)
                records.append(
                    Prediction(
                        id=prediction_id(number, count),
                        endpoint=f"endpoint-{model}",
                        request_id=f"r{number}",
                        row=0,
                        model_version=versions[model, revision],
                        model_version_id=ids[model, revision],
                        role="champion",
                        share=1.0,
                        reason="the only version",
                        route_revision=revision,
                        entity=f"customer-{number % 50_000}",
                        occurred_at=at,
                        recorded_at=at,
                        inputs={
                            "area": 71.5 + number % 100,
                            "rooms": number % 9,
                            "city": "Bern",
                            "lat": 47.1 + number * 1e-7,
                        },
                        output=412_000.0 + number % 100_000,
                        latency_us=1240,
                    )
                )
                if number % OUTCOME_EVERY == 0 and number >= late:
                    records.append(
                        Outcome(
                            id=f"o{number}",
                            prediction_id=prediction_id(number - late, count),
                            name="price",
                            kind="label",
                            value=431_500.0,
                            occurred_at=at,
                            recorded_at=at,
                        )
                    )
            written = journal.append(records)
            if start // _BATCH % 20 == 0:
                written.result()
                compact(folder)  # what is sealed by now, so that the disk never holds all of it raw
        written.result()
    compact(folder)
    done.touch()
