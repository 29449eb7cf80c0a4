import csv
import datetime as dt
import gzip
import io
import os
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather as pf
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from polars.testing.parametric import dataframes

from clew.data.identity import table_id
from clew.data.readers import load, open_source
from clew.errors import DataError, NotFoundError, UsageError


def written(folder: Path, name: str, body: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(body if isinstance(body, bytes) else body.encode())
    return path


def refused(path: Any, *says: str, types: dict[str, pl.DataType] | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        load(path, types)
    assert caught.value.mend
    for part in says:
        assert part in caught.value.message, caught.value.message
    return caught.value


# --- CSV: what is broken is named ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("a,b\n1,2\n3,4,5\n", ["row 2 (line 3) has 3 fields, and the header has 2"]),
        ("a,b\n1,2\n3\n5,6\n", ["row 2 (line 3) has 1 fields, and the header has 2"]),
        ('a,b\n"x\ny",2\n3\n', ["row 2 (line 4) has 1 fields"]),
        ('a,b\n1,2\n"x\ny\nz"\n', ["row 2 (lines 3 to 5) has 1 fields"]),
        ("a,b\n\n1,\n3\n", ["row 2 (line 4) has 1 fields"]),
        ('a,b\n5" pipe,2\n', ["line 2", "quote within a field"]),
        ('a,b\n1,2\n"abc"def,2\n', ["line 3", "closes before the end"]),
        ('a,b\n1,2\n"abc,2\n3,4\n', ["line 3", "never closed"]),
        (b"a,b\n1,2\n\xff\xfe,4\n", ["line 3", "UTF-8"]),
        (b"a\xff,b\n1,2\n", ["line 1", "UTF-8"]),
        ("a,b,a\n1,2,3\n", ["columns of one name: a"]),
        ("\n\n", ["is empty: not even a header"]),
        ("a,b\r1,2\r3,4\r", ["CR alone"]),
        (bytes(range(256)) * 50, ["UTF-8"]),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xae\xff", ["UTF-8"]),
        ("a,b\n1,2\n".encode("utf-16"), ["UTF-8"]),
    ],
)
def test_a_broken_csv_is_refused_and_the_place_is_named(tmp_path: Path, body: bytes | str, says: list[str]) -> None:
    refused(written(tmp_path, "t.csv", body), *says)
    refused(written(tmp_path, "t.csv.gz", gzip.compress(body if isinstance(body, bytes) else body.encode())), *says)


def test_an_empty_file_and_one_that_is_not_there(tmp_path: Path) -> None:
    for name in ("t.csv", "t.parquet", "t.jsonl", "t.arrow"):
        refused(written(tmp_path, name, b""), "is empty")
        with pytest.raises(NotFoundError, match="there is no file"):
            load(tmp_path / f"none-{name}")
    with pytest.raises(NotFoundError):
        load(tmp_path)
    refused(written(tmp_path, "t.xlsx", b"PK"), ".xlsx", "doesn't know")
    refused(written(tmp_path, "t", b"a,b\n"), "none")


def test_quotes_newlines_commas_and_odd_spaces_stay_in_their_fields(tmp_path: Path) -> None:
    rows = [["plain", 'say "hi"', "a,b"], ["line\nbreak", "crlf\r\nbreak", " lead and trail "], ["", "ünï—✓", "\t"]]
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerows([["x", "y, z", 'the "q"'], *rows])
    frame = load(written(tmp_path, "t.csv", text.getvalue())).frame
    assert frame.columns == ["x", "y, z", 'the "q"']
    assert [list(row) for row in frame.rows()] == rows


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1), min_size=3,
                 max_size=3),
        min_size=1,
    )
)  # fmt: skip
def test_any_text_comes_back_from_csv(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["a", "b", "c"], *rows])
    frame = load(path, dict.fromkeys("abc", pl.String())).frame
    assert [list(row) for row in frame.rows()] == rows


