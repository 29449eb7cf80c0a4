"""Whatever a controller or a monitor leaves as evidence, the endpoint's page shows it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.hub.client import Pages
from tests.hub.test_pictures import JSON
from tests.thread.filled import BEGIN, fill, opened

from clew.catalog.commands import RecordReport
from clew.catalog.tables import builds, models
from clew.hub import create_app, render
from clew.thread import describe, why

ODD = st.fixed_dictionaries(
    {},
    optional={
        "guards": JSON | st.dictionaries(st.sampled_from(["harm", "safe", "x"]), JSON, max_size=2),
        "interval": JSON,
        "mean_difference": JSON,
        "columns": JSON | st.lists(st.fixed_dictionaries({"column": JSON, "changes": JSON, "log_e": JSON}), max_size=2),
        "performance": JSON | st.fixed_dictionaries({"live": JSON, "interval": JSON, "alarm": JSON}),
        "other": JSON,
    },
)


TEMPLATES = render.environment()


@settings(deadline=None)  # the first call compiles the templates
@given(JSON | ODD)
def test_any_evidence_and_any_report_is_shown_escaped(value: Any) -> None:
    for macro in ("evidence", "report"):
        text = f'{{% import "_evidence.html" as proof %}}{{{{ proof.{macro}(value) }}}}'
        assert "<script" not in TEMPLATES.from_string(text).render(value=value)


@pytest.mark.parametrize("report", [{}, {"columns": "odd", "performance": 3}, [1, {"a": None}], "text"])
def test_a_report_of_another_shape_is_shown(tmp_path: Path, report: Any) -> None:
    with opened(tmp_path) as workspace:
        made = fill(workspace)
        workspace.catalog.execute(
            RecordReport(
                monitor_id=made.monitor_id,
                model_version_id=made.versions[1],
                report=report,
                progress={},
                occurred_at=BEGIN,
            )
        )
        assert Pages(create_app(workspace)).get("/endpoints/house-price").status_code == 200


@pytest.mark.parametrize("odd", [3, "text", [1, None, "x"], {"a": [{"b": 1}]}])
def test_a_version_whose_documents_have_another_shape_is_shown(tmp_path: Path, odd: Any) -> None:
    with opened(tmp_path) as workspace:
        made = fill(workspace)
        with workspace.catalog.engine.connect().execution_options(clew_write=True) as connection, connection.begin():
            versions, evaluations, runs = models.model_versions, models.model_evaluations, builds.runs
            documents = {"signature": odd, "metrics": odd, "verdicts": odd}
            connection.execute(versions.update().values(**documents))
            connection.execute(evaluations.update().values(metrics=odd, slices=odd))
            connection.execute(runs.update().values(parameters=odd, criteria=odd))
        pages = Pages(create_app(workspace))
        for path in ("/", "/models", "/models/house-price", "/models/house-price/2", f"/runs/{made.runs['train 2']}"):
            assert pages.get(path).status_code == 200, path
        assert pages.get(f"/predictions/{made.predictions[0]}").status_code == 200
        assert describe(why(workspace, made.predictions[0]))
