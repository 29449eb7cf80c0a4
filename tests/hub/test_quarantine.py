"""What a contract found and kept out, on the dataset's page."""

from pathlib import Path

import polars as pl
import pytest
from tests.hub.client import Pages
from tests.thread.filled import HOSTILE, opened

from clew.data import Contract, add, quarantine
from clew.data.contract import Column, Rule
from clew.data.policies import declare
from clew.errors import RefusedError
from clew.hub import create_app


def test_the_page_shows_checks_and_what_was_kept_out_without_what_a_policy_hides(tmp_path: Path) -> None:
    with opened(tmp_path / "home") as workspace:
        declare(workspace, "sales", "buyer", "pseudonym", "to count buyers")
        frame = pl.DataFrame(
            {"id": range(40), "buyer": [f"Ann {n}" for n in range(40)], "place": [HOSTILE, "here"] * 20}
        )
        columns = {name: Column(type="string") for name in ("buyer", "place")}
        columns["id"] = Column(type="int64", max=37)
        rules = (Rule(name="early", expr="id < 5", severity="warning"),)
        contract = Contract(dataset="sales", columns=columns, rules=rules)
        with pytest.raises(RefusedError):
            add(workspace, "sales", frame, contract=contract)
        pages = Pages(create_app(workspace))
        add(workspace, "sales", frame, contract=contract, quarantine=True)
        facts = pages.get("/api/datasets/sales").json()
        (check,) = facts["checks"]
        assert (check["version"], check["passed"]) == (1, True)
        assert [one["rule"] for one in check["findings"]] == ["early"]
        (kept,) = facts["quarantines"]
        assert (kept["rows"], kept["of"], kept["state"]) == (2, 40, "live")
        assert [(one["rule"], one["failing_rows"]) for one in kept["rules"]] == [("early", 35), ("max 37", 2)]
        assert [(one["id"], one["buyer"], one["clew_rules"]) for one in kept["first"]] == [
            ("38", "•••", "id: max 37"),
            ("39", "•••", "id: max 37"),
        ]
        page = pages.get("/datasets/sales").text
        assert "Quarantine" in page
        assert "id: max 37" in page
        pseudonym = quarantine.scan(workspace, quarantine.find(workspace, "sales")).collect()["buyer"][0]
        assert pseudonym not in page
        assert "Ann" not in page
        assert HOSTILE not in page
        quarantine.forget(workspace, quarantine.find(workspace, "sales"))
        assert pages.get("/api/datasets/sales").json()["quarantines"][0]["first"] == []
        assert "expired" in pages.get("/datasets/sales").text
