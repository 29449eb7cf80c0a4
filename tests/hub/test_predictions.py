import os
import time
from pathlib import Path

import msgspec
from tests.thread.filled import Filled, opened, outcome_of, predictions

from clew.hub.queries.predictions import predictions as newest
from clew.serving.journal import Journal, Prediction, compact
from clew.workspace import Workspace


def made(count: int) -> list[Prediction]:
    return predictions(Filled(versions={1: "one", 2: "two"}), count)


def shown(workspace: Workspace) -> list[str]:
    facts = newest(workspace)
    assert facts["damage"] == []
    return [one["id"] for one in facts["predictions"]]


def test_the_newest_50_are_shown_newest_first_from_open_sealed_and_compacted_segments(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        records = made(5000)
        expected = [one.id for one in reversed(records[-50:])]
        with Journal(workspace.journal, "server-1") as journal:
            for start in range(0, 5000, 100):
                journal.append(records[start : start + 100]).result()
            assert shown(workspace) == expected
        assert shown(workspace) == expected
        with Journal(workspace.journal, "server-1"):  # a new segment, empty yet
            assert shown(workspace) == expected
        compact(workspace.journal)
        assert shown(workspace) == expected


def test_writers_are_merged_by_when_they_recorded(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        records = made(200)
        for writer, mine in (("a", records[::2]), ("b", records[1::2])):
            with Journal(workspace.journal, writer) as journal:
                journal.append(mine).result()
                journal.append([outcome_of(mine[-1], 1.0)]).result()
        assert shown(workspace) == [one.id for one in reversed(records[-50:])]


def test_few_predictions_and_none(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        assert shown(workspace) == []
        records = made(3)
        with Journal(workspace.journal, "a") as journal:
            assert shown(workspace) == []
            journal.append(records).result()
            assert shown(workspace) == [one.id for one in reversed(records)]


def test_reading_is_bounded_however_long_the_journal_is(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        records = made(1000)
        with Journal(workspace.journal, "a") as journal:
            for lot in range(40):
                lifted = [
                    msgspec.structs.replace(one, id=f"{lot:08x}{one.id[8:]}", recorded_at=one.recorded_at + lot * 10**9)
                    for one in records
                ]
                journal.append(lifted).result()
            size = sum(path.stat().st_size for path in workspace.journal.glob("a/*.seg"))
            assert size > 10 << 20
            took = []
            for _ in range(3):
                begin = time.perf_counter()
                assert len(shown(workspace)) == 50
                took.append(time.perf_counter() - begin)
        # Decoding all 40,000 takes ten times as long; the end of the segment is all that is decoded.
        assert min(took) < 0.25


def test_a_damaged_segment_is_said_and_the_others_are_shown(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        records = made(20)
        for writer, mine in (("a", records[:10]), ("b", records[10:])):
            with Journal(workspace.journal, writer) as journal:
                journal.append(mine).result()
        (path,) = (workspace.journal / "a").glob("*.seg")
        with path.open("r+b") as file:
            file.seek(-40, os.SEEK_END)
            file.write(b"\xff" * 8)
        facts = newest(workspace)
        assert len(facts["damage"]) == 1
        assert [one["id"] for one in facts["predictions"]] == [one.id for one in reversed(records[10:])]


def test_a_length_that_was_overwritten_is_damage_and_no_endless_walk(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        records = made(2000)
        with Journal(workspace.journal, "a") as journal:
            journal.append(records).result()
        (path,) = (workspace.journal / "a").glob("*.seg")
        with path.open("r+b") as file:
            file.seek(260)
            file.write(b"\0\0\0\0")
        facts = newest(workspace)
        assert facts["predictions"] == []
        assert "byte 256" in facts["damage"][0]
