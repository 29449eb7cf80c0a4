"""The canonical bytes of a run of rows of one column: what two equal columns have in common.

For a node of `n` rows, in order:

    all valid: 0x00; else 0x01 and ceil(n / 8) bytes of validity, least significant bit first
    then of the valid rows only:
    null      nothing
    bool      their bits, packed as validity is
    fixed     their values, little endian
    bytes     their lengths, then their bytes without gaps
    list      their lengths, then the node of all their items
    array     the node of all their items
    struct    the node of each field

Lengths are 0x04 and uint32 each, or 0x08 and uint64 each when one doesn't fit. The form can be read back
given the logical type and `n`, so no two different columns share it.

A run comes as pieces: what is cut into chunks differently, sliced, dictionary-encoded, or carried by `string`,
`large_string` or `string_view` gives the same bytes.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from clew.data._logical import LogicalType
from clew.errors import DataError

BLOCK_ROWS: Final = 65_536

_LARGE: Final = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}

Sink = Callable[[Any], object]
_Bytes = npt.NDArray[np.uint8]


def block_digest(kind: LogicalType, pieces: Sequence[pa.Array]) -> bytes:
    """SHA-256 of the canonical bytes of one block (32 bytes); the pieces hold its rows in order."""
    digest = hashlib.sha256(sum(map(len, pieces)).to_bytes(8, "little"))
    encode(kind, pieces, digest.update)
    return digest.digest()


def encode(kind: LogicalType, pieces: Sequence[pa.Array], sink: Sink, kept: Sequence[_Bytes | None] = ()) -> None:
    """Give the canonical bytes of the pieces, in order, to the sink.

    `kept` is for fields of structs: per piece, one byte per row, 0 where the struct itself is null; such rows must
    be null in the piece, and are no rows of the node.
    """
    if kind.kind == "null":
        return
    pieces = [plain(piece) for piece in pieces]
    valid = [_bits(piece.is_valid()) if piece.null_count else None for piece in pieces]
    _encode_validity(pieces, valid, kept or [None] * len(pieces), sink)
    if kind.kind == "list":
        _encode_lengths([_list_lengths(piece) for piece in pieces], sink)
    if kind.kind in {"list", "array"}:
        # flatten() leaves out what lies under a null row
        encode(kind.children[0], [piece.flatten() for piece in pieces], sink)
    elif kind.kind == "struct":
        for i, child in enumerate(kind.children):
            encode(child, [_field(piece, i) for piece in pieces], sink, valid)
    else:
        _encode_flat(kind, [piece.drop_null() if piece.null_count else piece for piece in pieces], sink)


def _encode_flat(kind: LogicalType, pieces: Sequence[pa.Array], sink: Sink) -> None:
    if kind.kind == "bool":
        sink(_packed([_bits(piece) for piece in pieces]))
    elif kind.kind == "fixed":
        for piece in pieces:
            sink(_values(piece, kind))
    else:
        _encode_bytes(pieces, sink)


def _field(piece: pa.StructArray, index: int) -> pa.Array:
    """A struct's field, null where the struct is null."""
    if not piece.null_count:
        return piece.field(index)
    if pa.types.is_run_end_encoded(piece.type.field(index).type):
        return pc.if_else(piece.is_valid(), plain(piece.field(index)), None)
    return piece.flatten()[index]


def plain(piece: pa.Array) -> pa.Array:
    """The piece without dictionary, runs, views or maps at its outermost level; the values are the same."""
    kind = piece.type
    if pa.types.is_dictionary(kind):
        # the values first: Arrow can't decode a dictionary of views
        return plain(pa.DictionaryArray.from_arrays(piece.indices, plain(piece.dictionary)).dictionary_decode())
    if pa.types.is_run_end_encoded(kind):
        return plain(pc.run_end_decode(piece))
    if kind in _LARGE:
        return piece.cast(_LARGE[kind])
    if pa.types.is_map(kind):
        entry = pa.struct([pa.field("key", kind.key_type), pa.field("value", kind.item_type)])
        return piece.cast(pa.list_(entry))
    if pa.types.is_decimal(kind):
        return piece.cast(
            pa.decimal128(kind.precision, kind.scale)
            if kind.precision <= 38
            else pa.decimal256(kind.precision, kind.scale)
        )
    return piece


def _encode_validity(
    pieces: Sequence[pa.Array], valid: Sequence[_Bytes | None], kept: Sequence[_Bytes | None], sink: Sink
) -> None:
    bits = []
    for piece, flags, keep in zip(pieces, valid, kept, strict=True):
        full = np.ones(len(piece), dtype=np.uint8) if flags is None else flags
        bits.append(full if keep is None else full[keep.view(bool)])
    if all(flags is None for flags in valid) or all(part.all() for part in bits):
        sink(b"\x00")
        return
    sink(b"\x01")
    sink(_packed(bits))


def _bits(flags: pa.BooleanArray) -> _Bytes:
    """One byte per row, 0 or 1, of a boolean array without nulls."""
    if not len(flags):
        return np.empty(0, dtype=np.uint8)
    raw = np.frombuffer(flags.buffers()[1], dtype=np.uint8)
    start, skip = divmod(flags.offset, 8)
    stop = (flags.offset + len(flags) + 7) // 8
    return np.unpackbits(raw[start:stop], bitorder="little")[skip : skip + len(flags)]


def _packed(bits: Sequence[_Bytes]) -> _Bytes:
    if not bits:
        return np.empty(0, dtype=np.uint8)
    return np.packbits(bits[0] if len(bits) == 1 else np.concatenate(bits), bitorder="little")


def _values(piece: pa.Array, kind: LogicalType) -> Any:
    buffer = piece.buffers()[1]
    if piece.type.byte_width != kind.width:
        raise DataError(f"a column of type {kind.name} holds {piece.type.byte_width} bytes per value, not {kind.width}")
    if buffer is None:
        return b""
    values: Any = buffer.slice(piece.offset * kind.width, len(piece) * kind.width)
    return values


def _list_lengths(piece: pa.Array) -> npt.NDArray[np.int64]:
    lengths: npt.NDArray[np.int64] = pc.list_value_length(piece).drop_null().to_numpy().astype(np.int64, copy=False)
    return lengths


def _encode_lengths(lengths: Sequence[npt.NDArray[np.int64]], sink: Sink) -> None:
    wide = any(part.size and int(part.max()) >= 2**32 for part in lengths)
    sink(b"\x08" if wide else b"\x04")
    for part in lengths:
        sink(part.astype("<u8" if wide else "<u4"))


def _encode_bytes(pieces: Sequence[pa.Array], sink: Sink) -> None:
    lengths: list[npt.NDArray[np.int64]] = []
    data: list[Any] = []
    for piece in pieces:
        if not len(piece):
            continue
        large = pa.types.is_large_string(piece.type) or pa.types.is_large_binary(piece.type)
        _, offsets_buffer, data_buffer = piece.buffers()
        offsets = np.frombuffer(offsets_buffer, dtype="<i8" if large else "<i4")
        offsets = offsets[piece.offset : piece.offset + len(piece) + 1]
        lengths.append(np.diff(offsets).astype(np.int64, copy=False))
        first, last = int(offsets[0]), int(offsets[-1])
        if last > first:
            data.append(data_buffer.slice(first, last - first))
    _encode_lengths(lengths, sink)
    for part in data:
        sink(part)