def test_bom_crlf_and_gzip_change_nothing(tmp_path: Path) -> None:
    plain = load(written(tmp_path, "t.csv", 'a,"b,c"\n1,x\n2,\n')).frame
    assert plain.columns == ["a", "b,c"]
    for name, body in {
        "bom.csv": b"\xef\xbb\xbf" + b'a,"b,c"\n1,x\n2,\n',
        "crlf.csv": b'a,"b,c"\r\n1,x\r\n2,\r\n',
        "noend.csv": b'a,"b,c"\n1,x\n2,',
        "packed.csv.gz": gzip.compress(b'a,"b,c"\n1,x\n2,\n'),
        "two.csv.gz": gzip.compress(b'a,"b,c"\n1,x\n') + gzip.compress(b"2,\n"),
        "misnamed.csv": gzip.compress(b'a,"b,c"\n1,x\n2,\n'),
        "bomquoted.csv": b"\xef\xbb\xbf" + b'"a","b,c"\n1,x\n2,\n',
    }.items():
        assert_frame_equal(load(written(tmp_path, name, body)).frame, plain)


def test_a_gzip_that_ends_too_early_or_is_damaged(tmp_path: Path) -> None:
    whole = gzip.compress(b"a,b\n" + os.urandom(30_000).hex().encode() + b",2\n")
    refused(written(tmp_path, "t.csv.gz", whole[: len(whole) // 2]), "can't be read")
    refused(written(tmp_path, "t.csv.gz", whole[:5000] + b"\0\0\0\0" + whole[5004:]), "can't be read")
    refused(written(tmp_path, "t.csv.gz", whole[:12]), "can't be read")


def test_blank_lines_are_no_rows_where_there_are_several_columns(tmp_path: Path) -> None:
    frame = load(written(tmp_path, "t.csv", "a,b\n1,2\n\n3,\n,\n\n\n")).frame
    assert frame.rows() == [(1, 2), (3, None), (None, None)]
    one = load(written(tmp_path, "one.csv", "a\n1\n\n3\n")).frame
    assert one.rows() == [(1,), (None,), (3,)]  # one column: an empty line is an empty value


def test_a_header_alone_is_a_table_without_rows(tmp_path: Path) -> None:
    for body in ("a,b\n", "a,b", "a,b\r\n"):
        frame = load(written(tmp_path, "t.csv", body), {"a": pl.Int64()}).frame
        assert frame.schema == {"a": pl.Int64, "b": pl.String}
        assert frame.height == 0


def test_a_huge_field(tmp_path: Path) -> None:
    huge = "x" * 3_000_000
    frame = load(written(tmp_path, "t.csv", f'a,b\n"{huge}",\n1,2\n')).frame
    assert frame["a"].to_list() == [huge, "1"]


def test_file_names_are_taken_literally(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1]})
    other = pl.DataFrame({"a": [2]})
    for suffix in ("csv", "parquet", "jsonl", "arrow"):
        for name, table in ((f"a[1].{suffix}", frame), (f"a1.{suffix}", other), (f"*.{suffix}", frame)):
            path = tmp_path / name
            match suffix:
                case "csv":
                    table.write_csv(path)
                case "parquet":
                    table.write_parquet(path)
                case "jsonl":
                    table.write_ndjson(path)
                case _:
                    table.write_ipc(path)
        for name in (f"a[1].{suffix}", f"*.{suffix}"):
            assert load(tmp_path / name).frame.rows() == [(1,)], name
    folder = tmp_path / "year=2020" / "new\nline"
    folder.mkdir(parents=True)
    frame.write_parquet(folder / "t.parquet")
    assert load(folder / "t.parquet").frame.columns == ["a"]


# --- types of text ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["1", "-2", ""], pl.Int64),
        (["1", "2.5"], pl.Float64),
        (["1e3", "nan", "-inf"], pl.Float64),
        (["01234", "2"], pl.String),
        (["00.5", "2"], pl.String),
        (["0.5", "0", "-0.25"], pl.Float64),
        (["12345678901234567890", "1"], pl.String),  # as a number it would lose digits
        (["1e400"], pl.String),
        (["true", "False"], pl.Boolean),
        (["2024-01-31", ""], pl.Date),
        (["24-01-31"], pl.String),
        (["2024-02-30"], pl.String),
        (["2024-01-31T10:00:00", "2024-01-31 10:00:00.123456"], pl.Datetime("us")),
        (["2024-01-31T10:00:00.123456789"], pl.Datetime("ns")),
        (["2024-01-31T10:00:00Z"], pl.String),
        (["2024-01-31", "2024-01-31T10:00:00"], pl.String),
        (["", ""], pl.String),
        (["a", "1"], pl.String),
        ([" 5", "6"], pl.String),
    ],
)
def test_what_texts_are_taken_for(tmp_path: Path, values: list[str], dtype: Any) -> None:
    path = written(tmp_path, "t.csv", "x,y\n" + "".join(f"{value},1\n" for value in values))
    frame = load(path).frame
    assert frame.schema["x"] == dtype
    assert frame["x"].null_count() == sum(value == "" for value in values)


