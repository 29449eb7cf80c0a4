"""What passes between steps: stored by content id, handed over as the type that a hint asks for."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import polars as pl

from clew.catalog.commands import MOST_IN_CATALOG, ArtifactSpec
from clew.data import Snapshot
from clew.errors import IntegrityError, UsageError
from clew.objects import ObjectInfo, ObjectStore
from clew.pipelines.tables import Tables, hand_over

Body = bytes | Callable[[Path], None]
"""What is stored: bytes, or what writes them to a file, where there may be too many to hold twice."""


class Codec(Protocol):
    """How values of one kind are stored."""

    kind: str

    def accepts(self, value: Any) -> bool:
        """Whether this codec stores such a value."""

    def encode(self, value: Any) -> tuple[str, Body, int | None]:
        """The content id, the bytes, and the rows (None where that means nothing)."""

    def decode(self, path: Path, hint: Any) -> Any:
        """The value, as the type that the hint asks for. Raises IntegrityError for bytes that are none."""


class _Arrays:
    kind = "array"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, np.ndarray)

    def encode(self, value: np.ndarray) -> tuple[str, bytes, int | None]:
        if value.dtype.hasobject:
            raise UsageError("an array of Python objects can't be stored", mend="give it a plain dtype")
        if type(value) not in (np.ndarray, np.memmap):
            raise UsageError(
                f"a {type(value).__name__} can't be stored without losing what it has over a plain array",
                mend="give plain arrays, such as the values and the mask",
            )
        buffer = io.BytesIO()
        np.save(buffer, value, allow_pickle=False)
        body = buffer.getvalue()
        return f"n1:{hashlib.sha256(body).hexdigest()}", body, len(value) if value.ndim else None

    def decode(self, path: Path, hint: Any) -> Any:
        del hint
        return np.load(path, mmap_mode="c", allow_pickle=False)  # what a step changes stays its own


class _Plain:
    """JSON; or MessagePack, for what JSON has no words for: infinities, what is no number, bytes, numbers as keys."""

    kind = "value"

    def accepts(self, value: Any) -> bool:
        del value
        return True

    def encode(self, value: Any) -> tuple[str, bytes, int | None]:
        try:
            body = _encoded(value)
        except (TypeError, NotImplementedError, ValueError, OverflowError, RecursionError) as error:
            raise UsageError(
                f"a step gave a {type(value).__name__}, which can't be stored: {error}",
                mend="give tables, numpy arrays, dataclasses, plain values, or a clew.Model",
            ) from error
        return f"v1:{hashlib.sha256(body).hexdigest()}", body, None

    def decode(self, path: Path, hint: Any) -> Any:
        return self.decode_bytes(path.read_bytes(), hint)

    def decode_bytes(self, body: bytes, hint: Any) -> Any:
        """As `decode`, of what is in memory."""
        kind = Any if hint is None else hint
        try:
            if body.startswith(_PACKED):
                return msgspec.msgpack.decode(body[len(_PACKED) :], type=kind)
            return msgspec.json.decode(body, type=kind)
        except msgspec.ValidationError as error:
            raise UsageError(
                f"a stored value doesn't fit the hint {hint}: {error}",
                mend="correct the hint of the step that takes it",
            ) from error
        except msgspec.DecodeError as error:
            raise IntegrityError(f"a stored value can't be read: {error}", mend="clew doctor") from error
        except TypeError as error:
            raise UsageError(
                f"a plain value can't be handed over as {hint}: {error}",
                mend="annotate it with plain types, dataclasses or containers of them",
            ) from error


_PACKED = b"\xc1"  # the one byte that begins neither JSON nor MessagePack


def _encoded(value: Any) -> bytes:
    try:
        body = msgspec.json.encode(value, order="deterministic", enc_hook=_plain_numbers)
        if not _says_less(value, body):
            return body
        return _PACKED + msgspec.msgpack.encode(value, order="deterministic", enc_hook=_plain_numbers)
    except TypeError:  # keys that are no text can't be sorted, and stay as they came
        return _PACKED + msgspec.msgpack.encode(value, enc_hook=_plain_numbers)


def _says_less(value: Any, body: bytes) -> bool:
    try:
        packed = msgspec.msgpack.encode(value, enc_hook=_plain_numbers)
    except OverflowError:  # a whole number of more than 64 bits, which JSON has
        return False
    # What is not a number differs from itself, as it should here.
    return bool(msgspec.json.decode(body) != msgspec.msgpack.decode(packed, strict=False))


def _plain_numbers(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"{type(value).__name__} has no plain form")


CODECS: list[Codec] = [Tables(), _Arrays()]
"""Tried in order; other rooms add theirs (models)."""

_PLAIN = _Plain()


@dataclass(frozen=True)
class Stored:
    """A value in the store."""

    spec: ArtifactSpec

    def load(self, objects: ObjectStore, hint: Any = None) -> Any:
        """The value, as the hint asks for it. Raises IntegrityError, NotFoundError."""
        if self.spec.body is not None:
            return _PLAIN.decode_bytes(self.spec.body, hint)
        codec = next((c for c in (*CODECS, _PLAIN) if c.kind == self.spec.kind), None)
        if codec is None:
            raise IntegrityError(f"nothing here reads a stored {self.spec.kind}", mend="import clew.models first")
        return codec.decode(objects.open_path(self.spec.digest), hint)


def store(
    objects: ObjectStore, value: Any, check: Callable[[bytes], None] | None = None, *, inline: bool = False
) -> Stored:
    """Store a value by its content.

    Args:
        objects: the store.
        value: a table, an array, a plain value, or what another room has a codec for.
        check: is shown the bytes before anything is written, and may raise.
        inline: whether a small plain value may stay with what says so, as `spec.body`, for the catalog to keep.

    Raises UsageError for what can't be stored.
    """
    codec = next((c for c in CODECS if c.accepts(value)), _PLAIN)
    content_id, body, rows = codec.encode(value)
    if not isinstance(body, bytes):
        info = _put_written(objects, body, check)
        return Stored(_spec(codec, content_id, info, rows))
    if check is not None:
        check(body)
    if inline and codec is _PLAIN and len(body) <= MOST_IN_CATALOG:
        digest = hashlib.sha256(body).hexdigest()
        return Stored(ArtifactSpec(kind=_PLAIN.kind, content_id=content_id, digest=digest, bytes=len(body), body=body))
    return Stored(_spec(codec, content_id, objects.put(body), rows))


def _spec(codec: Codec, content_id: str, info: ObjectInfo, rows: int | None) -> ArtifactSpec:
    return ArtifactSpec(kind=codec.kind, content_id=content_id, digest=info.digest, bytes=info.size, rows=rows)


def _put_written(
    objects: ObjectStore, write: Callable[[Path], None], check: Callable[[bytes], None] | None
) -> ObjectInfo:
    path = objects.scratch()
    try:
        write(path)
        if check is not None:
            check(path.read_bytes())
        return objects.put_file(path, move=True)
    finally:
        path.unlink(missing_ok=True)


def plain(body: bytes) -> Any:
    """A plain value that the catalog keeps, as it is without a hint."""
    return _PLAIN.decode_bytes(body, None)


def from_snapshot(snapshot: Snapshot, hint: Any) -> Any:
    """A snapshot as the hint asks for it: itself, lazily, or read."""
    if hint is Snapshot:
        return snapshot
    if snapshot.kind == "files":
        return snapshot
    if hint is pl.LazyFrame:
        return snapshot.scan()
    return hand_over(snapshot.collect(), hint)
