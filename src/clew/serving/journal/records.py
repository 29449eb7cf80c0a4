"""What the journal holds: predictions, with what other versions said to the same row, and outcomes.

A record is one msgpack array whose first element is its tag (`"p"` or `"o"`), so names cost no bytes and a later
version may append fields that have defaults. Times are microseconds since 1970, UTC.
"""

from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec

from clew.errors import IntegrityError, UsageError

Scalar: TypeAlias = str | int | float | bool | None
Output: TypeAlias = str | int | float | bool | list[Scalar | list[Scalar | list[Scalar]]] | None
Role: TypeAlias = Literal["champion", "candidate"]
Micros: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class Shadow(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What another version said to the same row; it was not the answer."""

    model_version: str
    model_version_id: str
    role: Role
    output: Output = None
    error: str | None = None
    latency_us: Count


class Prediction(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="p", gc=False):
    """One answer to one row.

    `id` is a UUIDv7 as text; `row` counts from 0 within the request; `share` is the share of traffic that `role` had
    when it was chosen, and `reason` says why it was chosen, under the routing table's `route_revision`. Either
    `output` or `error` is set.
    """

    id: str
    endpoint: str
    request_id: str
    row: Count
    model_version: str
    model_version_id: str
    role: Role
    share: float
    reason: str
    route_revision: Count
    rollout_id: str | None = None
    entity: str | None = None
    occurred_at: Micros
    recorded_at: Micros
    inputs: dict[str, Scalar]
    output: Output = None
    others: list[Shadow] = msgspec.field(default_factory=list)
    error: str | None = None
    latency_us: Count


class Outcome(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="o", gc=False):
    """Something learned later about a prediction, named by its id or by endpoint and entity (the business key)."""

    id: str
    prediction_id: str | None = None
    endpoint: str | None = None
    entity: str | None = None
    name: str
    kind: Literal["label", "response"]
    value: float | str | bool | None
    occurred_at: Micros
    recorded_at: Micros
    source: str | None = None


Record: TypeAlias = Prediction | Outcome

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(Prediction | Outcome)


def encode(record: Record) -> bytes:
    """The record's msgpack, read back once so that nothing gets into a journal that can't get out again.

    Raises:
        UsageError: a field has a type or a range that the record doesn't allow, such as a numpy scalar.
    """
    try:
        payload = _ENCODER.encode(record)
        _DECODER.decode(payload)
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        message = f"a {type(record).__name__.lower()} can't be journalled: {error}"
        raise UsageError(message, mend="pass plain str, int (64 bits), float, bool or None") from error
    return payload


def decode(payload: bytes, where: str) -> Record:
    """The record of a payload whose checksum is right; `where` names file and offset in the error.

    Raises:
        IntegrityError: the payload is no record of this version.
    """
    try:
        record: Record = _DECODER.decode(payload)
    except (msgspec.MsgspecError, ValueError) as error:
        message = f"{where} holds a record that this version can't read: {error}"
        raise IntegrityError(message, mend="read this journal with the version of clew that wrote it") from error
    return record
