"""Ids that the rows of the catalog and the records of the journal agree on, without a table of them."""

import hashlib
import uuid

YEAR_MS = 365 * 86_400_000
BEGIN_MS = 1_750_000_000_000  # June 2025


def ident(kind: str, number: int, of: int) -> str:
    """The UUIDv7 of the `number`-th of `of` things that were made over a year."""
    moment = BEGIN_MS + number * YEAR_MS // max(of, 1)
    tail = int.from_bytes(hashlib.blake2b(f"{kind}{number}".encode(), digest_size=10).digest(), "big")
    value = moment << 80 | 7 << 76 | (tail >> 64 & 0xFFF) << 64 | 0b10 << 62 | tail & (1 << 62) - 1
    return str(uuid.UUID(int=value))


def sha(text: str) -> str:
    """A digest, as of an object that isn't there."""
    return hashlib.sha256(text.encode()).hexdigest()
