"""A project of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.projects import Project, made


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    yield from made(tmp_path / "project")
