"""Appending, tailing and finding, in one process."""

import asyncio
import errno
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.serving.journal_records import outcome, prediction, uid

from clew.errors import NotPermittedError, OutsideError, UsageError
from clew.serving.journal import (
    Journal,
    JournalReader,
    Position,
    Record,
    Seal,
    Watermark,
    find_prediction,
    outcomes_of,
    seal_abandoned,
)
from clew.serving.journal.segment import raw_path, seal_path


def tail(reader: JournalReader, after: Watermark | None = None) -> list[Record]:
    return reader.read(after)[0]


def test_every_field_comes_back(tmp_path: Path) -> None:
    records: list[Record] = [
        prediction(1),
        msgspec.structs.replace(prediction(2), output=[0.5, "a", None, [1, [True]]], rollout_id="r", others=[]),
        msgspec.structs.replace(prediction(3), output=None, error="boom", inputs={}, entity=None),
        outcome(1, value="sold"),
        outcome(2, value=True),
        msgspec.structs.replace(outcome(3, value=None), prediction_id=None, endpoint="e", entity="c", source="crm"),
    ]
    with Journal(tmp_path, "w") as journal:
        journal.append(records).result()
        assert tail(JournalReader(tmp_path)) == records
    assert tail(JournalReader(tmp_path)) == records


def test_positions_grow_and_a_watermark_goes_on_from_them(tmp_path: Path) -> None:
    reader = JournalReader(tmp_path)
    with Journal(tmp_path, "w", segment_bytes=4096) as journal:
        positions = [journal.append([prediction(number)]).result() for number in range(60)]
        assert positions == sorted(positions)
        assert positions[-1] == journal.position
        assert positions[-1].segment > 3
        for number in (0, 7, 30, 59):
            stored = json.loads(json.dumps({"w": positions[number]}))
            assert tail(reader, stored) == [prediction(later) for later in range(number + 1, 60)]


def test_a_limit_reads_in_pieces_each_record_once(tmp_path: Path) -> None:
    reader = JournalReader(tmp_path)
    for writer in ("a", "b"):
        with Journal(tmp_path, writer, segment_bytes=4096) as journal:
            for number in range(30):
                journal.append([prediction(number)]).result()
    found: list[Record] = []
    watermark: Watermark = {}
    for _ in range(9):
        piece, watermark = reader.read(watermark, limit=7)
        assert len(piece) == min(7, 60 - len(found))
        found += piece
    assert found == [prediction(number) for number in range(30)] * 2
    assert reader.read(watermark, limit=7) == ([], watermark)


def test_a_batch_lies_together_and_in_order(tmp_path: Path) -> None:
    with Journal(tmp_path, "w") as journal:
        many = [prediction(number) for number in range(500)]
        futures = [journal.append(many[start : start + 50]) for start in range(0, 500, 50)]
        ends = [future.result() for future in futures]
        assert tail(JournalReader(tmp_path)) == many
        assert tail(JournalReader(tmp_path), {"w": ends[3]}) == many[200:]


def test_threads_append_at_once(tmp_path: Path) -> None:
    ends: dict[int, Position] = {}

    def work(first: int) -> None:
        for number in range(first, first + 50):
            ends[number] = journal.append([prediction(number)]).result()

    with Journal(tmp_path, "w", segment_bytes=16_384) as journal:
        threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 400, 50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = tail(JournalReader(tmp_path))
    assert [record.id for record in found] == [uid(number) for number in sorted(ends, key=lambda number: ends[number])]
    for first in range(0, 400, 50):  # each thread's own order holds
        mine = [ends[number] for number in range(first, first + 50)]
        assert mine == sorted(mine)


def test_tasks_share_commits_and_wake_ups(tmp_path: Path) -> None:
    wake_ups = 0

    async def main() -> list[Position]:
        nonlocal wake_ups
        loop = asyncio.get_running_loop()
        original = loop.call_soon_threadsafe

        def counted(*arguments: object) -> asyncio.Handle:
            nonlocal wake_ups
            wake_ups += 1
            return original(*arguments)  # type: ignore[arg-type]

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign, assignment]
        return await asyncio.gather(*[journal.append_async([prediction(number)]) for number in range(300)])

    with Journal(tmp_path, "w") as journal:
        positions = asyncio.run(main())
        found = tail(JournalReader(tmp_path))
    assert positions == sorted(positions)
    assert found == [prediction(number) for number in range(300)]
    assert 1 <= wake_ups < 100


def test_a_cancelled_task_harms_no_other(tmp_path: Path) -> None:
    async def main() -> None:
        task = asyncio.create_task(journal.append_async([prediction(1)]))
        await asyncio.sleep(0)
        task.cancel()
        await journal.append_async([prediction(2)])
        with pytest.raises(asyncio.CancelledError):
            await task

    with Journal(tmp_path, "w") as journal:
        asyncio.run(main())
        assert tail(JournalReader(tmp_path)) == [prediction(1), prediction(2)]


