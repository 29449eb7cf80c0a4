"""Fixtures of real servers. Each test process starts its own at first use, so that tests may kill it midway."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import S3Server

from clew.objects import ObjectStore, open_store
from clew.objects.s3 import S3Credentials


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A running S3 server. A test that kills it starts it again."""
    server = S3Server()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def s3_credentials(s3_server: S3Server) -> S3Credentials:
    return S3Credentials(s3_server.access_key_id, s3_server.secret_access_key)


@pytest.fixture
def s3_store(s3_server: S3Server, s3_credentials: S3Credentials, tmp_path: Path) -> ObjectStore:
    """An object store under a fresh prefix of the S3 server."""
    return open_store(s3_server.url(), tmp_path / "s3-cache", credentials=s3_credentials)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL. A test that kills it starts it again."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The SQLAlchemy URL of a fresh empty database, dropped after the test."""
    name = postgres_server.create_database()
    yield postgres_server.database_url(name)
    postgres_server.drop_database(name)
