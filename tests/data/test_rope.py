from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.data import rope
from clew.data.identity import table_id
from clew.data.rope import Extent, cut, join, shared_ends
from clew.errors import DataError, IntegrityError
from clew.objects.memory import MemoryStore

A, B, C = "a" * 64, "b" * 64, "c" * 64
extents = st.lists(
    st.builds(Extent, st.sampled_from([A, B, C]), st.integers(0, 20), st.integers(1, 9)), max_size=8
)  # fmt: skip


def rows(of: list[Extent]) -> list[tuple[str, int]]:
    return [(extent.fragment, row) for extent in of for row in range(extent.start, extent.start + extent.rows)]


@given(extents, st.integers(0, 40), st.integers(0, 40))
def test_cutting_and_joining_are_what_slices_and_sums_of_lists_are(of: list[Extent], start: int, many: int) -> None:
    assert rows(cut(of, start, many)) == rows(of)[start : start + many]
    total = len(rows(of))
    parts = [cut(of, 0, start), cut(of, start, many), cut(of, start + many, total)]
    joined = join(*parts)
    assert rows(joined) == rows(of)
    assert all(not (x.fragment == y.fragment and x.start + x.rows == y.start) for x, y in zip(joined, joined[1:]))  # noqa: B905, RUF007
    assert rope.decode(rope.encode(of)) == of


@pytest.mark.parametrize("body", [b"", b"{}", b'{"rope":1,"extents":[["x"]]}', b"\xff"])
def test_what_is_no_rope_is_said_so(body: bytes) -> None:
    with pytest.raises(IntegrityError, match="extents"):
        rope.decode(body)


@given(st.lists(st.integers(0, 2), max_size=12), st.lists(st.integers(0, 2), max_size=12))
def test_shared_ends_never_overlap_and_are_equal(old: list[int], new: list[int]) -> None:
    """Few values and so many repetitions: head and tail would overlap if nobody looked."""
    before, after = (pl.DataFrame({"x": pl.Series(rows, dtype=pl.Int64)}) for rows in (old, new))
    head, tail = shared_ends(before, after)
    assert head + tail <= min(len(old), len(new))
    assert old[:head] == new[:head]
    assert old[len(old) - tail :] == new[len(new) - tail :]
    whole = min(len(old), len(new))
    assert head == whole or old[head] != new[head]
    assert head + tail == whole or old[len(old) - tail - 1] != new[len(new) - tail - 1]


def nan_of(bits: int) -> float:
    return float(np.array([bits], dtype="<u8").view("<f8")[0])


@pytest.mark.parametrize(("was", "now"), [(0.0, -0.0), (nan_of(0x7FF8 << 48), nan_of((0x7FF8 << 48) + 1))])
def test_values_that_hashes_take_for_equal_are_not_shared(was: float, now: float) -> None:
    old = pl.DataFrame({"x": np.array([1.0, was, 2.0, 3.0, was])})
    new = pl.DataFrame({"x": np.array([1.0, now, 2.0, 9.0, now])})
    head, tail = shared_ends(old, new)
    assert old.hash_rows()[1] == new.hash_rows()[1]  # else this test would say nothing
    assert table_id(old.head(head)).id == table_id(new.head(head)).id
    assert table_id(old.tail(tail)).id == table_id(new.tail(tail)).id
    assert tail == 0


def test_another_schema_shares_nothing() -> None:
    one = pl.DataFrame({"a": [1, 2], "b": [1, 2]})
    for other in (one.select("b", "a"), one.cast(pl.Int32), one.rename({"a": "c"}), one.select("a"), pl.DataFrame()):
        assert shared_ends(one, other) == (0, 0)
        assert shared_ends(other, one) == (0, 0)
    assert shared_ends(pl.DataFrame(), pl.DataFrame()) == (0, 0)


def test_a_fragment_is_refused_by_column_when_parquet_would_not_give_it_back(tmp_path: Path) -> None:
    store = MemoryStore()
    odd = pl.DataFrame({"fine": [1], "odd one": pl.Series([{}], dtype=pl.Struct([]))})
    with pytest.raises(DataError, match="'odd one' of type Struct") as caught:
        rope.write_fragment(store, tmp_path, odd)
    assert "fine" not in caught.value.message
    assert not list(store.list())
    assert not list(tmp_path.iterdir())


def test_a_schema_is_refused_by_column_when_arrow_would_not_give_it_back() -> None:
    odd = pl.DataFrame({"fine": [1], "odd one": pl.Series([object()], dtype=pl.Object)})
    with pytest.raises(DataError, match="'odd one' of type Object") as caught:
        rope.schema_body(odd)
    assert "fine" not in caught.value.message


def test_the_same_rows_make_the_same_fragment(tmp_path: Path) -> None:
    store = MemoryStore()
    frame = pl.DataFrame({"a": [1, 2]})
    first = rope.write_fragment(store, tmp_path, frame)
    assert first[2]
    assert rope.write_fragment(store, tmp_path, frame) == (*first[:2], False)
    assert pl.read_parquet(store.open_path(first[0])).equals(frame)
