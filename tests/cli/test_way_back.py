"""`clew model rebuild`, `wheels` and `bisect`, as they are typed."""

from pathlib import Path

import polars as pl
import pytest
from tests.cli.conftest import Cli
from tests.cli.test_commands import PIPELINE, POINTS

from clew.models import environments

NOISY = PIPELINE.replace(
    'rows["y"].to_numpy())', 'rows["y"].to_numpy() + np.random.default_rng().normal(size=25) / 1e3)'
)


@pytest.fixture
def line(cli: Cli, home: Path) -> Path:
    """A workspace in which line@1 stands."""
    POINTS.write_parquet(home / "p.parquet")
    (home / "line.py").write_text(PIPELINE)
    assert cli("data", "add", "points", "p.parquet").code == 0
    assert cli("run", "line.py").code == 0
    return home


@pytest.mark.usefixtures("line")
def test_rebuild(cli: Cli) -> None:
    said = cli("model", "rebuild", "line@1", "--json").json()
    assert list(said)[:3] == ["model", "verdict", "causes"]
    assert (said["model"], said["verdict"], said["causes"]) == ("line@1", "identical", [])
    refused = cli("model", "rebuild", "line@1", "--tolerance", "2")
    assert refused.code == 6
    assert "2.0 is no share" in refused.err


def test_rebuild_within_a_tolerance(cli: Cli, line: Path) -> None:
    (line / "line.py").write_text(NOISY)
    assert cli("run", "line.py").code == 0
    done = cli("model", "rebuild", "line@2", "--tolerance", "0.9")
    assert done.code == 0, done.err
    assert done.out.startswith("line@2: within-tolerance\n")
    assert "randomness without a seed" in done.out


@pytest.mark.usefixtures("line")
def test_wheels_and_offline(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = environments.read_lock
    few = ("packaging",)  # to pack all that is installed takes a minute
    monkeypatch.setattr(environments, "read_lock", lambda text: {n: v for n, v in whole(text).items() if n in few})
    missing = cli("model", "rebuild", "line@1", "--offline")
    assert missing.code == 3
    assert "clew model wheels" in missing.err
    assert cli("model", "wheels", "line@1", "--json").json()["new"] == 1
    assert cli("model", "wheels", "line@1").out.startswith("1 wheels are kept for line@1, 0 of them new")


def test_bisect(cli: Cli, line: Path) -> None:
    POINTS.with_columns(a=pl.col("a") * 3).write_parquet(line / "p.parquet")
    rows = POINTS.with_columns(a=pl.col("a") + 0.25, y=pl.col("y") + 0.5)
    rows.write_parquet(line / "q.parquet")
    (line / "line.py").write_text(PIPELINE.replace("0.1)", "1e9)"))
    assert cli("data", "add", "points", "p.parquet").code == 0
    assert cli("data", "add", "fresh", "q.parquet").code == 0
    assert cli("run", "line.py").code == 0
    found = cli("model", "bisect", "line@1", "line@2", "--on", "fresh@1", "--budget", "9", "--json").json()
    assert found["verdict"] == "found"
    words = cli("model", "bisect", "line@1", "line@2", "--on", "fresh@1")
    assert words.out.startswith("line@1 → line@2: found\n")
    assert "a of points differs in 49 of 50 rows: it is 3 times what it was" in " ".join(words.out.split())
    for options, code, says in (
        (("--outcomes", "nowhere"), 3, "no label 'y' for endpoint nowhere"),
        (("--on", "fresh@1", "--outcomes", "line"), 2, "both name rows"),
        (("--budget", "1"), 2, "tell nothing"),
        (("--build-seconds", "0"), 2, "--build-seconds 600"),
        (("--metric", "fairness"), 2, "is no metric"),
    ):
        said = cli("model", "bisect", "line@1", "line@2", *options)
        assert (said.code, says in said.err) == (code, True), said.err
