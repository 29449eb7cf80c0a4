"""`clew model import`, `compare`, `history`, `describe`, `card`; an imported model is served like any other."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.cli.conftest import Cli
from tests.models.kinds import onnx_line

import clew
from clew.data import add
from clew.models import Model
from clew.serving import runtime

HERE = Path(__file__).parents[1] / "models" / "mlflow"


class Times:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def predict(self, rows: pl.DataFrame) -> np.ndarray:
        return rows["x"].to_numpy() * self.factor


@pytest.fixture
def priced(cli: Cli, elsewhere: Path) -> Path:
    """A workspace with price@1 and price@2, of which the second is worse."""
    assert cli("init").code == 0
    rng = np.random.default_rng(1)
    x = rng.normal(size=100)
    rows = pl.DataFrame({"x": x, "y": 2 * x + rng.normal(size=100) * 0.1, "place": ["n", "s"] * 50})
    rows.write_parquet(elsewhere / "sales.parquet")
    with clew.open_workspace(elsewhere) as workspace:
        add(workspace, "sales", elsewhere / "sales.parquet")
        for factor in (2.0, 2.5):
            model = Model(Times(factor), example=rows.select("x"))
            with clew.record("price", workspace=workspace, parameters={"factor": factor}) as run:
                run.use("sales@1")
                run.register(model, train=rows, test=rows, target="y", groups={"place": rows["place"].to_list()})
    return elsewhere


def test_compare_says_how_they_differ(cli: Cli, priced: Path) -> None:
    found = cli("model", "compare", "price@1", "price@2", "--json").json()
    assert (found["a"], found["b"], found["rows"], found["on"]) == ("price@1", "price@2", 100, "its test rows")
    assert found["metrics"][0]["verdict"] == "worse"
    assert {one["value"] for one in found["slices"]} == {"n", "s"}
    words = cli("model", "compare", "price@1", "price@2").out
    assert "difference = price@2 − price@1" in words
    assert "place = n" in words
    on = cli("model", "compare", "price@1", "price@2", "--on", "sales@latest", "--json").json()
    assert (on["on"], on["metrics"]) == ("sales@1", found["metrics"])
    failed = cli("model", "compare", "price@1", "price@2", "--on", "sales@latest", "--target", "z")
    assert (failed.code, "no column 'z'" in failed.err) == (2, True)
    assert cli("model", "compare", "price@1", "price@9").code == 3


def test_describe_and_card(cli: Cli, priced: Path) -> None:
    assert cli("model", "describe", "price@1").code == 2
    assert cli("model", "describe", "price@1", "--use", "a first guess", "--limits", "not for plots").code == 0
    words = cli("model", "card", "price@2").out
    assert "a first guess" in words
    assert "Beside price@1 (the newest accepted version)" in words
    facts = cli("model", "card", "price@2", "--json").json()
    assert facts["limits"]["declared"] == "not for plots"
    assert facts["comparison"]["a"] == "price@1"
    said = cli("model", "card", "price@2", "--out", "card.md")
    assert (said.code, said.out) == (0, "")
    assert (priced / "card.md").read_text() == words
    assert cli("model", "card", "price@2", "--out", "card.md").code == 6


def test_history(cli: Cli, priced: Path) -> None:
    assert "no alias yet" in cli("model", "history", "price").out
    cli("model", "alias", "price@1", "staging", "--reason", "first")
    cli("model", "alias", "price@2", "staging", "--reason", "second")
    found = cli("model", "history", "price@staging", "--json").json()
    assert [(one["from"], one["to"], one["why"]) for one in found] == [
        ("price@1", "price@2", "second"),
        (None, "price@1", "first"),
    ]
    assert "second" in cli("model", "history", "price").out
    assert cli("model", "history", "nothing").code == 3


def test_an_imported_model_is_shown_predicted_with_and_served(cli: Cli, priced: Path) -> None:
    found = cli("model", "import", "home", HERE / "lightgbm_booster", "--data", "sales@1", "--json").json()
    assert (found["model"], found["provenance"], found["format"]) == ("home@1", "imported", "mlflow")
    assert "nothing is promised about how it was made" in cli("model", "import", "home", HERE / "lightgbm_booster").out
    assert "nothing is promised about how it was made" in cli("model", "show", "home@1").out
    assert cli("model", "show", "home@1", "--json").json()["slices"] == []
    rows = pl.DataFrame({"area": [1.0, 2.0], "age": [0.5, 0.1], "rooms": [3, 4]})
    rows.write_parquet("rows.parquet")
    assert cli("data", "add", "rows", "rows.parquet").code == 0
    assert cli("model", "predict", "home@1", "rows@1", "--out", "said.parquet").code == 0
    assert cli("endpoint", "create", "home", "--model", "home@1").code == 0
    with clew.open_workspace(priced) as workspace:
        loaded = runtime.load(workspace, clew.models.find(workspace, "home@1").id)

        async def ask() -> Any:
            return await loaded.predict(loaded.signature.rows(rows.to_dicts()))

        answer = asyncio.run(ask())
    assert answer.values == pl.read_parquet("said.parquet")["prediction"].to_list()
    assert "imported: it came from elsewhere" in cli("model", "card", "home@1").out


def test_what_is_refused_on_import(cli: Cli, priced: Path) -> None:
    refused = cli("model", "import", "home", HERE / "sklearn_pickle")
    assert (refused.code, "--trust-pickle" in refused.err) == (6, True)
    assert cli("model", "import", "home", HERE / "sklearn_pickle", "--trust-pickle").code == 0
    assert cli("model", "import", "home", priced).code == 2
    (priced / "line.onnx").write_bytes(onnx_line().SerializeToString())
    assert "example: made up" in cli("model", "import", "line", "line.onnx").out
