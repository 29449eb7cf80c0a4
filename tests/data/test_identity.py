import datetime as dt
import io
import itertools
import struct
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from polars.datatypes import DataTypeClass

from clew.data._canonical import BLOCK_ROWS
from clew.data.identity import IdentityBuilder, TableIdentity, id_of_columns, table_id
from clew.errors import DataError, UsageError

Dtype = pl.DataType | DataTypeClass
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(["", "a", "é", "\0", "𝄞"])
WHEN = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1))  # noqa: DTZ001  polars wants them naive
ENUM = pl.Enum(["low", "", "hî;gh"])


def ints(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.integers(low, high) | st.sampled_from([0, 1, low, high])


def floats(width: Any) -> st.SearchStrategy[float]:
    return st.floats(width=width)


FLAT: list[tuple[Dtype, st.SearchStrategy[Any]]] = [
    (pl.Boolean, st.booleans()),
    *((getattr(pl, f"Int{n}"), ints(n, signed=True)) for n in (8, 16, 32, 64)),
    *((getattr(pl, f"UInt{n}"), ints(n, signed=False)) for n in (8, 16, 32, 64)),
    *((getattr(pl, f"Float{n}"), floats(n)) for n in (16, 32, 64)),
    (pl.String, TEXT),
    (pl.Categorical, TEXT),
    (ENUM, st.sampled_from(["low", "", "hî;gh"])),
    (pl.Binary, st.binary(max_size=5)),
    (pl.Date, st.dates()),
    (pl.Time, st.times()),
    (pl.Datetime("us"), WHEN),
    (pl.Datetime("ms", "Europe/Zurich"), WHEN.map(lambda when: when.replace(microsecond=0, tzinfo=dt.UTC))),
    (pl.Datetime("ns", "UTC"), WHEN.map(lambda when: when.replace(tzinfo=dt.UTC))),
    (pl.Duration("us"), st.timedeltas(dt.timedelta(-9999), dt.timedelta(9999))),
    (pl.Decimal(12, 3), st.decimals(-99999, 99999, places=3)),
    (pl.Null, st.none()),
]


def nullable(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


def nest(pair: tuple[Dtype, st.SearchStrategy[Any]]) -> st.SearchStrategy[tuple[Dtype, st.SearchStrategy[Any]]]:
    dtype, values = pair
    cell = nullable(values)
    return st.sampled_from(
        [
            (pl.List(dtype), st.lists(cell, max_size=3)),
            (pl.Array(dtype, 2), st.lists(cell, min_size=2, max_size=2)),
            (
                pl.Struct({"a": dtype, "bé": pl.Int16}),
                st.fixed_dictionaries({"a": cell, "bé": nullable(ints(16, signed=True))}),
            ),
        ]
    )


def columns() -> st.SearchStrategy[tuple[Dtype, st.SearchStrategy[Any]]]:
    flat = st.sampled_from(FLAT)
    return flat | flat.flatmap(nest) | flat.flatmap(nest).flatmap(nest)


@st.composite
def frames(draw: st.DrawFn, min_rows: int = 0, min_columns: int = 0) -> pl.DataFrame:
    rows = draw(st.integers(min_rows, 9))
    names = draw(st.lists(TEXT.filter(lambda name: "\0" not in name), min_size=min_columns, max_size=3, unique=True))
    series = []
    for name in names:
        dtype, values = draw(columns())
        series.append(pl.Series(name, draw(st.lists(nullable(values), min_size=rows, max_size=rows)), dtype=dtype))
    return pl.DataFrame(series) if series else pl.DataFrame(height=rows)


def pieces(frame: pl.DataFrame, cuts: list[int]) -> list[pl.DataFrame]:
    edges = [0, *sorted(min(cut, frame.height) for cut in cuts), frame.height]
    return [frame[a:b] for a, b in itertools.pairwise(edges)]


def by_polars(frame: pl.DataFrame, form: str) -> pl.DataFrame:
    buffer = io.BytesIO()
    if form == "parquet":
        frame.write_parquet(buffer, row_group_size=3)
        return pl.read_parquet(buffer.getvalue())
    frame.write_ipc(buffer)
    return pl.read_ipc(buffer.getvalue())


def by_arrow(table: pa.Table, form: str) -> pa.Table:
    buffer = io.BytesIO()
    if form == "parquet":
        pq.write_table(table, buffer, row_group_size=2)
        return pq.read_table(buffer)
    with pa.ipc.new_file(buffer, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return pa.ipc.open_file(buffer).read_all()


@quick
@given(frames(), st.lists(st.integers(0, 9), max_size=4))
def test_cuts_and_slices_do_not_matter(frame: pl.DataFrame, cuts: list[int]) -> None:
    wanted = table_id(frame)
    assert wanted.rows == frame.height
    assert [column.name for column in wanted.columns] == frame.columns
    if not frame.width:  # a slice of no columns has no height in polars
        return
    parts = pieces(frame, cuts)
    builder = IdentityBuilder(frame.schema)
    for part in parts:
        builder.update(part)
    assert builder.finish() == wanted
    assert table_id(pl.concat(parts, rechunk=False)) == wanted
    padded = pl.concat([frame, frame, frame])
    assert table_id(padded[frame.height : 2 * frame.height]) == wanted
    assert table_id(padded.to_arrow().slice(frame.height, frame.height)) == wanted
    assert table_id(pa.concat_tables([part.to_arrow() for part in parts])) == wanted


@quick
@given(frames(min_columns=1))
def test_formats_and_libraries_do_not_matter(frame: pl.DataFrame) -> None:
    wanted = table_id(frame)
    table = frame.to_arrow()
    assert table_id(table) == wanted
    assert table_id(frame.to_arrow(compat_level=pl.CompatLevel.newest())) == wanted
    assert table_id(by_polars(frame, "ipc")) == wanted
    assert table_id(by_arrow(table, "ipc")) == wanted
    assert table_id(by_polars(frame, "parquet")) == wanted
    back = pl.from_arrow(table)
    assert isinstance(back, pl.DataFrame)
    assert table_id(back) == wanted


@quick
@given(frames(min_columns=1))
def test_parquet_by_pyarrow_does_not_matter(frame: pl.DataFrame) -> None:
    assert table_id(by_arrow(frame.to_arrow(), "parquet")) == table_id(frame)


def bits(value: Any) -> Any:
    """A value with floats replaced by their bits, so that equal means equal to the bit."""
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, (list, tuple)):
        return [bits(item) for item in value]
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    return value


def cells(frame: pl.DataFrame) -> list[Any]:
    return [bits(row) for row in frame.rows()]


@quick
@given(frames(min_rows=1, min_columns=1), st.data())
def test_any_other_value_gives_another_id(frame: pl.DataFrame, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(frame.columns))
    dtype = frame.schema[name]
    row = data.draw(st.integers(0, frame.height - 1))
    values = frame[name].to_list()
    strategy = next((s for d, s in FLAT if d == dtype), None)
    assume(strategy is not None)
    assert strategy is not None
    values[row] = data.draw(nullable(strategy))
    changed = frame.with_columns(pl.Series(name, values, dtype=dtype))
    assert (table_id(changed) == table_id(frame)) == (cells(changed) == cells(frame))


@quick
@given(frames(min_rows=1, min_columns=1), frames(min_rows=1, min_columns=1))
def test_two_tables_share_an_id_only_if_they_are_equal(one: pl.DataFrame, other: pl.DataFrame) -> None:
    same = one.schema == other.schema and cells(one) == cells(other)
    assert (table_id(one).id == table_id(other).id) == same


@quick
@given(frames(min_rows=2, min_columns=1), st.data())
def test_order_of_rows_columns_and_their_names_count(frame: pl.DataFrame, data: st.DataObject) -> None:
    wanted = table_id(frame)
    order = data.draw(st.permutations(range(frame.height)))
    moved = frame[order]
    assert (table_id(moved) == wanted) == (cells(moved) == cells(frame))
    assert table_id(frame.rename({frame.columns[0]: frame.columns[0] + "x"})).id != wanted.id
    assert table_id(frame.head(-1)).id != wanted.id
    if frame.width > 1:
        assert table_id(frame.select(reversed(frame.columns))).id != wanted.id


def one(values: Any, dtype: Dtype) -> TableIdentity:
    return table_id(pl.DataFrame({"x": pl.Series(values, dtype=dtype)}))


def arrow(array: pa.Array) -> TableIdentity:
    return table_id(pa.table({"x": array}))


def test_bits_count() -> None:
    plain, other = np.array([0x7FF8000000000000, 0x7FF8000000000001], dtype="<u8").view("<f8")
    distinct = [one([value], pl.Float64).id for value in (0.0, -0.0, None)]
    distinct += [table_id(pl.DataFrame({"x": np.array([nan])})).id for nan in (plain, other)]
    assert len(set(distinct)) == 5


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (one([None], pl.String), one([""], pl.String)),
        (one(["ab", "c"], pl.String), one(["a", "bc"], pl.String)),
        (one(["a"], pl.String), one([b"a"], pl.Binary)),
        (one(["a"], pl.String), one(["a"], pl.Enum(["a"]))),
        (one(["a"], pl.Enum(["a", "b"])), one(["a"], pl.Enum(["b", "a"]))),
        (one([1], pl.Int64), one([1], pl.UInt64)),
        (one([1], pl.Int32), one([1], pl.Int64)),
        (one([0], pl.Datetime("us")), one([0], pl.Datetime("ns"))),
        (one([0], pl.Datetime("us")), one([0], pl.Datetime("us", "UTC"))),
        (one([0], pl.Datetime("us", "Etc/UTC")), one([0], pl.Datetime("us", "UTC"))),
        (one([Decimal(1)], pl.Decimal(9, 0)), one([Decimal(1)], pl.Decimal(10, 0))),
        (one([None], pl.List(pl.Int8)), one([[]], pl.List(pl.Int8))),
        (one([[None]], pl.List(pl.Int8)), one([[]], pl.List(pl.Int8))),
        (one([[1], [2, 3]], pl.List(pl.Int8)), one([[1, 2], [3]], pl.List(pl.Int8))),
        (one([[1, 2]], pl.List(pl.Int8)), one([[1, 2]], pl.Array(pl.Int8, 2))),
        (one([None], pl.Struct({"a": pl.Int8})), one([{"a": None}], pl.Struct({"a": pl.Int8}))),
        (one([], pl.Null), one([None], pl.Null)),
        (table_id(pl.DataFrame()), table_id(pl.DataFrame(height=1))),
        (table_id(pl.DataFrame(schema={"x": pl.Int8})), table_id(pl.DataFrame(schema={"y": pl.Int8}))),
    ],
)
def test_these_differ(left: TableIdentity, right: TableIdentity) -> None:
    assert left.id != right.id


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (one(["a", None, "a"], pl.Categorical), one(["a", None, "a"], pl.String)),
        (arrow(pa.array(["a", None]).dictionary_encode()), one(["a", None], pl.String)),
        (arrow(pa.array([7, 7, None]).dictionary_encode()), one([7, 7, None], pl.Int64)),
        (arrow(pa.array(["a", None], pa.string_view())), one(["a", None], pl.String)),
        (arrow(pa.array([b"a"], pa.binary_view())), one([b"a"], pl.Binary)),
        (arrow(pa.array([[1], None], pa.list_view(pa.int64()))), one([[1], None], pl.List(pl.Int64))),
        (arrow(pa.array([[1], None], pa.large_list(pa.int64()))), one([[1], None], pl.List(pl.Int64))),
        (arrow(pa.array([Decimal("1.5")], pa.decimal32(5, 2))), one([Decimal("1.5")], pl.Decimal(5, 2))),
        (arrow(pa.array([Decimal("1.5")], pa.decimal256(5, 2))), one([Decimal("1.5")], pl.Decimal(5, 2))),
        (arrow(pa.RunEndEncodedArray.from_arrays([2, 3], ["a", None])), one(["a", "a", None], pl.String)),
        (
            arrow(pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), pa.array(["a", None]))),
            one(["a", None, None], pl.String),
        ),
        (
            arrow(pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64()))),
            one([{"k": 1}, None, {}], pl.Map(pl.String, pl.Int64)),
        ),
    ],
)
def test_these_are_equal(left: TableIdentity, right: TableIdentity) -> None:
    assert left == right