@pytest.mark.parametrize(
    ("dtype", "good", "means", "odd"),
    [
        (pl.Int64(), "5", 5, "5.5"),
        (pl.Int8(), "5", 5, "300"),
        (pl.Float64(), "5", 5.0, "1e400"),
        (pl.Float32(), "0.5", 0.5, "1e39"),
        (pl.String(), "5", "5", None),
        (pl.Boolean(), "True", True, "yes"),
        (pl.Date(), "2024-01-05", dt.date(2024, 1, 5), "5.1.2024"),
        (pl.Date(), "2024-01-05", dt.date(2024, 1, 5), "24-01-05"),
        (pl.Time(), "12:30:00.5", dt.time(12, 30, 0, 500_000), "25:00:00"),
        (pl.Datetime("us"), "2024-01-05 10:00:00", dt.datetime(2024, 1, 5, 10), "2024-01-05 10:00:00Z"),  # noqa: DTZ001
        (pl.Datetime("us"), "2024-01-05", dt.datetime(2024, 1, 5), "2024-01-05 10:00:00.1234567"),  # noqa: DTZ001
        (pl.Datetime("ms"), "2024-01-05 10:00:00.5", dt.datetime(2024, 1, 5, 10, 0, 0, 500_000), "x"),  # noqa: DTZ001
        (
            pl.Datetime("us", "UTC"),
            "2024-01-05T10:00:00+02:00",
            dt.datetime(2024, 1, 5, 8, tzinfo=dt.UTC),
            "2024-01-05T10:00:00 Z+",
        ),
        (pl.Decimal(10, 2), "1.20", Decimal("1.20"), "1.234"),
        (pl.Enum(["a", "b"]), "a", "a", "c"),
        (pl.Categorical(), "a", "a", None),
    ],
)
def test_text_is_read_as_the_type_that_was_and_one_odd_value_is_named_by_its_row(
    tmp_path: Path, dtype: pl.DataType, good: str, means: object, odd: str | None
) -> None:
    types = {"x": dtype}
    frame = load(written(tmp_path, "t.csv", f"x,y\n{good},1\n,1\n"), types).frame
    assert frame.schema["x"] == dtype
    assert frame["x"].to_list() == [means, None]
    none = load(written(tmp_path, "t.csv", "x,y\n,1\n,2\n"), types).frame
    assert none.schema["x"] == dtype
    if odd is not None:
        path = written(tmp_path, "t.csv", f"x,y\n{good},1\n{odd},1\n")
        error = refused(path, "column 'x'", "1 value doesn't fit it", f"row 2: {odd!r}", types=types)
        assert "--accept-schema" in str(error.mend)


def test_of_many_odd_values_five_are_shown(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", "x,y\n1,1\n" + f"{'long ' * 40},1\n" * 7)
    error = refused(path, "7 values don't fit", "row 2", "row 6", types={"x": pl.Int64()})
    assert "row 7" not in error.message
    assert len(error.message) < 900


def test_a_type_that_text_has_no_bridge_to_is_refused_by_name(tmp_path: Path) -> None:
    refused(written(tmp_path, "t.csv", "x,y\n1,1\n"), "column 'x'", types={"x": pl.List(pl.Int64())})


def test_hints_hold_where_all_values_fit(tmp_path: Path) -> None:
    hints: dict[str, pl.DataType] = {"code": pl.String(), "n": pl.Int64(), "d": pl.Date()}
    frame = load(written(tmp_path, "t.csv", "code,n,d\n12,1.5,2024-01-01\n"), None, hints).frame
    assert frame.schema == {"code": pl.String, "n": pl.Float64, "d": pl.Date}


# --- JSON lines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('{"a":1}\n{"a":\n{"a":3}\n', "row 2 (line 2)"),
        ('{"a":1}\n\n{"a":2} xx\n', "row 2 (line 3)"),
        ('{"a":1}{"a":2}\n', "row 1 (line 1)"),
        ('{"a":1}\n[1]\n', "row 2 (line 2)"),
        ('{"a":1}\n{"a":2', "row 2 (line 2)"),
        (b'{"a":"\xff"}\n', "row 1 (line 1)"),
        ('{"a":[1]}\n{"a":3}\n', "can't be read as a table"),
        ("\n\n", "is empty"),
    ],
)
def test_a_broken_line_of_json_is_named(tmp_path: Path, body: bytes | str, says: str) -> None:
    refused(written(tmp_path, "t.jsonl", body), says)


