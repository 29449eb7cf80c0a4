"""From a URL to a store that has shown that it keeps its promises."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from clew.errors import UsageError
from clew.objects.base import ObjectStore
from clew.objects.cache import default_cache_folder
from clew.objects.filesystem import refuse_network_filesystem
from clew.objects.folder import FolderStore
from clew.objects.memory import MemoryStore

if TYPE_CHECKING:
    from clew.objects.s3 import S3Credentials

# The services that have passed the check in this process, by endpoint, bucket and keys: some take seconds for it.
_proven: "set[tuple[str | None, str, S3Credentials | None]]" = set()

_FORMS = "a folder's path, file:///folder, s3://bucket/prefix?endpoint=…&region=…, or memory://"


def open_store(
    url: str | Path, cache_folder: Path | None = None, *, credentials: "S3Credentials | None" = None
) -> ObjectStore:
    """Open the store at `url`: a path, `file:///…`, `s3://bucket/prefix?endpoint=…&region=…` or `memory://`.

    A folder is made if it isn't there; a bucket has to be there. `cache_folder` takes the local copies of an S3
    store (default: `$CLEW_CACHE` or the user's cache folder). Without `credentials` S3's come from the environment:
    `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, or the machine's role at AWS. A new folder has
    to pass `check_conditional_put`, and so has a bucket when a process first opens a store in it.

    Raises:
        UsageError: the URL has another form, or holds credentials.
        OutsideError: the folder is on a network file system.
        StoreError: the store can't be reached, doesn't let us in, or fails the check.
    """
    parts = urlsplit(str(url))
    if isinstance(url, Path) or not parts.scheme:
        return _open_folder(Path(url))
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"} or parts.query:
            raise UsageError(f"{url} is not the URL of a local folder", mend="write file:///folder, or the plain path")
        return _open_folder(Path(unquote(parts.path)))
    if parts.scheme == "memory":
        return MemoryStore()
    if parts.scheme == "s3":
        return _open_s3(parts, cache_folder or default_cache_folder(), credentials)
    raise UsageError(f"no store is known for {parts.scheme}:// URLs", mend=f"use {_FORMS}")


def _open_folder(folder: Path) -> FolderStore:
    refuse_network_filesystem(folder)
    new = not (folder / "refs").is_dir()
    store = FolderStore(folder)
    if new:
        from clew.objects.conditional import check_conditional_put

        check_conditional_put(store)
    return store


def _open_s3(parts: SplitResult, cache_folder: Path, credentials: "S3Credentials | None") -> ObjectStore:
    from clew.objects.s3 import S3ObjectStore

    # The URL is not repeated in these messages: it may hold what should not be seen.
    query = parse_qs(parts.query, keep_blank_values=True)
    if "@" in parts.netloc or any("@" in endpoint for endpoint in query.get("endpoint", [])):
        raise UsageError(
            "the URL of the S3 store holds credentials",
            mend="take them out and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead",
        )
    if other := sorted(query.keys() - {"endpoint", "region"}):
        raise UsageError(
            f"the URL of the S3 store has parameters that mean nothing here: {', '.join(other)}",
            mend="write s3://bucket/prefix?endpoint=…&region=…; credentials come from AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY",
        )
    if not parts.netloc:
        raise UsageError("the URL of the S3 store names no bucket", mend="write s3://bucket/prefix")
    store = S3ObjectStore(
        parts.netloc,
        unquote(parts.path).strip("/"),
        endpoint=query.get("endpoint", [None])[-1],
        region=query.get("region", [None])[-1],
        credentials=credentials,
        cache_folder=cache_folder,
    )
    service = (store.endpoint, parts.netloc, credentials)
    if service not in _proven:
        from clew.objects.conditional import check_conditional_put

        check_conditional_put(store)
        _proven.add(service)
    return store
