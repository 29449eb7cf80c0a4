from pathlib import Path

from tests.thread.filled import fill, opened

from clew.thread import describe, why


def test_the_thread_in_words_fits_a_terminal_and_says_what_matters(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        made = fill(workspace)
        text = describe(why(workspace, made.predictions[0]))
    lines = text.splitlines()
    assert len(lines) <= 27
    assert max(map(len, lines)) <= 125
    for said in (
        made.predictions[0],
        "412,000 for customer-0",
        "house-price@2 as candidate, share 50%: sticky by entity",
        "house-price@1 (champion) said 409,500",
        "revision 6",
        "house-price@1 → house-price@2, running",
        "commit 4f2c9d1e8a7b with changes",
        "Python 3.11.2",
        "17,277 rows",
        "house-sales@2 as sales, 21,597 rows",
        "house-sales contract 1: passed, 1 finding",
        "/srv/dumps/house_sales_2.csv.gz",
        "price (label) = 431,500, 18.5 days later, the answer was 19,500 too low",
    ):
        assert said in text, said


def test_control_characters_never_reach_the_terminal(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        made = fill(workspace)
        thread = why(workspace, made.predictions[1])
    thread["prediction"]["inputs"] = {"city\x1b]0;owned\x07": "\x1b[31mred\r\nnext \u202elrow"}
    text = describe(thread)
    assert not set(text) & {"\x1b", "\x07", "\r", "\u202e"}
    assert "outcome     none yet" in text


def test_a_prediction_that_failed_and_whose_version_is_unknown_is_described(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        made = fill(workspace)
        thread = why(workspace, made.predictions[1])
    thread["prediction"] |= {"output": None, "error": "ValueError: no such city"}
    thread |= {"route": None, "model": None, "run": None, "code": None, "environment": None}
    thread |= {"steps": [], "rows": [], "snapshots": [], "notes": ["the catalog doesn't know it"]}
    text = describe(thread)
    assert "failed: ValueError: no such city" in text
    assert "note        the catalog doesn't know it" in text
