"""A team's workspace, in PostgreSQL and S3, through the same commands."""

from pathlib import Path

import polars as pl
import pytest
from tests.cli.conftest import Cli
from tests.cli.test_commands import PIPELINE, POINTS
from tests.servers.s3 import S3Server

PASSWORD = "a-password-that-nobody-asks-for"


@pytest.fixture
def team(
    cli: Cli, elsewhere: Path, s3_server: S3Server, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, list[str]]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    where = ["--catalog", postgres_database, "--objects", s3_server.url()]
    said = cli("init", *where)
    assert said.code == 0, said
    return elsewhere, where


def test_from_data_to_predictions(cli: Cli, team: tuple[Path, list[str]], s3_server: S3Server) -> None:
    home, where = team
    assert cli("init", *where, "--json").json()["created"] is False
    POINTS.write_parquet(home / "p.parquet")
    (home / "line.py").write_text(PIPELINE)
    added = cli("data", "add", "points", "p.parquet", "--json").json()
    assert (added["version"], added["changed"]) == (1, True)
    assert cli("data", "add", "points", "p.parquet", "--json").json()["new_bytes"] == 0
    pl.concat([POINTS, POINTS[:1]]).write_parquet(home / "p.parquet")
    assert cli("data", "add", "points", "p.parquet", "--json").json()["new_bytes"] < added["new_bytes"]
    run = cli("run", "line.py", "--json").json()
    assert (run["status"], run["models"]) == ("done", ["line@1"])
    said = cli("model", "predict", "line@1", "points@1", "--out", "out.parquet")
    assert said.code == 0, said
    assert (pl.read_parquet(home / "out.parquet")["prediction"] - POINTS["y"]).abs().max() < 1e-6  # type: ignore[operator]
    # Another machine of the team sees the same.
    other = home / "other"
    assert cli("--workspace", other, "init", *where, "--json").json()["created"] is True
    assert [one["dataset"] for one in cli("data", "list", "--json").json()] == ["points"]
    assert cli("data", "checkout", "points@1", "again", "--json").code == 0
    assert pl.read_parquet(home / "again" / "points.parquet").equals(POINTS)
    assert cli("model", "list", "--json").json()[0]["model"] == "line@1"
    assert cli("doctor").code == 0
    assert all(one["fault"] is None for one in cli("data", "verify", "--json").json())
    hidden = [s3_server.access_key_id, s3_server.secret_access_key, PASSWORD]
    files = [path for path in home.rglob("*") if path.is_file()]
    assert any(path.name == "config.toml" for path in files)
    assert not [path for path in files for secret in hidden if secret.encode() in path.read_bytes()]
    # A store that doesn't let us in says so, and says no secret.
    for name, value in (("secret", "wrong-secret-key"),):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_SECRET_ACCESS_KEY", value)
            said = cli("data", "checkout", "points@1", f"never-{name}")
        assert said.code == 5
        assert value not in said.err
        assert "mend:" in said.err
