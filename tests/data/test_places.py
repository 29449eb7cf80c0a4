import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clew.data._places import Places, contains, difference, expanded
from clew.data.rope import Fragment, Rope

stretches = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6)), max_size=8)
SIZES = (7, 1, 12)
FRAGMENTS = tuple(Fragment(digest=f"{at:064}", rows=rows) for at, rows in enumerate(SIZES))
extents = st.lists(
    st.sampled_from(range(len(SIZES))).flatmap(
        lambda at: st.integers(0, SIZES[at] - 1).flatmap(
            lambda start: st.tuples(st.just(at), st.just(start), st.integers(1, SIZES[at] - start))
        )
    ),
    max_size=6,
)


def arrays(given_: list[tuple[int, int]]) -> "tuple[np.ndarray[tuple[int], np.dtype[np.int64]], ...]":
    begins = np.array([begin for begin, _ in given_], dtype=np.int64)
    return begins, begins + np.array([rows for _, rows in given_], dtype=np.int64)


def covered(given_: list[tuple[int, int]]) -> set[int]:
    return {at for begin, rows in given_ for at in range(begin, begin + rows)}


@given(stretches, stretches)
def test_differences_are_those_of_sets(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    begins, ends = arrays(one)
    found = difference((begins, ends), (arrays(other)[0], arrays(other)[1]))
    wanted = sorted(covered(one) - covered(other))
    assert expanded(found).tolist() == wanted
    assert (found[0][1:] > found[1][:-1]).all()  # apart, and as few as can be
    inside = contains(found, np.arange(40))
    assert np.flatnonzero(inside).tolist() == wanted


def rope_of(given_: list[tuple[int, int, int]]) -> Rope:
    fragment, start, rows = (np.array([one[at] for one in given_], dtype=np.int64) for at in range(3))
    return Rope(FRAGMENTS, fragment, start, rows)


def rows_of(rope: Rope) -> list[tuple[str, int]]:
    fragment, row = rope.places()
    return [(rope.fragments[at].digest, place) for at, place in zip(fragment.tolist(), row.tolist(), strict=True)]


@given(extents, extents)
def test_the_rows_of_one_rope_alone(one: list[tuple[int, int, int]], other: list[tuple[int, int, int]]) -> None:
    a, b = rope_of(one), rope_of(other)
    places = Places([a, b])
    found = places.rope(places.only_in(a, b))
    assert rows_of(found) == sorted(set(rows_of(a)) - set(rows_of(b)))
    assert set(rows_of(places.rope(places.of(a)))) == set(rows_of(a))
