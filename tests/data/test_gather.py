"""Parts of frames that hold no memory but their own."""

import datetime as dt

import polars as pl

from clew.data._gather import of_its_own


def _held(frame: pl.DataFrame) -> int:
    """Bytes that lie behind the texts."""
    (chunk,) = frame.to_arrow(compat_level=pl.CompatLevel.newest())["text"].chunks
    return sum(buffer.size for buffer in chunk.buffers() if buffer is not None)


def test_a_few_rows_hold_no_texts_of_others() -> None:
    frame = pl.DataFrame({"text": [f"a text that is too long to lie in its view {n}" for n in range(10_000)]})
    few = frame.filter(pl.int_range(pl.len()) % 1000 == 0)
    own = of_its_own(few, frame.height)
    assert own.equals(few)
    assert _held(few) > 400_000  # all of them
    assert _held(own) < 2000


def test_every_type_comes_through_as_it_was() -> None:
    rows = 8
    frame = pl.DataFrame(
        {
            "text": ["x" * 20, None, "", "é"] * 2,
            "lists": [[["q"], None]] * rows,
            "category": pl.Series(["u", "v", None, "w"] * 2, dtype=pl.Categorical),
            "enum": pl.Series(["u", "v", None, "u"] * 2, dtype=pl.Enum(["u", "v"])),
            "struct": [{"k": "text", "n": 1}] * rows,
            "bytes": [b"1", b"", None, b"\xff"] * 2,
            "wide": pl.Series([1 << 100] * rows, dtype=pl.Int128),
            "half": pl.Series([1.5, float("nan")] * 4, dtype=pl.Float16),
            "array": pl.Series([["a", "b"]] * rows, dtype=pl.Array(pl.String, 2)),
            "zone": [dt.datetime(2020, 1, 1, tzinfo=dt.UTC)] * rows,
            "decimal": pl.Series([1] * rows, dtype=pl.Decimal(30, 3)),
            "null": [None] * rows,
        }
    )
    own = of_its_own(frame, 1000)
    assert own.schema == frame.schema
    assert own.equals(frame)
