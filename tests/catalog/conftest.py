"""The two databases: every test that asks for one of these fixtures runs over both."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.catalog.things import ACTOR
from tests.servers.postgres import PostgresServer

from clew.catalog import Catalog

BACKENDS = ("sqlite", "postgresql")


@pytest.fixture(params=BACKENDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalog.sqlite'}"
    url: str = request.getfixturevalue("postgres_database")
    return url


@pytest.fixture
def fresh(empty_url: str) -> Iterator[Catalog]:
    """An upgraded catalog that no other test uses."""
    with Catalog(empty_url, ACTOR) as catalog:
        catalog.upgrade()
        yield catalog


@pytest.fixture(scope="session")
def shared_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The URL of an upgraded database that the tests of this process share, by backend."""
    urls: dict[str, str] = {}

    def url_of(backend: str) -> str:
        if backend not in urls:
            if backend == "sqlite":
                urls[backend] = f"sqlite:///{tmp_path_factory.mktemp('catalog') / 'catalog.sqlite'}"
            else:
                server: PostgresServer = request.getfixturevalue("postgres_server")  # it goes with all its databases
                urls[backend] = server.database_url(server.create_database())
            with Catalog(urls[backend], ACTOR) as catalog:
                catalog.upgrade()
        return urls[backend]

    return url_of


@pytest.fixture(params=BACKENDS)
def catalog(request: pytest.FixtureRequest, shared_url: Callable[[str], str]) -> Iterator[Catalog]:
    """An upgraded catalog. Other tests write to it too, so what a test makes needs names of its own (`things.name`)."""
    with Catalog(shared_url(request.param), ACTOR) as opened:
        yield opened
