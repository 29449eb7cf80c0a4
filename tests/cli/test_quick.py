"""What is answered without the catalog's own code is answered as that would."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, Said

from clew.catalog.glance import version_of
from clew.cli import _quick


@pytest.fixture
def pictures(cli: Cli, home: Path) -> Path:
    """A folder of files, two versions of it as a dataset, and a table."""
    folder = home / "in"
    (folder / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/ü c"):
        (folder / name).write_text(f"text {name}")
    assert cli("data", "add", "pictures", folder).code == 0
    (folder / "a").write_text("other")
    settle(folder)
    assert cli("data", "add", "pictures", folder).code == 0
    table = home / "table.csv"
    table.write_text("x\n1\n")
    assert cli("data", "add", "numbers", table).code == 0
    return folder


def settle(folder: Path) -> None:
    """Wait until the times of the files can be trusted."""
    newest = max(path.stat().st_ctime for path in folder.rglob("*"))
    time.sleep(max(0.0, newest + 2.1 - time.time()))


def both(cli: Cli, monkeypatch: pytest.MonkeyPatch, *words: object) -> tuple[Said, Said]:
    """What a command answers by the quick way, and what by the other; it fails where the quick way isn't taken."""
    taken = []
    answered = _quick.answered

    def noted(given: list[str]) -> bool:
        taken.append(answered(given))
        return taken[-1]

    with monkeypatch.context() as patch:
        patch.setattr(_quick, "answered", noted)
        quick = cli(*words)
        assert taken == [True]
        patch.setattr(_quick, "answered", lambda given: False)
        if "checkout" in words:
            shutil.rmtree(str(words[3]))
        return quick, cli(*words)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_unchanged_folder(cli: Cli, pictures: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    quick, usual = both(cli, monkeypatch, "data", "add", "pictures", pictures, *options)
    assert quick == usual
    assert quick.code == 0
    assert ("unchanged" in quick.out) if not options else (json.loads(quick.out)["version"] == 2)


@pytest.mark.parametrize("reference", ["pictures", "pictures@latest", "pictures@1", "pictures@2", "pictures@02"])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_checkout(
    cli: Cli, pictures: Path, monkeypatch: pytest.MonkeyPatch, reference: str, options: list[str]
) -> None:
    out = pictures.parent / "out"
    quick, usual = both(cli, monkeypatch, "data", "checkout", reference, out, *options)
    assert quick == usual
    assert quick.code == 0
    assert (out / "a").read_text() == ("text a" if reference == "pictures@1" else "other")
    assert (out / "sub" / "ü c").read_text() == "text sub/ü c"


def test_a_refused_checkout_says_the_same(cli: Cli, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("data", "checkout", "pictures", pictures)
    quick = cli(*words)
    monkeypatch.setattr(_quick, "answered", lambda given: False)
    assert quick == cli(*words)
    assert quick.code == 6
    assert "not an empty folder" in quick.err


@pytest.mark.parametrize(
    "words",
    [
        ["data", "list"],
        ["data", "add", "pictures", "other"],
        ["data", "add", "nothing", "in"],
        ["data", "add", "numbers", "in"],
        ["data", "add", "pictures", "in", "--message", "x"],
        ["data", "add", "pictures", "nowhere"],
        ["data", "checkout", "numbers", "out"],
        ["data", "checkout", "pictures@", "out"],
        ["data", "checkout", "pictures@3", "out"],
        ["data", "checkout", "pictures@99999999999999999999", "out"],
        ["data", "checkout", "pictures@2026-11-23", "out"],
        ["data", "checkout", "nothing", "out"],
        ["model", "add", "pictures", "in"],
    ],
)
def test_anything_else_is_left_to_the_command(pictures: Path, words: list[str]) -> None:
    shutil.copytree(pictures, "other")
    assert not _quick.answered(words)
    assert not Path("out").exists()


def test_a_changed_folder_is_left_to_the_command(cli: Cli, pictures: Path) -> None:
    (pictures / "b").write_text("new")
    assert not _quick.answered(["data", "add", "pictures", str(pictures)])
    assert cli("data", "add", "pictures", pictures, "--json").json()["version"] == 3


@pytest.mark.parametrize(
    "act",
    [
        "update alembic_version set version_num = '0001'",
        "update snapshots set state = 'erased'",
        "update contents set state = 'expired'",
    ],
)
def test_a_catalog_in_another_state_is_left_to_the_command(pictures: Path, act: str) -> None:
    database = pictures.parent / ".clew" / "catalog.sqlite"
    assert version_of(database, "pictures") is not None
    with sqlite3.connect(database) as connection:
        connection.execute(act)
    connection.close()
    assert version_of(database, "pictures") is None
    assert version_of(database.with_name("none"), "pictures") is None


def test_the_quick_ways_load_nothing_heavy(pictures: Path) -> None:
    heavy = {"sqlalchemy", "typer", "asyncio", "polars", "pyarrow", "obstore", "rich"}
    for words in (["add", "pictures", str(pictures)], ["checkout", "pictures@1", str(pictures.parent / "out")]):
        code = f"""
import sys
from clew.cli import main
try:
    main(["data", *{words!r}])
except SystemExit as ended:
    assert not ended.code
print(sorted({heavy!r} & set(sys.modules)))
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
        assert done.stdout.splitlines()[-1] == "[]", done.stdout
