from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.data._match import match, match_windows, row_hashes
from clew.data._numbers_file import NumbersFile

ROWS = 40_000
few = st.lists(st.integers(0, 3), max_size=40)


def hashes(of: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    return row_hashes(pl.DataFrame({"x": of}))


def edits() -> dict[str, "np.ndarray[tuple[int], np.dtype[np.int64]]"]:
    """New tables over the rows 0 to ROWS, as old row numbers; −1 and less are rows that are new."""
    rng = np.random.default_rng(3)
    base = np.arange(ROWS)
    updated = base.copy()
    updated[rng.random(ROWS) < 0.01] = -1
    inserted = np.concatenate([base[: ROWS // 2], np.full(400, -1), base[ROWS // 2 :]])
    mixed = np.concatenate([[-1], inserted, np.full(400, -1)])[rng.random(ROWS + 801) > 0.01]
    mixed[rng.random(len(mixed)) < 0.01] = -1
    return {
        "the same": base, "appended": np.append(base, [-1] * 400), "prepended": np.append([-1], base),
        "deleted": base[rng.random(ROWS) > 0.01], "updated": updated, "inserted": inserted, "all of it": mixed,
        "moved": np.concatenate([base[ROWS // 2 :], base[: ROWS // 2]]), "reversed": base[::-1].copy(),
        "shuffled": rng.permutation(ROWS), "doubled": np.repeat(base, 2),
    }  # fmt: skip


@pytest.mark.parametrize("name", list(edits()))
@pytest.mark.parametrize("kinds", [ROWS, 200, 2, 1])
def test_every_row_that_was_there_is_found_and_edits_stay_together(name: str, kinds: int) -> None:
    """Also when rows repeat: of 200 kinds, of two, all the same."""
    wanted = edits()[name]
    rng = np.random.default_rng(5)
    text = np.arange(ROWS) if kinds == ROWS else rng.integers(0, kinds, ROWS)
    new = np.where(wanted < 0, 10**9 + np.arange(len(wanted)), text[np.maximum(wanted, 0)])
    found = match(hashes(text), hashes(new))
    assert (found[found >= 0] < ROWS).all()
    assert (text[found[found >= 0]] == new[found >= 0]).all()
    if (name, kinds) != ("doubled", 1):  # what comes after all old rows counts as new
        assert ((found < 0) == (new >= 10**9)).mean() > 0.999  # a handful may be lost to full slots of the table
    jumps = np.count_nonzero(np.diff(found) != 1)
    ideal = np.count_nonzero(np.diff(np.where(wanted < 0, -1, wanted)) != 1)
    if name not in ("shuffled", "reversed", "doubled"):
        assert jumps <= (1.3 if kinds > 2 else 10) * ideal + 20


@given(few, few)
def test_what_is_matched_is_equal(old: list[int], new: list[int]) -> None:
    found = match(hashes(np.array(old, dtype=np.int64)), hashes(np.array(new, dtype=np.int64)))
    for at, row in zip(found.tolist(), new, strict=True):
        assert at < 0 or old[at] == row
    if old == new:
        assert found.tolist() == list(range(len(new)))


def test_windows_find_what_moved_by_more_than_a_window(tmp_path: Path) -> None:
    folder = tmp_path
    for name in ("all of it", "moved", "deleted"):
        wanted = edits()[name]
        new = np.where(wanted < 0, 10**9 + np.arange(len(wanted)), wanted)
        with (
            NumbersFile(folder, np.uint64) as a,
            NumbersFile(folder, np.uint64) as b,
            NumbersFile(folder, np.int64) as found,
        ):
            for part in np.array_split(hashes(np.arange(ROWS)), 7):
                a.append(part)
            b.append(hashes(new))
            match_windows(a, b, found, rows=3_000)
            got = found.read()
        assert len(got) == len(new)
        assert (got[got >= 0] == wanted[got >= 0]).all()
        assert ((got < 0) == (wanted < 0)).mean() > 0.95
    assert not list(folder.iterdir())


def test_hashes_tell_bits_apart_and_not_how_text_is_held() -> None:
    def one(values: list[object], dtype: object = None, name: str = "x") -> list[int]:
        return row_hashes(pl.DataFrame({name: pl.Series(values, dtype=dtype)})).tolist()  # type: ignore[arg-type,no-any-return]

    nan = np.array([0x7FF8000000000000, 0x7FF8000000000001], dtype="<u8").view("<f8").tolist()
    assert len({*one([0.0, -0.0, None, *nan])}) == 5
    assert one(["b", "a", None]) == one(["b", "a", None], pl.Categorical) == one(["b", "a", None], pl.Enum(["a", "b"]))
    assert one([1], name="x") != one([1], name="y")
    swapped = row_hashes(pl.DataFrame({"a": [1, 2], "b": [2, 1]}))
    assert swapped[0] != swapped[1]


def test_numbers_go_to_a_file_when_there_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clew.data._numbers_file._IN_MEMORY", 10)
    with NumbersFile(tmp_path, np.int64) as numbers:
        for start in range(0, 100, 7):
            numbers.append(np.arange(start, start + 7))
            assert numbers.in_memory == (len(numbers) <= 10)
        assert numbers.read().tolist() == list(range(105))
        assert numbers.read(98, 99).tolist() == list(range(98, 105))
        assert numbers.read(200, 5).tolist() == []
    assert not list(tmp_path.iterdir())