def test_what_lies_under_a_null_does_not_count() -> None:
    valid = pa.py_buffer(b"\x05")
    for values in ([1, 99, 3], [1, 0, 3]):
        hidden = pa.Array.from_buffers(pa.int64(), 3, [valid, pa.py_buffer(np.array(values))])
        assert arrow(hidden) == one([1, None, 3], pl.Int64)
    texts = pa.Array.from_buffers(
        pa.string(), 3, [valid, pa.py_buffer(np.array([0, 1, 3, 4], dtype="<i4")), pa.py_buffer(b"aXXb")]
    )
    assert arrow(texts) == one(["a", None, "b"], pl.String)
    inner = pa.array([1, 2, 3, 4])
    lists = pa.Array.from_buffers(
        pa.list_(pa.int64()), 3, [valid, pa.py_buffer(np.array([0, 1, 3, 4], dtype="<i4"))], children=[inner]
    )
    assert arrow(lists) == one([[1], None, [4]], pl.List(pl.Int64))
    fixed = pa.FixedSizeListArray.from_arrays(inner, 2, mask=pa.array([True, False]))
    assert arrow(fixed) == one([None, [3, 4]], pl.Array(pl.Int64, 2))
    record = pa.StructArray.from_arrays([pa.array([1, 2])], ["a"], mask=pa.array([True, False]))
    assert arrow(record) == one([None, {"a": 2}], pl.Struct({"a": pl.Int64}))