def test_a_loop_that_ended_before_the_acknowledgement_harms_no_other(tmp_path: Path) -> None:
    async def leave() -> None:
        task = asyncio.create_task(journal.append_async([prediction(1)]))
        await asyncio.sleep(0)
        task.cancel()

    with Journal(tmp_path, "w") as journal:
        for _ in range(20):
            asyncio.run(leave())
        journal.append([prediction(2)]).result()
        assert tail(JournalReader(tmp_path))[-1] == prediction(2)


def test_a_reader_follows_a_writer_and_sees_all_that_is_acknowledged(tmp_path: Path) -> None:
    seen: list[Record] = []
    watermark: Watermark = {}
    reader = JournalReader(tmp_path)
    with Journal(tmp_path, "w", segment_bytes=16_384) as journal:
        futures: list[Future[Position]] = []

        def work() -> None:
            for number in range(1500):
                futures.append(journal.append([prediction(number)]))
                if number % 10 == 0:
                    futures[-1].result()

        thread = threading.Thread(target=work)
        thread.start()
        while thread.is_alive() or len(seen) < 1500:
            acknowledged = sum(future.done() for future in list(futures))
            piece, watermark = reader.read(watermark)
            seen += piece
            assert len(seen) >= acknowledged
            assert watermark.get("w", Position(0, 0)) <= journal.position
            time.sleep(0.001)
        thread.join()
    assert seen == [prediction(number) for number in range(1500)]


