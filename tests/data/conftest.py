"""A workspace of one's own for each test of snapshots."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clew.workspace import Workspace, init, open_folder


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A local workspace; the user's folder of settings is elsewhere, so that no key of pseudonyms comes from there."""
    monkeypatch.delenv("CLEW_WORKSPACE", raising=False)
    monkeypatch.delenv("CLEW_PSEUDONYM_KEY", raising=False)
    monkeypatch.delenv("CLEW_ERASURE_KEY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    init(tmp_path / "home")
    with open_folder(tmp_path / "home") as opened:
        yield opened
