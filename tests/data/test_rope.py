import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.data import rope
from clew.data.rope import Fragment, Rope
from clew.errors import IntegrityError

FRAGMENTS = (Fragment("a" * 64, 30), Fragment("b" * 64, 20), Fragment("c" * 64, 9))


@st.composite
def ropes(draw: st.DrawFn) -> Rope:
    """Any extents over three fragments, the same rows more than once among them."""
    parts = []
    for _ in range(draw(st.integers(0, 8))):
        index = draw(st.integers(0, 2))
        start = draw(st.integers(0, FRAGMENTS[index].rows - 1))
        parts.append((index, start, draw(st.integers(1, FRAGMENTS[index].rows - start))))
    table = np.array(parts, dtype=np.int64).reshape(-1, 3)
    return Rope(FRAGMENTS, table[:, 0], table[:, 1], table[:, 2])


def places(of: Rope) -> list[tuple[str, int]]:
    fragment, row = of.places()
    return [(of.fragments[index].digest, at) for index, at in zip(fragment.tolist(), row.tolist(), strict=True)]


@given(ropes(), st.integers(0, 90), st.integers(0, 90))
def test_cutting_joining_and_keeping_are_what_they_are_for_lists(of: Rope, start: int, many: int) -> None:
    all_places = places(of)
    assert of.height == len(all_places)
    assert places(of.cut(start, many)) == all_places[start : start + many]
    joined = rope.join([of.cut(0, start), of.cut(start, many), of.cut(start + many, of.height)])
    assert places(joined) == all_places
    assert places(rope.from_places(of.fragments, *of.places())) == all_places
    assert joined.extents == rope.from_places(of.fragments, *of.places()).extents <= max(of.extents, 0)
    back = rope.decode(rope.encode(joined))
    assert places(back) == all_places
    assert {fragment.digest for fragment in back.fragments} == {digest for digest, _ in all_places}


def test_whole_fragments_are_plain_and_anything_else_is_not() -> None:
    whole = rope.plain(FRAGMENTS)
    assert whole.is_plain
    assert rope.decode(rope.encode(whole)).is_plain
    assert not whole.cut(1, 80).is_plain
    assert not rope.join([whole, whole]).is_plain
    assert not rope.join([whole.cut(30, 20), whole.cut(0, 30)]).cut(0, 49).is_plain
    assert rope.join([whole.cut(30, 20), whole.cut(0, 30)]).is_plain  # the other way round
    assert rope.plain(()).is_plain


def test_scattered_edits_cost_little_and_any_reader_of_parquet_can_read_them(tmp_path: object) -> None:
    rng = np.random.default_rng(7)
    fragments = (Fragment("a" * 64, 500_000), Fragment("b" * 64, 5_000))
    kept = np.flatnonzero(rng.random(500_000) > 0.01)
    deleted = rope.encode(rope.from_places(fragments, np.zeros(len(kept), np.int32), kept))
    assert len(deleted) < 2 * 5_000 + 2_000  # two bytes for each row that went
    order = rng.permutation(500_000)
    shuffled = rope.encode(rope.from_places(fragments, np.zeros(500_000, np.int32), order))
    assert len(shuffled) < 4 * 500_000
    columns = pl.read_parquet(deleted)
    assert columns.columns == ["fragment", "skip", "rows"]
    assert columns["rows"].sum() == len(kept)


def test_what_is_no_rope_is_said_so() -> None:
    good = rope.encode(rope.plain(FRAGMENTS))
    sink = pl.DataFrame({"fragment": [0], "skip": [0], "rows": [1]})
    for body in (
        b"",
        b"{}",
        good[:-9],
        _parquet(sink),
        _parquet(pl.DataFrame({"x": [1]})),
    ):
        with pytest.raises(IntegrityError, match="extents"):
            rope.decode(body)


def _parquet(frame: pl.DataFrame) -> bytes:
    import io

    body = io.BytesIO()
    pq.write_table(frame.to_arrow(), body)
    return body.getvalue()
