"""One suite over all stores; S3 is a real server."""

from pathlib import Path

import pytest

from clew.objects import ObjectStore, open_store
from clew.objects.conformance import ObjectStoreConformance


class TestFolder(ObjectStoreConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        return open_store(tmp_path / "store")


class TestMemory(ObjectStoreConformance):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return open_store("memory://")


class TestS3(ObjectStoreConformance):
    @pytest.fixture
    def store(self, s3_store: ObjectStore) -> ObjectStore:
        return s3_store
