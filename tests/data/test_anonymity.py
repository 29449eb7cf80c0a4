import polars as pl
import pytest

from clew.data.anonymity import measure
from clew.errors import UsageError

PATIENTS = pl.DataFrame(
    {
        "born": [1970, 1970, 1970, 1980, 1980, None],
        "zip": ["80", "80", "80", "90", "90", "90"],
        "illness": ["flu", "flu", "flu", "flu", "asthma", "flu"],
        "place": [["a"]] * 6,
    }
)


def test_k_and_l_by_hand() -> None:
    found = measure(PATIENTS, ["born", "zip"], ["illness"], min_k=3, min_l=2)
    assert (found.groups, found.k, found.rows) == (3, 1, 6)
    assert found.below == 3 / 6
    assert found.diversity == {"illness": 1}
    assert not found.holds


def test_it_holds_where_groups_are_large_enough() -> None:
    found = measure(PATIENTS.lazy(), ["zip"], min_k=3)
    assert (found.k, found.below, found.holds) == (3, 0.0, True)
    assert not measure(PATIENTS, ["zip"], ["illness"], min_k=3, min_l=2).holds


def test_an_empty_table() -> None:
    found = measure(PATIENTS.head(0), ["zip"], ["illness"])
    assert (found.k, found.groups, found.below, found.diversity) == (0, 0, 0.0, {"illness": 0})


@pytest.mark.parametrize(
    ("quasi", "sensitive", "said"),
    [
        ([], ["illness"], "no quasi-identifier"),
        (["born", "born"], [], "twice"),
        (["born"], ["born"], "twice"),
        (["size"], [], "no column 'size'"),
        (["place"], [], "nested"),
    ],
)
def test_wrong_words(quasi: list[str], sensitive: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        measure(PATIENTS, quasi, sensitive)
