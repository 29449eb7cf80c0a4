"""What each command prints: JSON with fixed keys, words without colour, the workspace named anywhere."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.cli.conftest import Cli, process
from tests.thread.filled import fill, opened

from clew.catalog import SCHEMA
from clew.cli._shared import emit, short

PIPELINE = """
import clew
import numpy as np
import polars as pl
from sklearn.linear_model import LinearRegression

@clew.step
def halves(points: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    return points.head(25), points.tail(25)

@clew.step
def train(rows: pl.DataFrame) -> clew.Model:
    inputs = rows.select("a", "b")
    return clew.Model(LinearRegression().fit(inputs, rows["y"].to_numpy()), example=inputs)

@clew.step
def evaluate(model: clew.Model, rows: pl.DataFrame) -> clew.Evaluation:
    return clew.Evaluation({"mae": float(np.abs(model.predict(rows) - rows["y"].to_numpy()).mean())})

@clew.pipeline(accept=[clew.at_most("mae", 0.1)])
def line(points: pl.DataFrame = clew.dataset("points@latest")) -> None:
    rows, test = halves(points)
    model = train(rows)
    clew.register("line", model=model, evaluation=evaluate(model, test), train=rows, test=test, target="y")
"""
POINTS = pl.DataFrame({"a": [float(n) for n in range(50)], "b": [float(n * n % 17) for n in range(50)]}).with_columns(
    y=pl.col("a") * 2 + pl.col("b") + 1
)


def keys(value: Any) -> set[str]:
    return set(value)


def test_data(cli: Cli, home: Path) -> None:
    path = home / "t.csv"
    path.write_text("id,x\n1,a\n2,b\n")
    added = cli("data", "add", "t", path, "--key", "id", "-m", "first", "--occurred-at", "2020-01-31", "--json").json()
    assert list(added) == ["dataset", "version", "id", "rows", "new_bytes", "changed"]
    assert (added["dataset"], added["version"], added["rows"], added["changed"]) == ("t", 1, 2, True)
    again = cli("data", "add", "t", path, "--json").json()
    assert (again["version"], again["new_bytes"], again["changed"]) == (1, 0, False)
    path.write_text("id,x\n1,a\n3,c\n")
    assert cli("data", "add", "t", path).out.startswith("t@2  2 rows  c1:")
    listed = cli("data", "list", "--json").json()
    assert [keys(one) for one in listed] == [{"dataset", "version", "kind", "rows", "id", "occurred_at"}]
    shown = cli("data", "show", "t@1", "--json").json()
    assert keys(shown) >= {"dataset", "version", "id", "kind", "rows", "schema", "key", "sources", "occurred_at"}
    assert (shown["key"], shown["occurred_at"]) == (["id"], "2020-01-31T00:00:00+00:00")
    assert shown["schema"] == [["id", "int64"], ["x", "string"]]
    changes = cli("data", "diff", "t@1", "t@2", "--json").json()
    assert (changes["by"], changes["added"], changes["removed"], changes["changed"]) == ("key", 1, 1, 0)
    out = cli("data", "checkout", "t@1", "out", "--json").json()
    assert out == {"reference": "t@1", "files": ["out/t.parquet"]}
    assert pl.read_parquet(home / "out" / "t.parquet").rows() == [(1, "a"), (2, "b")]
    verified = cli("data", "verify", "--json").json()
    assert [(one["reference"], one["fault"]) for one in verified] == [("t@2", None), ("t@1", None)]
    used = cli("data", "used-by", "t@1", "--json").json()
    assert (used["runs"], used["models"], used["predictions"]["total"]) == ([], [], 0)
    assert cli("data", "policy", "t", "--json").json() == []
    assert cli("data", "policy", "t", "x", "allow", "--reason", "fine", "--json").json() == [
        {"column": "x", "action": "allow", "reason": "fine"}
    ]
    (home / "in").mkdir()
    (home / "in" / "a").write_text("a")
    files = cli("data", "add", "files", "in", "--json").json()
    assert files["rows"] is None
    assert cli("data", "checkout", "files", "files-out", "--json").json()["files"] == ["files-out/a"]
    header = home / "none.csv"
    header.write_text("a,b\n")
    assert cli("data", "add", "none", header, "--json").json()["rows"] == 0
    assert cli("data", "show", "none").out.startswith("none@1  table  0 rows")
    for words in ("list", "show t", "diff t@1 t@2", "verify t", "used-by t", "policy t", "show files"):
        said = cli("data", *words.split())
        assert (said.code, said.err) == (0, "")
        assert said.out.endswith("\n")
        assert "\x1b" not in said.out


def test_contracts(cli: Cli, home: Path) -> None:
    POINTS.write_parquet(home / "p.parquet")
    assert cli("data", "add", "p", "p.parquet").code == 0
    inferred = cli("contract", "infer", "p", "--json").json()
    assert keys(inferred) == {"dataset", "contract", "findings"}
    (home / "c.toml").write_text(inferred["contract"])
    said = cli("contract", "infer", "p")
    assert said.out == inferred["contract"]
    checked = cli("contract", "check", "p", "--contract", "c.toml", "--json").json()
    assert keys(checked) == {"reference", "passed", "results"}
    assert checked["passed"]
    assert cli("contract", "check", "p").code == 0  # it has become the dataset's own


def test_leakage(cli: Cli, home: Path) -> None:
    rows = POINTS.with_columns(told=pl.col("y") * 2, part=pl.int_range(pl.len()) % 2 == 0)
    pl.concat([rows] * 10).write_parquet(home / "p.parquet")
    assert cli("data", "add", "p", "p.parquet").code == 0
    said = cli("data", "leakage", "p", "--target", "y", "--split-by", "part", "--json").json()
    assert keys(said) == {"reference", "train_rows", "test_rows", "findings"}
    assert (said["train_rows"], said["test_rows"]) == (250, 250)
    assert {one["column"] for one in said["findings"]} >= {"told"}
    pl.DataFrame({"a": [n * 0.7 for n in range(90)], "b": [n * n % 89 for n in range(90)]}).write_parquet(
        home / "q.parquet"
    )
    assert cli("data", "add", "q", "q.parquet").code == 0
    assert cli("data", "leakage", "q", "--test", "q").out == "(rows): 90 of 90 test rows are in the training as well\n"
    assert cli("data", "leakage", "p", "--target", "y", "--strict").code == 6
    assert cli("data", "leakage", "p", "--strict").out == "p@1: nothing leaks\n"
    assert cli("data", "leakage", "p", "--target", "y", "--test", "p", "--split-by", "part").code == 2
    assert cli("data", "leakage", "p", "--target", "why").code == 2


def test_from_points_to_predictions(cli: Cli, home: Path) -> None:
    POINTS.write_parquet(home / "p.parquet")
    (home / "line.py").write_text(PIPELINE)
    assert cli("data", "add", "points", "p.parquet").code == 0
    planned = cli("run", "line.py", "--plan", "--json").json()
    assert [one["name"] for one in planned][:3] == ["halves", "train", "evaluate"]
    run = cli("run", "line.py:line", "--json").json()
    assert list(run) == ["run", "status", "steps", "metrics", "models"]
    assert {one["status"] for one in run["steps"]} == {"ran"}
    assert all(list(one) == ["name", "status", "why"] for one in run["steps"])
    assert run["models"] == ["line@1"]
    again = cli("run", "line.py", "--json").json()
    assert {one["status"] for one in again["steps"]} <= {"cached", "ran"}
    assert cli("data", "used-by", "points@1", "--json").json()["models"][0]["model"] == "line@1"
    shown = cli("model", "show", "line", "--json").json()
    assert keys(shown) >= {"model", "state", "id", "run", "metrics", "verdicts", "inputs", "signature", "aliases"}
    assert cli("model", "list", "--json").json()[-1]["model"] == "line@1"
    moved = cli("model", "alias", "line@1", "staging", "--json").json()
    assert (moved["alias"], moved["to"]) == ("line@staging", "line@1")
    predicted = cli("model", "predict", "line@staging", "points", "--out", "out.parquet", "--json").json()
    assert (predicted["model"], predicted["rows"]) == ("line@1", 50)
    assert (pl.read_parquet(home / "out.parquet")["prediction"] - POINTS["y"]).abs().max() < 1e-6  # type: ignore[operator]
    assert cli("model", "predict", "line", "points", "--out", "out.parquet").code == 6
    endpoint = cli("endpoint", "create", "line", "--model", "line@1", "--json").json()
    assert endpoint["model"] == "line@1"
    first, last = run["run"], again["run"]
    assert keys(cli("runs", "compare", first, last, "--json").json())
    explained = cli("runs", "explain", last, "train", "--json").json()
    assert explained["step"] == "train"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("filled")
    with opened(root) as workspace:
        found = fill(workspace)
        from clew.serving import all_endpoints

        names = {"endpoint": next(iter(all_endpoints(workspace))), "prediction": found.predictions[0]}
        return workspace.root, names


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("data list", {"dataset", "version"}),
        ("runs list", {"run", "name", "state", "models"}),
        ("runs show latest", {"run", "status", "steps", "metrics"}),
        ("model list", {"model", "state", "id"}),
        ("endpoint list", {"endpoint", "live", "revision"}),
        ("rollout status {endpoint}", {"endpoint", "state", "share", "champion", "candidate", "decisions"}),
        ("why {prediction}", {"prediction"}),
        ("doctor", {"what", "found", "ok"}),
        ("upgrade", {"migrations"}),
    ],
)
def test_every_reading_command_prints_json_and_words(
    cli: Cli, filled: tuple[Path, dict[str, str]], words: str, wanted: set[str]
) -> None:
    root, names = filled
    given = words.format(**names).split()
    said = cli("--workspace", root, *given, "--json")
    value = said.json()
    first = value[0] if isinstance(value, list) else value
    assert keys(first) >= wanted
    if "decisions" in first:
        assert all(keys(one) >= {"at", "verdict", "reason", "evidence"} for one in first["decisions"])
    plain = cli(*given, "--workspace", root)
    assert plain.code == said.code
    assert plain.out.strip()
    assert "\x1b" not in plain.out


def test_the_workspace_may_be_named_anywhere(cli: Cli, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = elsewhere / "the re"
    assert cli("--workspace", there, "init", "--json").json() == {"workspace": str(there), "created": True}
    assert cli("init", there, "--json").json()["created"] is False
    (elsewhere / "t.csv").write_text("a\n1\n")
    for words in (
        ["--workspace", there, "data", "add", "t", "t.csv"],
        ["data", f"--workspace={there}", "list"],
        ["data", "show", "t", "--workspace", there / ".clew"],
    ):
        monkeypatch.delenv("CLEW_WORKSPACE", raising=False)
        assert cli(*words).code == 0
    monkeypatch.delenv("CLEW_WORKSPACE", raising=False)
    assert cli("data", "list").code == 3
    monkeypatch.setenv("CLEW_WORKSPACE", str(there))
    assert cli("data", "list").code == 0
    # After `--` all words are plain words.
    assert cli("data", "show", "--", "--workspace").code == 3


def test_init_twice_and_over_another(cli: Cli, home: Path) -> None:
    said = cli("init")
    assert (said.code, said.out) == (0, f"there is already a workspace in {home}\n")
    said = cli("init", "--catalog", "postgresql://u@h/d", "--objects", "s3://b/x")
    assert said.code == 6
    assert "another" in said.err


def test_upgrade_brings_an_older_schema_up(cli: Cli, home: Path) -> None:
    catalog = sqlite3.connect(home / ".clew" / "catalog.sqlite")
    catalog.execute("PRAGMA foreign_keys=OFF")
    for (table,) in catalog.execute("select name from sqlite_master where type = 'table'").fetchall():
        catalog.execute(f'DROP TABLE "{table}"')
    catalog.close()
    said = cli("data", "list")
    assert said.code == 5
    assert "mend: clew" in said.err
    assert cli("upgrade", "--json").json() == {"migrations": ["0001", "0002", "0003", "0004", "0005", SCHEMA]}
    assert cli("upgrade").out == "nothing to do\n"
    assert cli("data", "list").code == 0


def test_numbers_that_json_has_not_become_null(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"a": float("nan"), "b": [float("inf"), 1.5, (float("-inf"),)]}, as_json=True, words=str)
    assert json.loads(capsys.readouterr().out, parse_constant=str) == {"a": None, "b": [None, 1.5, [None]]}
    assert short("c1:0123456789abcdef") == "c1:0123456789"


BUDGET = """
import sys
{}
heavy = {{"polars", "pyarrow", "sklearn", "sqlalchemy", "numpy", "pandas", "obstore", "uvicorn", "starlette"}}
print(sorted(heavy & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "code",
    [
        "import clew",
        "import clew, clew.errors, clew.data, clew.models, clew.pipelines",
        "import clew.cli\ntry:\n    clew.cli.main(['--help'])\nexcept SystemExit:\n    pass",
        "import clew.cli\ntry:\n    clew.cli.main(['data', 'add', '--help'])\nexcept SystemExit:\n    pass",
        "import clew.cli\ntry:\n    clew.cli.main(['--version'])\nexcept SystemExit:\n    pass",
    ],
)
def test_what_is_not_needed_is_not_loaded(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BUDGET.format(code)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_as_a_process(home: Path) -> None:
    del home
    assert process("--version").out.count(".") >= 1
    said = process("--help", NO_COLOR="1", TERM="xterm-256color", FORCE_COLOR="")
    assert said.code == 0
    assert all(noun in said.out for noun in ("data", "contract", "run", "model", "endpoint", "rollout", "monitor"))
    assert "\x1b" not in said.out + said.err
    said = process("data", "show", "größe@1", NO_COLOR="1", LC_ALL="C.UTF-8")
    assert said.code == 3
    assert "'größe'" in said.err


def test_words_that_are_no_text_are_refused(cli: Cli, home: Path) -> None:
    del home
    for words in (["data", "show", "\udcff@1"], ["data", "add", "t", "\udcff.csv"], ["data", "list", "\udcff"]):
        said = cli(*words)
        assert said.code == 2
        assert "not UTF-8" in said.err
        assert "mend:" in said.err
