"""URLs of stores, and the check at the door."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from clew.errors import StoreError, UsageError
from clew.objects import open_store
from clew.objects.conditional import check_conditional_put
from clew.objects.folder import FolderStore
from clew.objects.memory import MemoryStore


def test_folder_by_path_or_url_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "with space"
    digest = open_store(folder).put(b"x").digest
    monkeypatch.chdir(tmp_path)
    for url in (str(folder), "with space", folder.as_uri(), f"file://localhost{folder.as_uri()[7:]}"):
        store = open_store(url)
        assert isinstance(store, FolderStore)
        assert store.exists(digest)
        assert store.url == folder.as_uri()


def test_memory_is_new_each_time() -> None:
    digest = open_store("memory://").put(b"x").digest
    assert not open_store("memory://").exists(digest)


@pytest.mark.parametrize(
    "url", ["gs://bucket/x", "file://host/share", "file:///x?y=1", "s3:///prefix", "s3://bucket?color=red"]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_store(url)
    assert caught.value.mend is not None


class CarelessStore(MemoryStore):
    """As services are that ignore If-None-Match: it looks, and then it writes."""

    def create(self, name: str, data: bytes) -> bool:
        if name in self._markers:
            return False
        time.sleep(0.01)
        self._markers[name] = data
        return True


class ForgetfulStore(MemoryStore):
    """One that tells the winner, and keeps what a loser wrote."""

    def create(self, name: str, data: bytes) -> bool:
        won = super().create(name, data)
        if not won:
            self._markers[name] = data
        return won


@pytest.mark.parametrize("store", [CarelessStore(), ForgetfulStore()])
def test_store_without_preconditions_is_refused(store: MemoryStore) -> None:
    with pytest.raises(StoreError, match="precondition") as caught:
        check_conditional_put(store)
    assert "If-None-Match" in str(caught.value.mend)
    assert store._markers == {}


def test_import_stays_light() -> None:
    code = "import sys, clew.objects; print(sorted({'obstore', 'polars', 'pytest', 'sqlalchemy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
