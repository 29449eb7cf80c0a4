"""Exit codes, with a mend on stderr and nothing but results on stdout."""

import gzip
import socket
import sys
from pathlib import Path

import polars as pl
import pytest
from tests.cli.conftest import Cli, Said, process, start

PIPELINE = """
import clew
import polars as pl

@clew.step
def first(rows: pl.DataFrame) -> pl.DataFrame:
    return rows

@clew.step
def broken(rows: pl.DataFrame) -> pl.DataFrame:
    raise ZeroDivisionError("a step of the user's own")

@clew.step
def after(rows: pl.DataFrame) -> pl.DataFrame:
    return rows

@clew.pipeline()
def p(rows: pl.DataFrame = clew.dataset("t@latest")) -> None:
    after(broken(first(rows)))
"""


def refused(said: Said, code: int, *says: str) -> None:
    assert said.code == code, said
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert "\n  mend: " in said.err
    assert "Traceback" not in said.err
    for part in says:
        assert part in said.err, said.err


@pytest.fixture
def table(cli: Cli, home: Path) -> Path:
    """A dataset `t` from a file, and the file."""
    path = home / "t.csv"
    path.write_text("id,name_of_thing,size\n1,a,1.5\n2,b,2.5\n")
    assert cli("data", "add", "t", path).code == 0
    return path


@pytest.mark.parametrize(
    "words",
    [
        "data list", "data show t", "data add t x.csv", "doctor", "upgrade", "runs list", "model list",
        "endpoint list", "why x", "contract infer t", "rollout status e", "monitor status e", "run x.py",
        "--workspace nowhere data list", "data list --workspace=nowhere",
    ],
)  # fmt: skip
def test_3_no_workspace(cli: Cli, words: str) -> None:
    refused(cli(*words.split()), 3, "no workspace", "clew init")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("data show t@9", "t has version 1"),
        ("data show nope", "there are: t"),
        ("data checkout t@9 out", "version 1"),
        ("data verify nope@1", "there are: t"),
        ("data diff t@1 t@2", "version 1"),
        ("data used-by t@nope", "version 1"),
        ("data policy nope", "no dataset"),
        ("contract infer t@9", "version 1"),
        ("contract check t", "no contract"),
        ("contract check t --contract none.toml", "none.toml"),
        ("data add t none.csv", "none.csv"),
        ("data add t t.csv --contract none.toml", "none.toml"),
        ("run none.py", "none.py"),
        ("runs show latest", "nothing has run"),
        ("model show m@1", "no model"),
        ("model predict m t --out p.parquet", "no model"),
        ("outcome add none.json", "none.json"),
        ("why 01234567-0123-7123-8123-0123456789ab", ""),
        ("endpoint create e --model m@1", "no model"),
        ("contract infer t --out no/such/folder/c.toml", "no/such/folder"),
    ],
)
def test_3_not_found(cli: Cli, table: Path, words: str, says: str) -> None:
    del table
    refused(cli(*words.split()), 3, says)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b"id,name_of_thing,size\n3,c\n", "row 1 (line 2) has 2 fields"),
        (b"id,name_of_thing,size\n3,c,1,1\n", "row 1 (line 2) has 4 fields"),
        (b"id,name_of_thing,size\nx,c,1\n", "row 1: 'x'"),
        (b"\x89PNG\x00\xff", "UTF-8"),
        (gzip.compress(b"id\n1\n" * 9999, mtime=0)[:60], "can't be read"),
    ],
)
def test_1_broken_data(cli: Cli, table: Path, body: bytes, says: str) -> None:
    table.write_bytes(body)
    refused(cli("data", "add", "t", table), 1, says)


def test_1_a_step_raises(cli: Cli, table: Path) -> None:
    (table.parent / "p.py").write_text(PIPELINE)
    said = cli("run", "p.py", "--json")
    assert said.code == 1
    assert "ZeroDivisionError: a step of the user's own" in said.err
    assert "\n  mend: " in said.err
    found = said.json()
    assert [(one["name"], one["status"]) for one in found["steps"]][:2] == [("first", "ran"), ("broken", "failed")]
    assert (found["status"], found["metrics"], found["models"]) == ("failed", {}, [])
    assert cli("runs", "show", found["run"], "--json").json()["status"] == "failed"
    (table.parent / "syntax.py").write_text("def (")
    said = cli("run", "syntax.py")
    assert said.code == 1
    assert "SyntaxError" in said.err
    assert "mend:" in said.err
    (table.parent / "raises.py").write_text("1 / 0")
    said = cli("run", "raises.py")
    assert said.code == 1
    assert "ZeroDivisionError" in said.err


def test_1_damaged(cli: Cli, table: Path) -> None:
    (fragment,) = [path for path in (table.parent / ".clew" / "objects").rglob("*") if _is_parquet(path)]
    fragment.chmod(0o644)
    fragment.write_bytes(fragment.read_bytes()[:-1] + b"\0")
    said = cli("data", "verify", "--json")
    assert said.code == 1
    assert "damaged" in said.json()[0]["fault"]
    assert "mend:" in said.err
    said = cli("doctor", "--json")
    assert said.code == 1
    assert {one["what"] for one in said.json() if not one["ok"]} == {"objects", "snapshots"}
    assert "mend:" in said.err
    fragment.unlink()
    said = cli("doctor")
    assert said.code == 1
    assert "BAD  objects" in said.out
    assert "MISSING" in said.out


