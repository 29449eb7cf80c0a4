"""One filled workspace for all tests that only look."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.hub.client import Pages
from tests.thread.filled import Filled, fill, opened

from clew.hub import create_app
from clew.workspace import Workspace


@dataclass(frozen=True)
class House:
    workspace: Workspace
    filled: Filled
    pages: Pages


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with opened(tmp_path_factory.mktemp("house")) as workspace:
        filled = fill(workspace)
        yield House(workspace, filled, Pages(create_app(workspace)))