@pytest.mark.parametrize("dtype", [pl.Int128, pl.UInt128])
def test_wide_integers(dtype: DataTypeClass) -> None:
    shift = 0 if dtype == pl.UInt128 else 2**127
    values = [v - shift for v in (0, 1, 2**64 - 1, 2**64, 2**127 - 1, 2**127, 2**128 - 1)]
    seen = [one([value], dtype).id for value in values]
    assert len(set(seen)) == len(values)
    with_nulls = [None, *values, None]
    frame = pl.DataFrame({"x": pl.Series(with_nulls, dtype=dtype)})
    builder = IdentityBuilder(frame.schema)
    for part in pieces(frame, [1, 4, 5]):
        builder.update(part)
    assert builder.finish() == table_id(frame) == table_id(by_polars(frame, "ipc"))
    assert table_id(frame).columns[0].type == str(dtype).lower()


@pytest.mark.parametrize("rows", [BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 3 * BLOCK_ROWS + 17])
def test_batches_over_blocks(rows: int) -> None:
    numbers = np.random.default_rng(rows).integers(0, 1000, rows)
    frame = pl.DataFrame({"n": numbers}).with_columns(
        s=pl.when(pl.col("n") < 100).then(None).otherwise(pl.col("n").cast(pl.String)),
        c=pl.col("n").cast(pl.String).cast(pl.Categorical),
        b=pl.col("n") % 2 == 0,
        l=pl.concat_list("n", "n"),
    )
    wanted = table_id(frame)
    for size in (9_973, BLOCK_ROWS, 100_000):
        builder = IdentityBuilder(frame.schema)
        for i, start in enumerate(range(0, rows, size)):
            part = frame[start : start + size]
            builder.update(part.to_arrow() if i % 2 else part)
        assert builder.finish() == wanted
    table = frame.to_arrow()
    thin = pa.Table.from_batches(table.to_batches(max_chunksize=211))
    assert table_id(thin) == wanted
    last = frame.with_row_index().with_columns(pl.when(pl.col("index") == rows - 1).then(-1).otherwise("n").alias("n"))
    changed = table_id(last.drop("index"))
    assert [a.id == b.id for a, b in zip(changed.columns, wanted.columns, strict=True)] == [
        False,
        True,
        True,
        True,
        True,
    ]


