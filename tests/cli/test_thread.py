"""The commands of the thread, as a person types them."""

from pathlib import Path

import polars as pl
from tests.cli.conftest import Cli

FLOW = """
import polars as pl
import clew


@clew.step
def total(rows: pl.DataFrame, k: int) -> float:
    return float(rows["x"].sum()) * k


@clew.pipeline
def main(rows: pl.DataFrame = clew.dataset("rows@latest"), k: int = 1) -> None:
    total(rows, k)
"""


def test_used_by_and_compare_in_words(cli: Cli, home: Path) -> None:
    ids = list(range(200))
    pl.DataFrame({"id": ids, "x": [1.0] * 200}).write_parquet(home / "rows.parquet")
    (home / "flow.py").write_text(FLOW)
    assert cli("data", "add", "rows", "rows.parquet", "--key", "id").code == 0
    assert "nothing used it" in cli("data", "used-by", "rows@1").out
    first = cli("run", "flow.py", "--json").json()["run"]
    changed = pl.DataFrame({"id": [*ids[1:], 900], "x": [5.0, *[1.0] * 199]})
    changed.write_parquet(home / "rows.parquet")
    assert cli("data", "add", "rows", "rows.parquet").code == 0
    (home / "flow.py").write_text(FLOW.replace("* k", "+ k"))
    second = cli("run", "flow.py", "--set", "k=2", "--json").json()["run"]
    used = cli("data", "used-by", "rows@1").out
    assert f"run {first} (main, done) as rows" in used
    assert "step total, in 1 of the newest runs" in used
    assert "predictions: 0" in used
    said = cli("runs", "compare", first[-10:], "latest").out
    for expected in (
        f"{first} → {second}",
        "data       rows: rows@1 → rows@2 (1 added, 1 removed, 1 changed)",
        "parameter  k: 1 → 2",
        "step       total: ",
        '-    return float(rows["x"].sum()) * k',
        '+    return float(rows["x"].sum()) + k',
    ):
        assert expected in said, expected
    assert "nothing differs" in cli("runs", "compare", first, first).out
    assert cli("runs", "compare", first, "0" * 36).code == 3
    assert cli("model", "used-by", "nobody@1").code == 3
    assert cli("data", "used-by", "rows@1", "--most", "0").code == 2


def test_a_workspace_out_and_in_and_backed_up(cli: Cli, home: Path) -> None:
    pl.DataFrame({"x": [1.0, 2.0]}).write_parquet(home / "rows.parquet")
    assert cli("data", "add", "rows", "rows.parquet").code == 0
    out = cli("workspace", "export", "out", "--json").json()
    assert (home / "out" / "snapshots" / "rows" / "1.parquet").exists()
    assert cli("workspace", "export", "out").code == 6
    assert cli("workspace", "import", "out").code == 6
    assert cli("--workspace", "new", "init").code == 0
    assert cli("--workspace", "new", "workspace", "import", "nowhere").code == 3
    assert cli("--workspace", "new", "workspace", "import", "out", "--json").json()["rows"] == out["rows"]
    assert cli("--workspace", "new", "data", "show", "rows@1", "--json").json()["rows"] == 2
    assert "objects" in cli("workspace", "backup", "copy").out
    assert cli("workspace", "backup", "copy", "--json").json()["copied"] == 0
    assert cli("--workspace", "copy", "doctor").code == 0
    assert cli("workspace", "backup", ".").code == 6
    assert cli("journal", "compact", "--json").json() == {"segments": []}
