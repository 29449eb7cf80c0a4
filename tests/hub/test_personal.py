"""Personal data and what was decided of it, on the dataset's page."""

from pathlib import Path

import polars as pl
from tests.hub.client import Pages
from tests.thread.filled import opened

from clew.data import add
from clew.data.generalise import parse
from clew.data.policies import declare
from clew.hub import create_app

NOTE = "met her at the site, and agreed on the price with the heirs of number"


def test_the_page_shows_findings_with_their_policies_and_no_value(tmp_path: Path) -> None:
    with opened(tmp_path / "home") as workspace:
        declare(workspace, "people", "mail", "allow", "they publish it themselves")
        declare(workspace, "people", "born", "generalise", "the year is enough", parse("year"))
        frame = pl.DataFrame(
            {
                "mail": [f"p{n}@example.com" for n in range(40)],
                "born": [f"19{40 + n}-03-12" for n in range(40)],
                "note": [f"{NOTE} {n}" for n in range(40)],
            }
        ).with_columns(pl.col("born").str.to_date())
        add(workspace, "people", frame)
        pages = Pages(create_app(workspace))
        facts = pages.get("/api/datasets/people").json()
        assert [(one["column"], one["what"], one["rows"]) for one in facts["findings"]["personal"]] == [
            ("mail", "e-mail addresses", 40),
            ("note", "free text", 40),
        ]
        assert [one["action"] for one in facts["policies"]] == ["generalise to year", "allow"]
        page = pages.get("/datasets/people").text
        assert "Personal data" in page
        assert "generalise to year" in page
        assert "none needed" in page
        assert "p7@example.com" not in page
        assert NOTE not in page