def test_the_id_stays_what_it_was() -> None:
    frame = pl.DataFrame({"n": [1, None, 3], "s": ["a", "", None], "l": [[1.0], None, []]})
    # a change here makes all ids ever given out wrong: then the scheme needs another name
    assert table_id(frame).id == "c1:907434b060377369887f217c77c1a00b4d619d2a951cb97f54323f568a44d5db"


@pytest.mark.parametrize(
    "table",
    [
        pl.DataFrame({"odd": pl.Series([object()], dtype=pl.Object)}),
        pl.DataFrame({"odd": pl.Series([[1]], dtype=pl.List(pl.Int128))}),
        pa.table({"odd": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"x" * 16], pa.binary(16)))}),
        pa.table({"odd": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}),
        pa.table({"odd": pa.array([[(1, 2, 3)]], pa.list_(pa.month_day_nano_interval()))}),
        pa.table({"odd": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])}),
    ],
    ids=["object", "nested-int128", "extension", "interval", "nested-interval", "union"],
)
def test_what_cannot_be_represented_is_refused(table: pa.Table | pl.DataFrame) -> None:
    with pytest.raises(DataError, match=r"column 'odd' of type .* can't be represented"):
        table_id(table)


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match="'x'"):
        table_id(pa.table([pa.array([1]), pa.array([2])], names=["x", "x"]))


@quick
@given(frames(min_columns=1))
def test_whole_columns_one_after_the_other_give_the_same_id(frame: pl.DataFrame) -> None:
    assert id_of_columns(frame.schema, frame.iter_columns()) == table_id(frame)


def test_columns_of_another_length_or_type_are_refused() -> None:
    schema = pl.Schema({"a": pl.Int64, "b": pl.String})
    with pytest.raises(DataError, match="'b' has 1 rows"):
        id_of_columns(schema, [pl.Series([1, 2]), pl.Series(["x"])])
    with pytest.raises(DataError, match="'b' is"):
        id_of_columns(schema, [pl.Series([1]), pl.Series([1.5])])


def test_batches_of_another_schema_are_refused() -> None:
    builder = IdentityBuilder(pl.Schema({"x": pl.Int64()}))
    with pytest.raises(DataError, match="'x' is int32 in a batch and int64"):
        builder.update(pl.DataFrame({"x": [1]}, schema={"x": pl.Int32}))
    with pytest.raises(DataError, match="'y'"):
        builder.update(pl.DataFrame({"y": [1]}))
    builder.finish()
    with pytest.raises(UsageError):
        builder.update(pl.DataFrame({"x": [1]}))


@pytest.mark.parametrize("dtype", [pl.Int64(), pl.Struct({"a\0": pl.Int64()})])
def test_a_name_with_a_zero_byte_is_refused(dtype: pl.DataType) -> None:
    with pytest.raises(DataError, match="zero byte"):
        table_id(pl.DataFrame(schema={"x" if dtype.is_nested() else "x\0": dtype}))