class Gate:
    """The real fdatasync behind a gate: it counts, waits to be let through, and fails where it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.entered = threading.Event()
        self.let = threading.Event()
        self.error: OSError | None = None
        self._real = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self)

    def __call__(self, descriptor: int) -> None:
        self.calls += 1
        self.entered.set()
        assert self.let.wait(30)
        if self.error is not None:
            raise self.error
        self._real(descriptor)


def test_nothing_is_acknowledged_or_read_before_the_disk_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(tmp_path, "w") as journal:
        gate = Gate(monkeypatch)
        first = journal.append([prediction(0)])
        assert gate.entered.wait(30)
        later = [journal.append([prediction(number)]) for number in range(1, 20)]
        assert not any(future.done() for future in [first, *later])
        assert prediction(0).id.encode() in raw_path(tmp_path / "w", 1).read_bytes()
        assert tail(JournalReader(tmp_path)) == []
        assert find_prediction(tmp_path, uid(0)) is None
        gate.let.set()
        assert [future.result() for future in later] == sorted(future.result() for future in later)
        assert gate.calls == 2  # all that waited for the first commit is the second
        assert tail(JournalReader(tmp_path)) == [prediction(number) for number in range(20)]


def test_a_failed_fdatasync_fails_all_that_waits_and_leaves_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(tmp_path, "w") as journal:
        journal.append([prediction(0)]).result()
        gate = Gate(monkeypatch)
        gate.error = OSError(errno.EIO, "Input/output error")
        first = journal.append([prediction(1)])
        assert gate.entered.wait(30)
        second = journal.append([prediction(2)])
        gate.let.set()
        for future in (first, second):
            with pytest.raises(OutsideError, match="Input/output error"):
                future.result(30)
        with pytest.raises(OutsideError, match="recover"):
            journal.append([prediction(3)])
        gate.error = None
        journal.recover()
        assert journal.append([prediction(4)]).result().segment == 2
        assert tail(JournalReader(tmp_path)) == [prediction(0), prediction(4)]


def test_a_journal_that_only_writes_does_not_load_its_parquet_side(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from clew.serving.journal import Journal;"
        "Journal(Path(sys.argv[1]), 'w').close(); assert 'clew.serving.journal.compacted' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_opening_again_goes_on_in_a_new_segment(tmp_path: Path) -> None:
    for number in range(4):
        with Journal(tmp_path, "w") as journal:
            assert journal.append([prediction(number)]).result().segment == number + 1
    assert tail(JournalReader(tmp_path)) == [prediction(number) for number in range(4)]


def test_an_empty_segment_leaves_nothing_and_its_number_is_not_used_again(tmp_path: Path) -> None:
    Journal(tmp_path, "w").close()
    assert not list((tmp_path / "w").glob("0*"))
    with Journal(tmp_path, "w") as journal:
        assert journal.position.segment == 2


def test_space_is_taken_ahead_and_given_back(tmp_path: Path) -> None:
    with Journal(tmp_path, "w") as journal:
        journal.append([prediction(1)]).result()
        assert raw_path(tmp_path / "w", 1).stat().st_size == 8 << 20
        big = msgspec.structs.replace(prediction(2), inputs={"text": "x" * (9 << 20)})
        journal.append([big]).result()
        end = journal.position.offset
    assert raw_path(tmp_path / "w", 1).stat().st_size == end
    assert tail(JournalReader(tmp_path)) == [prediction(1), big]


def test_sealing_is_told_and_an_error_in_the_telling_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Seal] = []

    def on_seal(seal: Seal) -> None:
        told.append(seal)
        raise ValueError("not my day")

    with Journal(tmp_path, "w", segment_bytes=4096, on_seal=on_seal) as journal:
        for number in range(40):
            journal.append([prediction(number), outcome(number)]).result()
    assert [seal.segment for seal in told] == list(range(1, len(told) + 1))
    assert len(told) > 2
    assert sum(seal.predictions.count for seal in told) == sum(seal.outcomes.count for seal in told) == 40
    assert told[0].predictions.first_id == uid(0)
    assert told[-1].predictions.last_id == told[-1].outcomes.last_id == uid(39)
    assert told[-1].outcomes.recorded_to == outcome(39).recorded_at
    assert "not my day" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": {"rooms": np.float64(3.0)}},
        {"inputs": {"rooms": [1]}},
        {"inputs": {1: 2}},
        {"output": {"a": 1}},
        {"share": "all"},
        {"role": "king"},
        {"row": -1},
        {"occurred_at": 2**63},
        {"reason": "\ud800"},
        {"latency_us": 1.5},
    ],
)
def test_bad_records_are_refused_before_anything_is_queued(tmp_path: Path, change: dict[str, object]) -> None:
    with Journal(tmp_path, "w") as journal:
        bad = msgspec.structs.replace(prediction(1), **change)
        with pytest.raises(UsageError, match="a prediction can't be journalled"):
            journal.append([prediction(0), bad])
        journal.append([prediction(2)]).result()
        assert tail(JournalReader(tmp_path)) == [prediction(2)]


def test_wrong_use_is_refused(tmp_path: Path) -> None:
    for name in ("", "..", "a/b", "-x", "x" * 65):
        with pytest.raises(UsageError, match="writer"):
            Journal(tmp_path, name)
    with pytest.raises(UsageError, match="segments"):
        Journal(tmp_path, "w", segment_bytes=10)
    journal = Journal(tmp_path, "w")
    with pytest.raises(UsageError, match="nothing"):
        journal.append([])
    journal.recover()
    journal.close()
    journal.close()
    for use in (lambda: journal.append([prediction(1)]), journal.recover):
        with pytest.raises(UsageError, match="closed"):
            use()


def test_one_writer_at_a_time_and_several_side_by_side(tmp_path: Path) -> None:
    with Journal(tmp_path, "a") as first, Journal(tmp_path, "b") as second:
        with pytest.raises(NotPermittedError, match="another process"):
            Journal(tmp_path, "a")
        assert seal_abandoned(tmp_path) == []
        first.append([prediction(1)]).result()
        second.append([prediction(2)]).result()
        found, watermark = JournalReader(tmp_path).read()
        assert found == [prediction(1), prediction(2)]
        assert set(watermark) == {"a", "b"}
    Journal(tmp_path, "a").close()


def test_predictions_and_outcomes_are_found_by_id(tmp_path: Path) -> None:
    with Journal(tmp_path, "a", segment_bytes=8192) as first, Journal(tmp_path, "b", segment_bytes=8192) as second:
        for number in range(100):
            journal = first if number % 3 else second
            journal.append([prediction(number)]).result()
            if number > 20:
                second.append(
                    [outcome(number - 20), msgspec.structs.replace(outcome(number - 20), id="again")]
                ).result()
        for number in (0, 1, 50, 98, 99):
            assert find_prediction(tmp_path, uid(number)) == prediction(number)
        assert find_prediction(tmp_path, uid(100)) is None
        assert find_prediction(tmp_path, "r1") is None
        assert [found.id for found in outcomes_of(tmp_path, uid(30))] == ["o30", "again"]
        assert outcomes_of(tmp_path, uid(0)) == []
    assert find_prediction(tmp_path, uid(50)) == prediction(50)
    assert find_prediction(tmp_path / "nowhere", uid(50)) is None


def test_an_id_that_a_caller_hid_in_a_value_is_not_the_prediction(tmp_path: Path) -> None:
    decoy = msgspec.structs.replace(prediction(1), inputs={uid(5): uid(5)}, entity=uid(5), request_id=uid(5))
    with Journal(tmp_path, "w") as journal:
        journal.append([decoy, prediction(9)]).result()
        assert find_prediction(tmp_path, uid(5)) is None
        journal.append([prediction(5)]).result()
        assert find_prediction(tmp_path, uid(5)) == prediction(5)


def test_only_segments_that_can_hold_an_id_are_opened(tmp_path: Path) -> None:
    with Journal(tmp_path, "w", segment_bytes=4096) as journal:
        for number in range(60):
            journal.append([prediction(number)]).result()
    folder = tmp_path / "w"
    for path in sorted(folder.glob("*.seg"))[1:]:
        path.write_bytes(b"")
    assert find_prediction(tmp_path, uid(0)) == prediction(0)


def test_a_segment_moved_out_is_passed_over(tmp_path: Path) -> None:
    with Journal(tmp_path, "w", segment_bytes=4096) as journal:
        for number in range(30):
            journal.append([prediction(number)]).result()
    folder = tmp_path / "w"
    count = json.loads(seal_path(folder, 1).read_bytes())["predictions"]["count"]
    raw_path(folder, 1).unlink()
    assert tail(JournalReader(tmp_path)) == [prediction(number) for number in range(count, 30)]
