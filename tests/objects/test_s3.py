"""The S3 store against a real server: its failures, its cache, its secrets."""

import subprocess
import sys
import textwrap
import time
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import obstore
import pytest
from tests.servers.s3 import BUCKET, S3Server

from clew.errors import DataError, IntegrityError, StoreError, UsageError
from clew.objects import ObjectStore, base, open_store, s3
from clew.objects.s3 import S3Credentials, S3ObjectStore

BLOCK = bytes(range(256)) * 4096


def test_killed_server_is_reported_soon_and_forgiven(
    s3_server: S3Server, s3_store: ObjectStore, tmp_path: Path
) -> None:
    digest = s3_store.put(b"before").digest
    s3_server.kill()
    try:
        for use in (
            lambda: s3_store.put(b"during"),
            lambda: s3_store.get(digest),
            lambda: s3_store.create("marker", b""),
            lambda: list(s3_store.list()),
        ):
            start = time.monotonic()
            with pytest.raises(StoreError) as caught:
                use()
            assert time.monotonic() - start < 10
            assert "endpoint" in str(caught.value.mend)
    finally:
        s3_server.start()
    assert s3_store.get(digest) == b"before"
    assert s3_store.put(b"after").created is True
    assert {found.digest for found in s3_store.list()} == {digest, base.digest_of(b"after")}


def test_damage_behind_the_stores_back_is_found(s3_server: S3Server, s3_store: ObjectStore) -> None:
    digest = s3_store.put(BLOCK).digest
    prefix = s3_store.url.partition("?")[0].rpartition("/")[2]
    damaged = bytearray(BLOCK)
    damaged[777] ^= 1
    obstore.put(s3_server.client(prefix), f"objects/{digest}", bytes(damaged))
    for read in (s3_store.verify, s3_store.get, s3_store.open_path):
        with pytest.raises(IntegrityError, match=digest):
            read(digest)


def test_local_copy_is_downloaded_once(s3_server: S3Server, s3_store: ObjectStore, tmp_path: Path) -> None:
    digest = s3_store.put(BLOCK).digest
    path = s3_store.open_path(digest)
    assert path.is_relative_to(tmp_path / "s3-cache")
    inode = path.stat().st_ino
    prefix = s3_store.url.partition("?")[0].rpartition("/")[2]
    obstore.delete(s3_server.client(prefix), f"objects/{digest}")
    assert s3_store.open_path(digest).stat().st_ino == inode


def test_old_object_is_made_fresh_by_a_put(s3_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = s3_store.put(b"fresh").digest
    before = next(s3_store.list()).modified
    time.sleep(1.1)  # the service counts in seconds
    assert s3_store.put(b"fresh").created is False
    assert next(s3_store.list()).modified == before
    monkeypatch.setattr(s3, "REFRESH_AFTER", timedelta(0))
    assert s3_store.put(b"fresh").created is False
    assert next(s3_store.list()).modified > before
    assert s3_store.get(digest) == b"fresh"


def test_file_that_changes_while_it_goes_up_is_refused(s3_store: S3ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "changing"
    path.write_bytes(BLOCK * 12)
    digest, size = base.digest_of_file(path)
    path.write_bytes(BLOCK * 11 + BLOCK[::-1])  # after it was hashed
    with pytest.raises(DataError, match="changed"):
        s3_store._upload(path, digest, size)
    assert list(s3_store.list()) == []


def test_wrong_keys_are_refused_and_never_shown(s3_server: S3Server, tmp_path: Path) -> None:
    wrong = S3Credentials(s3_server.access_key_id, "not-the-secret")
    with pytest.raises(StoreError, match="doesn't let us in") as caught:
        open_store(s3_server.url(), tmp_path, credentials=wrong)
    said = f"{caught.value}{wrong!r}{caught.value.__context__ if not caught.value.__suppress_context__ else ''}"
    assert "not-the-secret" not in said
    assert s3_server.access_key_id not in said
    assert "AWS_ACCESS_KEY_ID" in said


def test_keys_come_from_the_environment(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StoreError, match="no credentials"):
        open_store(s3_server.url(), tmp_path)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)
    # What a URL says goes before what the environment says.
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    store = open_store(s3_server.url(), tmp_path)
    digest = store.put(b"by environment").digest
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint)
    again = open_store(store.url.partition("?")[0], tmp_path)
    assert again.get(digest) == b"by environment"
    assert again.url == store.url.partition("&region")[0]


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:hidden@bucket/prefix",
        "s3://bucket/prefix?secret_access_key=hidden",
        f"s3://bucket/prefix?endpoint={quote('http://key:hidden@127.0.0.1:1')}",
    ],
)
def test_credentials_in_the_url_are_refused_unseen(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        open_store(url, tmp_path)
    assert "hidden" not in str(caught.value)
    assert "AWS_ACCESS_KEY_ID" in str(caught.value.mend)


def test_missing_bucket_is_named(s3_server: S3Server, s3_credentials: S3Credentials, tmp_path: Path) -> None:
    url = s3_server.url().replace(BUCKET, "no-such-bucket")
    store = S3ObjectStore(
        "no-such-bucket", endpoint=s3_server.endpoint, credentials=s3_credentials, cache_folder=tmp_path
    )
    assert url.startswith("s3://no-such-bucket/")
    with pytest.raises(StoreError, match="no-such-bucket"):
        store.get("0" * 64)


def test_forked_process_is_told_instead_of_hanging(s3_server: S3Server, tmp_path: Path) -> None:
    code = """
        import multiprocessing, sys
        from pathlib import Path
        from clew.errors import StoreError
        from clew.objects import open_store
        from clew.objects.s3 import S3Credentials

        def use(store):
            opened = S3Credentials(*sys.argv[3:])
            for action in (lambda: store.put(b"forked"), lambda: open_store(*sys.argv[1:3], credentials=opened)):
                try:
                    action()
                except StoreError as error:
                    print("told:", error.mend, flush=True)

        store = open_store(sys.argv[1], Path(sys.argv[2]), credentials=S3Credentials(*sys.argv[3:]))
        child = multiprocessing.get_context("fork").Process(target=use, args=(store,))
        child.start()
        child.join(20)
        child.kill()
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), s3_server.url(), str(tmp_path), s3_server.access_key_id,
         s3_server.secret_access_key],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert result.stdout.count("told: start worker processes by spawn") == 2, result