def test_json_keeps_types_and_names_odd_values(tmp_path: Path) -> None:
    types: dict[str, pl.DataType] = {"a": pl.Int64(), "gone": pl.String(), "d": pl.Date()}
    frame = load(written(tmp_path, "t.jsonl", '{"a":1.0,"d":"2024-01-01"}\n{"a":null}\n'), types).frame
    assert frame.schema == {"a": pl.Int64, "d": pl.Date}  # what vanished is not made up
    assert frame.rows() == [(1, dt.date(2024, 1, 1)), (None, None)]
    refused(written(tmp_path, "t.jsonl", '{"a":1}\n{"a":"x"}\n'), "row 2: 'x'", types=types)
    refused(written(tmp_path, "t.jsonl", '{"a":1}\n{"a":1.5}\n'), "row 2: 1.5", types=types)
    nested = load(written(tmp_path, "t.jsonl", '{"a":{"x":[1,2]}}\n{"a":{"y":"z"}}\n')).frame
    assert nested["a"].to_list() == [{"x": [1, 2], "y": None}, {"x": None, "y": "z"}]
    assert load(written(tmp_path, "t.jsonl", '{"a":"12"}\n')).frame.schema == {"a": pl.String}


# --- hostile files ------------------------------------------------------------------------------------------------


def many_columns(folder: Path, ending: str, columns: int) -> Path:
    path = folder / f"wide.{ending}"
    names = [f"c{i}" for i in range(columns)]
    if ending == "csv":
        path.write_text(",".join(names) + "\n" + ",".join("1" * columns) + "\n")
    elif ending == "csv.gz":
        path.write_bytes(gzip.compress((",".join(names) + "\n" + ",".join("1" * columns) + "\n").encode(), 1))
    elif ending == "jsonl":
        path.write_text("{" + ",".join(f'"{name}":1' for name in names) + "}\n")
    else:
        table = pa.table([pa.array([1], pa.int8())] * columns, names=names)
        if ending == "arrow":
            with pa.ipc.new_file(path, table.schema) as writer:
                writer.write_table(table)
        else:
            pq.write_table(table, path, write_statistics=False)
    return path


@pytest.mark.parametrize(
    ("ending", "columns"),
    [("csv", 1_000_000), ("csv.gz", 1_000_000), ("jsonl", 1_000_000), ("arrow", 100_000), ("parquet", 20_001)],
)
def test_too_many_columns_are_refused_at_once(tmp_path: Path, ending: str, columns: int) -> None:
    path = many_columns(tmp_path, ending, columns)
    began = time.process_time()
    refused(path, f"has {columns:,} columns, and the limit is 20,000")
    assert time.process_time() - began < 2  # a second, with room for a busy machine


def test_json_whose_lines_add_up_to_too_many_columns(tmp_path: Path) -> None:
    refused(written(tmp_path, "t.jsonl", "".join(f'{{"k{i}":1}}\n' for i in range(20_001))), "has 20,001 columns")


def test_a_list_of_columns_that_goes_beyond_counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clew.data._parquet_files._THRIFT_LIMIT", 50)
    refused(many_columns(tmp_path, "parquet", 60), "has far more columns, and the limit is 20,000")


def test_a_header_without_an_end(tmp_path: Path) -> None:
    refused(written(tmp_path, "t.csv", "x," * (9 << 20)), "its header goes on for more than 16 MB")
    for body in ('a,"' + "x" * (17 << 20), "x" * (17 << 20), 'a,"' + "x\n" * (9 << 20)):
        refused(written(tmp_path, "t.csv", body))


