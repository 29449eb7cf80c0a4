"""What all tests share: the fixtures of real servers."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A shared machine may stop for longer than any example takes; what must be quick is measured, not tested.
settings.register_profile("clew", deadline=None)
settings.load_profile("clew")

# `from tests.servers…` has to work however pytest was started.
sys.path.insert(0, str(Path(__file__).parent.parent))

pytest_plugins = ["tests.servers.plugin"]


@pytest.fixture(autouse=True, scope="session")
def _keys_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test writes a key among the user's settings; one that needs a folder of its own sets it again."""
    before = os.environ.get("XDG_CONFIG_HOME")
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("settings"))
    yield
    if before is None:
        del os.environ["XDG_CONFIG_HOME"]
    else:
        os.environ["XDG_CONFIG_HOME"] = before
