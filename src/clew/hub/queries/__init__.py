"""What the pages show, as JSON-able facts: the HTML page and its JSON twin are made from the same answer."""

from clew.hub.queries.datasets import changes, dataset, datasets, snapshot
from clew.hub.queries.endpoints import endpoint, endpoints
from clew.hub.queries.models import model, model_card, model_version, models
from clew.hub.queries.overview import overview
from clew.hub.queries.predictions import prediction, predictions
from clew.hub.queries.runs import RunQuery, log, run, runs
from clew.hub.queries.threads import against, thread

__all__ = [
    "RunQuery",
    "against",
    "changes",
    "dataset",
    "datasets",
    "endpoint",
    "endpoints",
    "log",
    "model",
    "model_card",
    "model_version",
    "models",
    "overview",
    "prediction",
    "predictions",
    "run",
    "runs",
    "snapshot",
    "thread",
]