def test_a_small_parquet_that_claims_much_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    rows = 20_000_000
    constant = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int8)), pa.array(["x" * 10]))
    pq.write_table(pa.table({f"c{i}": constant for i in range(5)}), path, row_group_size=rows)
    assert path.stat().st_size < 500_000
    refused(path, "claims 20,000,000 rows", "1.6 GB in memory")
    # A footer edited by hand: the number of rows of the file, and of its row group.
    pq.write_table(pa.table({"a": [7] * 77}), path, compression="none")
    body = path.read_bytes()
    length = int.from_bytes(body[-8:-4], "little")
    footer, huge = body[-8 - length : -8], varint(1 << 34)
    assert footer.count(varint(77)) >= 2
    for edited in (footer.replace(varint(77), huge), footer.replace(varint(77), huge, 1)):
        path.write_bytes(body[: -8 - length] + edited + len(edited).to_bytes(4, "little") + b"PAR1")
        with pytest.raises(DataError):
            load(path)


def varint(number: int) -> bytes:
    """A whole number as Thrift's compact protocol writes it."""
    number *= 2
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def test_a_small_arrow_file_that_claims_much(tmp_path: Path) -> None:
    table = pa.table({"a": np.zeros(70_000_000, dtype=np.int8), "b": pa.nulls(70_000_000)})
    table = table.append_column("c", table["a"])
    for name in "defghijklmnopqrst":
        table = table.append_column(name, table["a"])
    with pa.ipc.new_file(
        tmp_path / "t.arrow", table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")
    ) as file:
        file.write_table(table)
    refused(tmp_path / "t.arrow", "claims 70,000,000 rows")


def test_files_of_one_table_must_have_one_schema(tmp_path: Path) -> None:
    frames = [pl.DataFrame({"a": [1], "b": ["x"]}), pl.DataFrame({"a": [2], "b": ["y"]})]
    others = [frames[0].cast({"a": pl.Int32}), frames[0].select("a"), frames[0].select("b", "a")]
    for ending in ("parquet", "arrow", "csv"):
        paths = [tmp_path / f"{i}.{ending}" for i in range(3)]

        def write(frame: pl.DataFrame, path: Path, ending: str = ending) -> None:
            body = io.BytesIO()
            if ending == "parquet":
                frame.write_parquet(body)
            elif ending == "arrow":
                frame.write_ipc(body)
            else:
                frame.write_csv(body)
            path.write_bytes(body.getvalue())

        write(frames[0], paths[0])
        write(frames[1], paths[1])
        source = open_source(paths[:2], {}, {}, tmp_path)
        assert pl.concat(batch for _, batch in source.batches()).rows() == [(1, "x"), (2, "y")]
        assert [spec.uri for spec in source.specs] == [str(path) for path in paths[:2]]
        for other in others[1:] if ending == "csv" else others:
            write(other, paths[2])
            with pytest.raises(DataError, match=f"2.{ending} has other columns or types than .*0.{ending}"):
                open_source(paths, {}, {}, tmp_path)
    with pytest.raises(NotFoundError):
        open_source([tmp_path / "0.csv", tmp_path / "gone.csv"], {}, {}, tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed, whom nothing is readable to")
def test_a_file_that_may_not_be_read() -> None:
    code = """
import os, sys
from pathlib import Path
from clew.data import readers
from clew.errors import DataError
import pyarrow.parquet, polars
paths = sorted(Path(sys.argv[1]).iterdir())
os.seteuid(65534)
for path in paths:
    try:
        readers.open_source([path], {}, {}, Path("/tmp"))
    except DataError as error:
        print(error.message)
"""
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        folder.chmod(0o755)
        pl.DataFrame({"a": [1]}).write_parquet(folder / "t.parquet")
        pl.DataFrame({"a": [1]}).write_ipc(folder / "t.arrow")
        written(folder, "t.csv", "a\n1\n")
        written(folder, "t.jsonl", '{"a":1}\n')
        for path in folder.iterdir():
            path.chmod(0)
        done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert len(said) == 4
    assert all("ermission" in line for line in said), said


# --- types that reading would change ------------------------------------------------------------------------------

CHANGED = {
    "timestamp[s]": pa.array([1], pa.timestamp("s")),
    "list[timestamp[s]]": pa.array([[1]], pa.list_(pa.timestamp("s"))),
    "date64": pa.array([86_400_000], pa.date64()),
    "time[s]": pa.array([1], pa.time32("s")),
    "duration[s]": pa.array([1], pa.duration("s")),
    "binary[2]": pa.array([b"ab"], pa.binary(2)),
    "decimal256(50, 2)": pa.array([Decimal(1)], pa.decimal256(50, 2)),
    "month_day_nano_interval": pa.array([None], pa.month_day_nano_interval()),
    "union": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]),
}


