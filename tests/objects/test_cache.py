"""The bounded cache of local copies."""

import os
import time
from pathlib import Path

import pytest

from clew.errors import IntegrityError
from clew.objects.base import digest_of
from clew.objects.cache import ObjectCache, default_cache_folder

KIB = 1024


def fill(cache: ObjectCache, number: int, *, age: float = 0) -> str:
    """Add 10 KiB that were last asked for so many seconds ago."""
    data = bytes([number]) * 10 * KIB
    path = cache.fill(digest_of(data), iter([data]), "test")
    os.utime(path, (time.time() - age, time.time() - age))
    return digest_of(data)


def test_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path, limit=100 * KIB)
    digests = [fill(cache, number, age=10_000 - number) for number in range(10)]
    assert cache.find(digests[0]) is not None  # and so it is the one used last
    digests.append(fill(cache, 10))
    there = [digest for digest in digests if cache.find(digest) is not None]
    assert digests[0] in there
    assert digests[10] in there
    assert digests[1] not in there
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= 100 * KIB


def test_bound_holds_over_many(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path, limit=100 * KIB)
    for number in range(60):
        fill(cache, number, age=10_000 - number)
        held = sum(path.stat().st_size for path in (tmp_path / "objects").rglob("*") if path.is_file())
        assert held <= 100 * KIB


def test_what_is_in_use_is_kept_over_the_bound(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path, limit=20 * KIB)
    digests = [fill(cache, number) for number in range(5)]
    assert all(cache.find(digest) is not None for digest in digests)


def test_wrong_bytes_are_not_kept(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path)
    with pytest.raises(IntegrityError, match="s3://somewhere"):
        cache.fill("0" * 64, iter([b"other"]), "s3://somewhere")
    assert cache.find("0" * 64) is None
    assert cache.find(digest_of(b"other")) is None


def test_default_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLEW_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/cache")
    assert default_cache_folder() == Path("/somewhere/cache/clew")
    monkeypatch.setenv("CLEW_CACHE", "/elsewhere")
    assert default_cache_folder() == Path("/elsewhere")
