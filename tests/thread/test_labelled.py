"""Rows whose truth has come: what an endpoint was asked, and what came true."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from msgspec.structs import replace
from tests.thread.filled import DAY, fill, opened, outcome_of, predictions

from clew import models
from clew.catalog.columns import new_id
from clew.errors import NotFoundError
from clew.serving.journal import Journal
from clew.serving.requests import from_micros
from clew.thread.labelled import labelled


def test_predictions_with_their_first_label(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        filled = fill(workspace)
        version = models.find(workspace, "house-price@1")
        names = version.signature_of().names
        asked = [
            replace(one, id=new_id(), endpoint="flat", inputs=dict.fromkeys(names)) for one in predictions(filled, 4)
        ]
        with pytest.raises(NotFoundError, match="no label 'price' for endpoint flat"):
            labelled(workspace, "flat", version, "price")
        again = outcome_of(asked[1], 7.0)  # a label that came again
        with Journal(workspace.journal, "tests") as journal:
            journal.append(asked).result()
            journal.append([
                outcome_of(asked[0], 100),
                outcome_of(asked[1], 100.5),
                replace(again, occurred_at=again.occurred_at + DAY // timedelta(microseconds=1)),
                replace(outcome_of(asked[2], value=True), kind="response"),
                outcome_of(asked[3], 300.0, name="rent"),
            ]).result()  # fmt: skip
        rows = labelled(workspace, "flat", version, "price")
        assert rows.columns == [*names, "price"]
        assert rows["price"].to_list() == [100.0, 100.5]
        assert rows.schema["price"] == pl.Float64
        later = labelled(workspace, "flat", version, "price", since=from_micros(asked[1].occurred_at))
        assert later["price"].to_list() == [100.5]
