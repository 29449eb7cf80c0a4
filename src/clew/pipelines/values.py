"""What passes between steps: stored by content id, handed over as the type that a hint asks for."""

import hashlib
import io
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa

from clew.catalog.commands import ArtifactSpec
from clew.data import Snapshot
from clew.data.identity import table_id
from clew.errors import IntegrityError, UsageError
from clew.objects import ObjectStore


class Codec(Protocol):
    """How values of one kind are stored."""

    kind: str

    def accepts(self, value: Any) -> bool:
        """Whether this codec stores such a value."""

    def encode(self, value: Any) -> tuple[str, bytes, int | None]:
        """The content id, the bytes, and the rows (None where that means nothing)."""

    def decode(self, path: Path, hint: Any) -> Any:
        """The value, as the type that the hint asks for."""


class _Tables:
    kind = "table"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, pl.DataFrame | pl.LazyFrame | pa.Table) or _is_pandas(value)

    def encode(self, value: Any) -> tuple[str, bytes, int | None]:
        frame = _to_polars(value)
        identity = table_id(frame)
        return identity.id, frame.write_ipc(None, compression="uncompressed").getvalue(), frame.height

    def decode(self, path: Path, hint: Any) -> Any:
        if hint is pl.LazyFrame:
            return pl.scan_ipc(path)
        return hand_over(pl.read_ipc(path), hint)


class _Arrays:
    kind = "array"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, np.ndarray)

    def encode(self, value: np.ndarray) -> tuple[str, bytes, int | None]:
        if value.dtype.hasobject:
            raise UsageError("an array of Python objects can't be stored", mend="give it a plain dtype")
        buffer = io.BytesIO()
        np.save(buffer, value, allow_pickle=False)
        body = buffer.getvalue()
        return f"n1:{hashlib.sha256(body).hexdigest()}", body, len(value) if value.ndim else None

    def decode(self, path: Path, hint: Any) -> Any:
        del hint
        return np.load(path, mmap_mode="r", allow_pickle=False)


class _Plain:
    kind = "value"

    def accepts(self, value: Any) -> bool:
        del value
        return True

    def encode(self, value: Any) -> tuple[str, bytes, int | None]:
        try:
            body = msgspec.json.encode(value, order="deterministic", enc_hook=_plain_numbers)
        except (TypeError, NotImplementedError, ValueError) as error:
            raise UsageError(
                f"a step gave a {type(value).__name__}, which can't be stored: {error}",
                mend="give tables, numpy arrays, dataclasses, plain values, or a clew.Model",
            ) from error
        return f"v1:{hashlib.sha256(body).hexdigest()}", body, None

    def decode(self, path: Path, hint: Any) -> Any:
        body = path.read_bytes()
        try:
            return msgspec.json.decode(body, type=Any if hint is None else hint)
        except msgspec.ValidationError as error:
            raise UsageError(f"a stored value doesn't fit the hint {hint}: {error}") from error


def _plain_numbers(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"{type(value).__name__} has no plain form")


CODECS: list[Codec] = [_Tables(), _Arrays()]
"""Tried in order; other rooms add theirs (models)."""

_PLAIN = _Plain()


@dataclass(frozen=True)
class Stored:
    """A value in the store."""

    spec: ArtifactSpec

    def load(self, objects: ObjectStore, hint: Any = None) -> Any:
        """The value, as the hint asks for it. Raises IntegrityError, NotFoundError."""
        codec = next((c for c in (*CODECS, _PLAIN) if c.kind == self.spec.kind), None)
        if codec is None:
            raise IntegrityError(f"nothing here reads a stored {self.spec.kind}", mend="import clew.models first")
        return codec.decode(objects.open_path(self.spec.digest), hint)


def store(objects: ObjectStore, value: Any) -> Stored:
    """Store a value by its content. Raises UsageError for what can't be stored."""
    codec = next((c for c in CODECS if c.accepts(value)), _PLAIN)
    content_id, body, rows = codec.encode(value)
    info = objects.put(body)
    return Stored(ArtifactSpec(kind=codec.kind, content_id=content_id, digest=info.digest, bytes=info.size, rows=rows))


def from_snapshot(snapshot: Snapshot, hint: Any) -> Any:
    """A snapshot as the hint asks for it: itself, lazily, or read."""
    if hint is Snapshot:
        return snapshot
    if snapshot.kind == "files":
        return snapshot
    if hint is pl.LazyFrame:
        return snapshot.scan()
    return hand_over(snapshot.collect(), hint)


def hand_over(frame: pl.DataFrame, hint: Any) -> Any:
    """A table as polars, Arrow or pandas."""
    if hint in (None, Any, pl.DataFrame):
        return frame
    if hint is pl.LazyFrame:
        return frame.lazy()
    if hint is pa.Table:
        return frame.to_arrow()
    if getattr(hint, "__module__", "").split(".")[0] == "pandas":
        return frame.to_pandas()
    raise UsageError(
        f"a table can't be handed over as {getattr(hint, '__name__', hint)}",
        mend="annotate the parameter as pl.DataFrame, pl.LazyFrame, pa.Table or pd.DataFrame",
    )


def _is_pandas(value: Any) -> bool:
    return type(value).__module__.split(".")[0] == "pandas" and type(value).__name__ == "DataFrame"


def _to_polars(value: Any) -> pl.DataFrame:
    if isinstance(value, pl.LazyFrame):
        return value.collect()
    if isinstance(value, pa.Table):
        return typing.cast("pl.DataFrame", pl.from_arrow(value))
    return value if isinstance(value, pl.DataFrame) else pl.from_pandas(value)
