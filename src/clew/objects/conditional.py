"""Proof that a store lets exactly one of many creators win."""

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor

from clew.errors import StoreError
from clew.objects.base import ObjectStore

CREATORS = 16


def check_conditional_put(store: ObjectStore) -> None:
    """Let 16 creators race for one marker, and pass if exactly one wins and its data are what is there.

    Some services take the precondition of a write (`If-None-Match`) and ignore it, so that two writers overwrite
    each other without notice. Costs 18 requests, all but two at once; leaves nothing behind.

    Raises:
        StoreError: the store doesn't keep the precondition, or failed.
    """
    name = f"check-{secrets.token_hex(16)}"
    start = threading.Barrier(CREATORS)

    def race(number: int) -> bytes | None:
        start.wait(30)
        data = f"creator {number}".encode()
        return data if store.create(name, data) else None

    try:
        with ThreadPoolExecutor(CREATORS) as pool:
            winners = [data for data in pool.map(race, range(CREATORS)) if data is not None]
        found = store.read_marker(name)
    finally:
        store.delete_marker(name)
    if winners != [found]:
        raise StoreError(
            f"{store.url} doesn't keep the precondition of a write: of {CREATORS} creators of one name {len(winners)} "
            "were told that they won, so writers would overwrite each other unnoticed",
            mend="use a store with conditional writes (If-None-Match), such as AWS S3, MinIO or SeaweedFS",
        )