def _is_parquet(path: Path) -> bool:
    return path.is_file() and path.read_bytes()[:4] == b"PAR1" and b"clew.fragments" not in path.read_bytes()


def test_6_a_schema_or_a_policy_or_a_contract_says_no(cli: Cli, table: Path) -> None:
    table.write_text("id,size\n1,1.5\n")
    refused(cli("data", "add", "t", table), 6, "columns vanished: name_of_thing", "--accept-schema")
    assert cli("data", "add", "t", table, "--accept-schema").code == 0
    people = table.parent / "people.csv"
    people.write_text("id,email\n" + "".join(f"{n},p{n}@example.com\n" for n in range(20)))
    refused(cli("data", "add", "people", people), 6, "e-mail addresses in 20 of 20", "clew data policy people email")
    assert cli("data", "policy", "people", "email", "drop", "--reason", "not needed").code == 0
    assert cli("data", "add", "people", people, "--json").json()["rows"] == 20
    pl.DataFrame({"n": range(100)}).write_parquet("good.parquet")
    assert cli("data", "add", "n", "good.parquet").code == 0
    assert cli("contract", "infer", "n", "--out", "n.toml").code == 0
    refused(cli("contract", "infer", "n", "--out", "n.toml"), 6, "is there already")
    assert cli("contract", "check", "n", "--contract", "n.toml").code == 0
    pl.DataFrame({"n": [None, *range(99)]}, schema={"n": pl.Int64}).write_parquet("bad.parquet")
    refused(cli("data", "add", "n", "bad.parquet"), 6, "breaks its contract", "n:")
    said = cli("data", "add", "n2", "bad.parquet")
    assert said.code == 0
    said = cli("contract", "check", "n2", "--contract", "n.toml", "--json")
    assert said.code == 6
    assert not said.json()["passed"]
    assert "mend:" in said.err


@pytest.mark.parametrize(
    "words",
    [
        "nonsense", "data nonsense", "data add", "data add t", "data show", "data list --nonsense", "model predict m t",
        "run", "endpoint create e", "hub --port x",
    ],
)  # fmt: skip
def test_2_wrong_usage_of_words(cli: Cli, words: str) -> None:
    said = cli(*words.split())
    assert said.code == 2, said
    assert said.out == ""
    assert "Usage" in said.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["data", "show", "t@@1"], "is no reference"),
        (["data", "add", "no good", "t.csv"], "can't be a name"),
        (["data", "add", "t", "t.csv", "--key", "nope"], "no column 'nope'"),
        (["data", "add", "t", "t.csv", "--occurred-at", "soon"], "no date"),
        (["data", "policy", "t", "size", "shred", "--reason", "x"], "'shred' is no policy"),
        (["data", "policy", "t", "size"], "is no policy"),
        (["data", "policy", "t", "size", "drop"], "needs its reason"),
        (["init", "x", "--catalog", "postgresql://u:p@h/d", "--objects", "s3://b/x"], "holds a password"),
        (["init", "x", "--catalog", "postgresql://u@h/d"], "needs both"),
        (["init", "x", "--catalog", "nonsense", "--objects", "s3://b/x"], "can't be read"),
        (["data", "list", "--workspace"], "names no folder"),
        (["data", "list", "--workspace="], "names no folder"),
        (["serve", "--clock", "sand"], "neither wall nor data"),
    ],
)
def test_2_wrong_usage_of_values(cli: Cli, table: Path, words: list[str], says: str) -> None:
    said = cli(*words)
    assert said.code == 2
    assert said.out == ""
    assert says in said.err
    assert "Traceback" not in said.err
    assert not (table.parent / "x" / ".clew").exists()


def test_4_an_address_for_others_without_a_token(cli: Cli, home: Path) -> None:
    del home
    for command in ("serve", "hub"):
        refused(cli(command, "--host", "0.0.0.0"), 4, "CLEW_TOKEN")


@pytest.mark.parametrize("command", ["serve", "hub"])
def test_5_a_taken_port(home: Path, command: str) -> None:
    del home
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = process(command, "--port", port)
    refused(said, 5, str(port))


def test_5_a_catalog_that_is_damaged(cli: Cli, table: Path) -> None:
    (table.parent / ".clew" / "catalog.sqlite").write_bytes(b"this is no database" * 500)
    for suffix in ("-wal", "-shm"):
        (table.parent / ".clew" / f"catalog.sqlite{suffix}").unlink(missing_ok=True)
    refused(cli("data", "list"), 5, "database")
    refused(cli("doctor"), 5, "database")


def test_5_places_that_can_not_be_written(cli: Cli, table: Path) -> None:
    refused(cli("data", "checkout", "t", table / "below-a-file.parquet"), 5, "can't be written")
    refused(cli("init", table / "below"), 3, "t.csv")
    said = cli("contract", "infer", "t", "--out", "/proc/nothing/c.toml")
    assert said.code in (3, 5)
    assert "mend:" in said.err


def test_stdout_that_nobody_reads_or_that_is_full(table: Path) -> None:
    child = start("data", "list", "--json")
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    err = child.stderr.read()
    child.wait(60)
    child.stderr.close()
    assert err == ""
    full = process_to_full_disk(table)
    assert full.code == 5
    assert "disk is full" in full.err
    assert "Traceback" not in full.err


def process_to_full_disk(table: Path) -> Said:
    import subprocess

    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "clew.cli", "data", "list"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=table.parent,
        )  # fmt: skip
    return Said(done.returncode, "", done.stderr)