@pytest.mark.parametrize("name", CHANGED)
def test_types_that_would_change_are_refused_by_column_and_type(tmp_path: Path, name: str) -> None:
    table = pa.table({"fine": [1], "odd one": CHANGED[name]})
    refused(table, "'odd one'", name.split("(", maxsplit=1)[0])
    refused(table.to_batches()[0], "'odd one'")
    if "interval" not in name and name != "union":
        pf.write_feather(table, tmp_path / "t.feather", compression="uncompressed")
        refused(tmp_path / "t.feather", "'odd one'")


def test_parquet_is_read_as_what_it_holds_or_refused(tmp_path: Path) -> None:
    held = {
        "binary[2]": CHANGED["binary[2]"],
        "decimal256(50, 2)": CHANGED["decimal256(50, 2)"],
    }
    for array in held.values():
        pq.write_table(pa.table({"odd one": array}), tmp_path / "t.parquet")
        refused(tmp_path / "t.parquet", "'odd one'")
    # These digits fit, however wide Arrow held them.
    pq.write_table(pa.table({"x": pa.array([Decimal("1.5")], pa.decimal256(20, 2))}), tmp_path / "t.parquet")
    assert load(tmp_path / "t.parquet").frame["x"].to_list() == [Decimal("1.50")]


def test_a_broken_parquet_or_arrow_file(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": range(1000)})
    for suffix, write in (("parquet", frame.write_parquet), ("arrow", frame.write_ipc)):
        path = tmp_path / f"t.{suffix}"
        write(path)
        body = path.read_bytes()
        for cut in (len(body) - 20, len(body) // 2, 3):
            refused(written(tmp_path, f"cut.{suffix}", body[:cut]), "can't be read")
        refused(written(tmp_path, f"text.{suffix}", "a,b\n1,2\n"), "can't be read")


def test_frames_of_all_libraries() -> None:
    frame = pl.DataFrame({"n": [1, None], "s": ["a", "ü"], "t": [dt.datetime(2024, 1, 1), None]})  # noqa: DTZ001
    wanted = table_id(frame).id
    assert table_id(load(frame).frame).id == wanted
    assert table_id(load(frame.lazy()).frame).id == wanted
    assert table_id(load(frame.to_arrow()).frame).id == wanted
    pandas = pd.DataFrame({"n": pd.array([1, None], dtype="Int64"), "s": ["a", "ü"]})
    pandas["t"] = pd.array([pd.Timestamp("2024-01-01"), pd.NaT], dtype="datetime64[us]")
    assert table_id(load(pandas).frame).id == wanted
    assert load(pd.Series([1.0, float("nan")], name="x")).frame.rows() == [(1.0,), (None,)]


def test_pandas_is_refused_where_something_would_be_lost() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    refused(frame.set_index("a"), "index a would be lost")
    assert load(frame[frame["a"] > 1]).frame.rows() == [(2, 4)]
    refused(pd.DataFrame({"mixed": [1, "x", object()]}), "can't be read")
    refused(pa.table([[1], [2]], names=["a", "a"]), "can't be read")


@pytest.mark.parametrize("source", [{"a": [1]}, [1, 2], 5, None, pl.Series([1]), b"a,b"])
def test_what_is_no_table_is_refused(source: object) -> None:
    with pytest.raises(UsageError, match="is no table"):
        load(source)


@settings(max_examples=40, deadline=None)
@given(frame=dataframes(max_cols=3, max_size=6, excluded_dtypes=[pl.Object], allow_null=True))
def test_what_polars_wrote_is_read_as_it_was(tmp_path_factory: pytest.TempPathFactory, frame: pl.DataFrame) -> None:
    folder = tmp_path_factory.mktemp("written")
    try:
        wanted = table_id(frame).id
    except DataError:
        return  # a type that no content id is there for
    for write, path in ((frame.write_parquet, folder / "t.parquet"), (frame.write_ipc, folder / "t.arrow")):
        try:
            write(path)
            pl.read_ipc(path) if path.suffix == ".arrow" else pl.read_parquet(path)
        except pl.exceptions.PolarsError:
            continue  # a type that this format hasn't
        back = load(path).frame
        assert back.schema == frame.schema
        assert table_id(back).id == wanted
