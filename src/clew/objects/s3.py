"""Objects in S3 and in services that speak its protocol."""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from clew.errors import DataError, StoreError
from clew.objects.base import (
    CHUNK,
    REFRESH_AFTER,
    ObjectInfo,
    ObjectStore,
    StoredObject,
    check_digest,
    check_range,
    check_source,
    damaged,
    digest_of,
    digest_of_file,
    is_digest,
    marker_file,
    missing,
    missing_marker,
    read_chunks,
)
from clew.objects.cache import ObjectCache

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, RetryConfig, S3Config

_PART = 8 << 20  # of a multipart upload, at first
_PARTS = 9_000  # S3 allows 10,000 parts
_UPLOADS = 4  # parts in flight at once, so an upload holds 32 MiB until parts have to grow
_REQUESTS = 32  # small requests in flight at once

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
# What stands in for keys.
_KEYLESS = (
    "AWS_SKIP_SIGNATURE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)

# With these an unreachable service is reported after one to twenty seconds.
_RETRY: "RetryConfig" = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=20),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}
_CLIENT: "ClientConfig" = {
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=30),
    "timeout": timedelta(minutes=10),  # for a whole request, body included
}


@dataclass(frozen=True, slots=True)
class S3Credentials:
    """Keys for S3, given by hand; kept in memory only, and not shown by `repr`."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


class S3ObjectStore(ObjectStore):
    """A store under a prefix of a bucket: `objects/<digest>` for objects, `refs/` for markers.

    Durable as the service is: `put` returns when it has confirmed the whole. Small requests are repeated up to four
    times, within twenty seconds; a creation isn't, as a repeated one couldn't tell its own marker from another's.
    `created` rests on a look before the write. Uploads that were broken off stay invisible, but cost space until a
    life-cycle rule of the bucket aborts them. In a process forked from one that has used S3 every call is refused.
    """

    # The client's threads are one set for the process, which a fork doesn't copy.
    _first_user: ClassVar[int | None] = None

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str | None = None,
        region: str | None = None,
        credentials: S3Credentials | None = None,
        cache_folder: Path,
    ) -> None:
        if endpoint is None:
            endpoint = next(filter(None, map(os.environ.get, _ENDPOINTS)), None)
        self.endpoint = endpoint
        self._bucket, self._prefix, self._region = bucket, prefix, region
        self._secrets = _known_secrets(credentials)
        if not self._secrets and endpoint is not None and not any(map(os.environ.get, _KEYLESS)):
            # Without this the client would ask for a role at the address that AWS keeps for that, and wait.
            raise StoreError(
                f"no credentials for the S3 store at {endpoint}",
                mend="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
        config = _config(endpoint, region, credentials)
        client: ClientConfig = {**_CLIENT, "allow_http": endpoint is not None and endpoint.startswith("http://")}
        with self._reported():
            self._client = S3Store(
                bucket, prefix=prefix or None, config=config, client_options=client, retry_config=_RETRY
            )
            self._once = S3Store(
                bucket, prefix=prefix or None, config=config, client_options=client, retry_config={"max_retries": 0}
            )
        self._cache = ObjectCache(cache_folder)

    def __repr__(self) -> str:
        return f"<S3ObjectStore {self.url}>"

    @property
    def url(self) -> str:
        """The store's URL, without credentials."""
        given = {"endpoint": self.endpoint, "region": self._region}
        query = "&".join(f"{name}={value}" for name, value in given.items() if value is not None)
        return f"s3://{self._bucket}/{self._prefix}" + (f"?{query}" if query else "")

    def put(self, data: bytes | Path | Iterable[bytes]) -> ObjectInfo:
        """Store content; see `ObjectStore.put`. A stream is first spooled to the local cache."""
        if isinstance(data, bytes):
            return self._put_bytes(data)
        if isinstance(data, Path):
            check_source(data)
            return self._put_file(data)
        spooled = self._cache.add(data)
        path = self._cache.find(spooled.digest)
        if path is None:
            raise StoreError(
                f"the cache lost object {spooled.digest} before it was uploaded", mend="check the cache's disk"
            )
        return self._upload(path, spooled.digest, spooled.size)

    def get(self, digest: str) -> bytes:
        """All bytes, checked; see `ObjectStore.get`. Not by way of the cache."""
        with self._reported(digest):
            data = obstore.get(self._client, _key(digest)).bytes().to_bytes()
        if (found := digest_of(data)) != digest:
            raise damaged(digest, self.url, found)
        return data

    def read_range(self, digest: str, start: int, length: int) -> bytes:
        """Some of the bytes; see `ObjectStore.read_range`."""
        key = _key(digest)
        if start < 0 or length <= 0:  # the protocol has no such range
            check_range(digest, start, length, self.size(digest))
            return b""
        try:
            with self._reported(digest):
                data = obstore.get_range(self._client, key, start=start, length=length).to_bytes()
        except StoreError:
            # A start past the end is an error of the service like any other, until the size says so.
            check_range(digest, start, length, self.size(digest))
            raise
        if len(data) != length:
            check_range(digest, start, length, start + len(data))
        return data

    def open_path(self, digest: str) -> Path:
        """A cached copy; see `ObjectStore.open_path`."""
        if (path := self._cache.find(check_digest(digest))) is not None:
            return path
        return self._cache.fill(digest, self._stream(digest), self.url)

    def exists(self, digest: str) -> bool:
        """Whether the object is there."""
        return self._head(digest) is not None

    def exists_many(self, digests: Iterable[str]) -> set[str]:
        """Those that are there; one request each, 32 at once."""
        asked = [check_digest(digest) for digest in digests]
        with ThreadPoolExecutor(_REQUESTS) as pool:
            return {digest for digest, there in zip(asked, pool.map(self.exists, asked), strict=True) if there}

    def size(self, digest: str) -> int:
        """The object's size in bytes."""
        if (meta := self._head(digest)) is None:
            raise missing(digest, self.url)
        return meta["size"]

    def delete(self, digest: str, *, older_than: datetime | None = None) -> bool:
        """Remove an object; see `ObjectStore.delete`. A moment lies between the look at its age and the deletion."""
        self._cache.discard(check_digest(digest))
        meta = self._head(digest)
        if meta is None or (older_than is not None and meta["last_modified"] >= older_than):
            return False
        with self._reported():
            obstore.delete(self._client, _key(digest))
        return True

    def list(self) -> Iterator[StoredObject]:
        """All objects, a thousand a request."""
        with self._reported():
            for page in obstore.list(self._client, prefix="objects"):
                for meta in page:
                    digest = meta["path"].rpartition("/")[2]
                    if is_digest(digest):
                        yield StoredObject(digest, meta["size"], meta["last_modified"])

    def verify(self, digest: str) -> None:
        """Hash the service's bytes again; see `ObjectStore.verify`."""
        hasher = hashlib.sha256()
        for chunk in self._stream(digest):
            hasher.update(chunk)
        if (found := hasher.hexdigest()) != digest:
            raise damaged(digest, self.url, found)

    def create(self, name: str, data: bytes) -> bool:
        """Create a marker unless there is one (`If-None-Match: *`); see `ObjectStore.create`."""
        key = f"refs/{marker_file(name)}"
        with self._reported():
            try:
                obstore.put(self._once, key, data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def read_marker(self, name: str) -> bytes:
        """The data of a marker."""
        key = f"refs/{marker_file(name)}"
        with self._reported():
            try:
                return obstore.get(self._client, key).bytes().to_bytes()
            except FileNotFoundError:
                raise missing_marker(name, self.url) from None

    def delete_marker(self, name: str) -> bool:
        """Remove a marker; whether it was there."""
        key = f"refs/{marker_file(name)}"
        with self._reported():
            try:
                obstore.head(self._client, key)
            except FileNotFoundError:
                return False
            obstore.delete(self._client, key)
        return True

    def keeps_versions(self) -> bool:
        """Whether the bucket keeps what is deleted as former versions, told by what it answers to a put."""
        key = f"refs/{marker_file(f'versions-{secrets.token_hex(8)}')}"
        with self._reported():
            version = obstore.put(self._client, key, b"").get("version")
            obstore.delete(self._client, key)
        return version not in (None, "", "null")

    def _put_bytes(self, data: bytes) -> ObjectInfo:
        digest = digest_of(data)
        there, fresh = self._look(digest, len(data))
        if not fresh:
            with self._reported():
                obstore.put(
                    self._client, _key(digest), data, chunk_size=_part_size(len(data)), max_concurrency=_UPLOADS
                )
        return ObjectInfo(digest, len(data), created=not there)

    def _put_file(self, path: Path) -> ObjectInfo:
        if path.stat().st_size <= _PART:
            return self._put_bytes(path.read_bytes())
        return self._upload(path, *digest_of_file(path))

    def _upload(self, path: Path, digest: str, size: int) -> ObjectInfo:
        there, fresh = self._look(digest, size)
        if not fresh:
            with self._reported():
                obstore.put(
                    self._client,
                    _key(digest),
                    _unchanged(path, digest),
                    chunk_size=_part_size(size),
                    max_concurrency=_UPLOADS,
                )
        return ObjectInfo(digest, size, created=not there)

    def _look(self, digest: str, size: int) -> tuple[bool, bool]:
        """Whether an object is there and whole, and whether it needn't be written again to be fresh."""
        meta = self._head(digest)
        if meta is None or meta["size"] != size:
            return False, False
        return True, datetime.now(UTC) - meta["last_modified"] < REFRESH_AFTER

    def _head(self, digest: str) -> "ObjectMeta | None":
        key = _key(digest)
        with self._reported():
            try:
                return obstore.head(self._client, key)
            except FileNotFoundError:
                return None

    def _stream(self, digest: str) -> Iterator[bytes]:
        with self._reported(digest):
            yield from map(bytes, obstore.get(self._client, _key(digest)).stream(min_chunk_size=CHUNK))

    @contextlib.contextmanager
    def _reported(self, digest: str | None = None) -> Iterator[None]:
        """Turn the client's errors into clew's; what isn't there is a missing object where one is named."""
        first = S3ObjectStore._first_user = S3ObjectStore._first_user or os.getpid()
        if first != os.getpid():
            raise StoreError(
                f"{self.url} can't be used in a process forked from one that has used S3: it would hang",
                mend="start worker processes by spawn or forkserver, and open the store in each",
            )
        try:
            yield
        except FileNotFoundError as error:
            if digest is not None and "NoSuchBucket" not in str(error):
                raise missing(digest, self.url) from None
            raise StoreError(
                f"{self.url}: {self._told(error)}", mend=f"check that the bucket {self._bucket} exists"
            ) from None
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise StoreError(
                f"{self.url} doesn't let us in: {self._told(error)}",
                mend="check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that they may list, read, write and "
                f"delete in the bucket {self._bucket}",
            ) from None
        except BaseError as error:
            raise StoreError(
                f"{self.url} failed: {self._told(error)}",
                mend="check that the endpoint is right and the service runs, then try again",
            ) from None

    def _told(self, error: Exception) -> str:
        """What the client says, in one line and without anything secret."""
        text = " ".join(str(error).partition("\n\nDebug source")[0].split())
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text[:500]


def _key(digest: str) -> str:
    return f"objects/{check_digest(digest)}"


def _part_size(size: int) -> int:
    return max(_PART, -(-size // _PARTS))


def _unchanged(path: Path, digest: str) -> Iterator[bytes]:
    """A file's content, for an upload that has to fail if it is no longer what was hashed."""
    hasher = hashlib.sha256()
    try:
        for chunk in read_chunks(path):
            hasher.update(chunk)
            yield chunk
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}", mend="check the file and its disk") from error
    if hasher.hexdigest() != digest:
        raise DataError(f"{path} changed while it was being stored", mend="store it when nothing writes to it")


def _config(endpoint: str | None, region: str | None, credentials: S3Credentials | None) -> "S3Config":
    config: S3Config = {}
    if endpoint is not None:
        # By this name it goes before AWS_ENDPOINT_URL_S3 of the environment; by the plain one it would go after it.
        config["aws_endpoint_url_s3"] = endpoint
    if region is not None:
        config["region"] = region
    if credentials is not None:
        config["access_key_id"] = credentials.access_key_id
        config["secret_access_key"] = credentials.secret_access_key
        if credentials.session_token is not None:
            config["session_token"] = credentials.session_token
    return config


def _known_secrets(credentials: S3Credentials | None) -> tuple[str, ...]:
    """What must not be shown, of the credentials given or the environment's; empty if there are none."""
    if credentials is None:
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_TOKEN")
        found = [os.environ.get(name) for name in names]
    else:
        found = [credentials.access_key_id, credentials.secret_access_key, credentials.session_token]
    return tuple(secret for secret in found if secret)
