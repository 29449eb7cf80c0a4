"""The command line, in this process where that is enough, and as a process of its own where it isn't."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clew.cli import main

CLEW = str(Path(sys.executable).with_name("clew"))


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The result, which must be JSON as the standard has it, and nothing else."""
        return json.loads(self.out, parse_constant=_no_json)


def _no_json(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


Cli = Callable[..., Said]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a workspace, and nothing of the user's settings."""
    # Set first, so that what a command sets is taken back too.
    for name in ("CLEW_WORKSPACE", "CLEW_PSEUDONYM_KEY", "CLEW_ERASURE_KEY", "CLEW_TOKEN"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("RUST_BACKTRACE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process: `cli("data", "list")`."""
    del elsewhere

    def run(*words: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        code = ended.value.code
        return Said(code if isinstance(code, int) else 0, out, err)

    return run


@pytest.fixture
def home(cli: Cli, elsewhere: Path) -> Path:
    """A new workspace; one stands in its folder."""
    assert cli("init").code == 0
    return elsewhere


def start(*words: object, **environment: str) -> subprocess.Popen[str]:
    """The real command as a process."""
    return subprocess.Popen(
        [CLEW, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environment},
    )


def process(*words: object, **environment: str) -> Said:
    """The real command as a process, to its end."""
    child = start(*words, **environment)
    out, err = child.communicate(timeout=120)
    return Said(child.returncode, out, err)
