"""Compaction: the same records before and after, and at every step between."""

import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serving.journal_records import PREDICTION, outcome, prediction, uid

from clew.errors import IntegrityError, NotFoundError, NotPermittedError
from clew.serving.journal import (
    Journal,
    JournalReader,
    Outcome,
    Record,
    Watermark,
    compact,
    compact_segment,
    drop_before,
    find_prediction,
    outcomes_of,
    rewrite_segment,
)
from clew.serving.journal.columns import (
    inputs_of,
    outcomes_from,
    outcomes_table,
    output_of,
    predictions_of,
    predictions_table,
    to_json,
)
from clew.serving.journal.seal import read_seal
from clew.serving.journal.segment import compacted_path, raw_path

ROOT = Path(__file__).parents[2]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=8), st.just('{"float":')
)
OUTPUTS = st.one_of(SCALARS, st.lists(st.one_of(SCALARS, st.lists(SCALARS, max_size=3)), max_size=4))
NAMES = st.one_of(st.text(max_size=5), st.just("float"))


def filled(folder: Path, count: int = 40) -> list[Record]:
    """A journal of several sealed segments, with outcomes that follow later than their predictions."""
    records: list[Record] = []
    for number in range(count):
        records.append(prediction(count - number))
        if number % 3 == 0:
            records.append(outcome(number))
    with Journal(folder, "w", segment_bytes=4096) as journal:
        for record in records:
            journal.append([record]).result()
    return records


@given(inputs=st.dictionaries(NAMES, SCALARS, max_size=4), output=OUTPUTS)
def test_values_come_back_from_json_exactly(inputs: dict[str, object], output: object) -> None:
    assert repr(inputs_of(to_json(inputs))) == repr(inputs)
    assert repr(output_of(to_json(output))) == repr(output)


@settings(deadline=None)  # the first conversion to Arrow loads pandas, where that is installed
@given(
    inputs=st.dictionaries(NAMES, SCALARS, max_size=4),
    output=OUTPUTS,
    value=st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=8)),
    at=st.integers(-(2**62), 2**62),
)
def test_records_come_back_from_columns_exactly(
    inputs: dict[str, str | float | None], output: float | None, value: float | str | bool | None, at: int
) -> None:
    first = msgspec.structs.replace(PREDICTION, inputs=inputs, output=output, occurred_at=at)
    second = msgspec.structs.replace(outcome(1, value=value), recorded_at=at)
    assert repr(predictions_of(predictions_table([(at, first)]))) == repr([(at, first)])
    assert repr(outcomes_from(outcomes_table([(at, second)]))) == repr([(at, second)])


def test_a_compacted_segment_reads_the_same(tmp_path: Path) -> None:
    records = filled(tmp_path)
    reader = JournalReader(tmp_path)
    marks = [reader.read(limit=size)[1] for size in range(1, len(records))]
    made = compact(tmp_path)
    assert len(made) > 3
    assert not list(tmp_path.rglob("*.seg"))
    assert reader.read()[0] == records
    for size, mark in enumerate(marks, start=1):
        assert reader.read(mark)[0] == records[size:]
        assert reader.read(mark, limit=3)[0] == records[size : size + 3]
    for number in range(1, 41):
        assert find_prediction(tmp_path, uid(number)) == prediction(number)
        assert outcomes_of(tmp_path, uid(number)) == ([outcome(number)] if number % 3 == 0 else [])
    assert find_prediction(tmp_path, uid(41)) is None
    assert compact(tmp_path) == []
    assert compact_segment(tmp_path / "w", 1) is None


def test_the_files_are_plain_sorted_parquet(tmp_path: Path) -> None:
    filled(tmp_path)
    made = compact(tmp_path)
    for folder in made:
        first = pl.read_parquet(folder / "predictions.parquet")
        second = pl.read_parquet(folder / "outcomes.parquet")
        assert first["id"].is_sorted()
        assert second["prediction_id"].is_sorted()
        assert first.schema["recorded_at"] == pl.Datetime("us", "UTC")
        assert first["inputs"].str.json_path_match("$.area").cast(pl.Float64).to_list() == [71.5] * len(first)
        assert first["others"].list.first().struct.field("model_version")[0] == "house-price@3"


def test_a_lookup_reads_one_row_group(tmp_path: Path) -> None:
    with Journal(tmp_path, "w") as journal:
        journal.append([prediction(number) for number in range(40_000)]).result()
    (folder,) = compact(tmp_path)
    file = pq.ParquetFile(folder / "predictions.parquet")
    assert file.metadata.num_row_groups == 10
    bounds = [file.metadata.row_group(group).column(0).statistics for group in range(3)]
    assert bounds[0].max < bounds[1].min <= bounds[1].max < bounds[2].min
    assert find_prediction(tmp_path, uid(39_999)) == prediction(39_999)


def test_a_segment_of_one_kind_and_ids_that_are_null(tmp_path: Path) -> None:
    loose = msgspec.structs.replace(outcome(1), prediction_id=None, endpoint="e", entity="c")
    with Journal(tmp_path, "w") as journal:
        journal.append([loose]).result()
    compact(tmp_path)
    assert JournalReader(tmp_path).read()[0] == [loose]
    assert outcomes_of(tmp_path, uid(1)) == []
    assert find_prediction(tmp_path, uid(1)) is None


def test_only_sealed_segments_are_compacted_while_the_writer_lives(tmp_path: Path) -> None:
    with Journal(tmp_path, "w", segment_bytes=4096) as journal:
        for number in range(30):
            journal.append([prediction(number)]).result()
        last = journal.position.segment
        assert len(compact(tmp_path)) == last - 1
        assert raw_path(tmp_path / "w", last).exists()
        with pytest.raises(NotFoundError, match="no sealed segment"):
            compact_segment(tmp_path / "w", last)
        assert JournalReader(tmp_path).read()[0] == [prediction(number) for number in range(30)]


def test_readers_and_lookups_go_on_during_compaction(tmp_path: Path) -> None:
    done = threading.Event()

    def compacting() -> None:
        while not done.is_set():
            compact(tmp_path)

    reader = JournalReader(tmp_path)
    watermark: Watermark = {}
    seen: list[Record] = []
    thread = threading.Thread(target=compacting)
    with Journal(tmp_path, "w", segment_bytes=16_384) as journal:
        thread.start()
        try:
            for start in range(0, 2000, 40):
                journal.append([prediction(number) for number in range(start, start + 40)]).result()
                piece, watermark = reader.read(watermark)
                seen += piece
                assert find_prediction(tmp_path, uid(start // 2)) == prediction(start // 2)
        finally:
            done.set()
            thread.join()
    assert seen == [prediction(number) for number in range(2000)]
    assert len(list((tmp_path / "w").glob("*.g0001"))) > 3


def test_two_compactions_at_once_are_refused(tmp_path: Path) -> None:
    filled(tmp_path)
    script = (
        "import fcntl, sys, time; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX);"
        "print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "w" / "compact.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"held\n"
            with pytest.raises(NotPermittedError, match="compacting"):
                compact(tmp_path)
        finally:
            process.kill()
    assert compact(tmp_path)


def test_a_damaged_record_is_not_compacted_away(tmp_path: Path) -> None:
    filled(tmp_path)
    path = raw_path(tmp_path / "w", 1)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    for _ in range(2):
        with pytest.raises(IntegrityError, match=r"0000000001\.seg at byte \d+"):
            compact_segment(tmp_path / "w", 1)
    assert path.exists()
    assert not compacted_path(tmp_path / "w", 1, 1).exists()


def test_a_damaged_parquet_page_is_found(tmp_path: Path) -> None:
    filled(tmp_path)
    (folder, *_) = compact(tmp_path)
    path = folder / "predictions.parquet"
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size - 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=folder.name):
        JournalReader(tmp_path).read()
    path.unlink()
    with pytest.raises(IntegrityError, match="lacks a file"):
        JournalReader(tmp_path).read()


def test_rewriting_takes_a_persons_rows_out_of_every_byte(tmp_path: Path) -> None:
    with Journal(tmp_path, "w", segment_bytes=4096) as journal:
        for number in range(30):
            entity = "erase-me" if number % 5 == 0 else "keep-me"
            journal.append([msgspec.structs.replace(prediction(number), entity=entity)]).result()
    before, watermark = JournalReader(tmp_path).read(limit=9)
    compact_segment(tmp_path / "w", 2)
    gone = 0
    for number in range(1, 1 + len(list((tmp_path / "w").glob("*.json")))):
        gone += rewrite_segment(tmp_path / "w", number, lambda record: record.entity != "erase-me")
    assert gone == 6
    rest = [number for number in range(30) if number % 5]
    assert [record.id for record in JournalReader(tmp_path).read()[0]] == [uid(number) for number in rest]
    assert [record.id for record in JournalReader(tmp_path).read(watermark)[0]] == [uid(n) for n in rest if n > 8]
    assert len(before) == 9
    for path in tmp_path.rglob("predictions.parquet"):
        assert "erase-me" not in pl.read_parquet(path)["entity"].to_list()
    assert not list(tmp_path.rglob("*.seg"))
    assert len(list((tmp_path / "w").glob("*.g*"))) == len(list((tmp_path / "w").glob("*.json")))


def test_old_segments_are_dropped_and_the_numbers_go_on(tmp_path: Path) -> None:
    with Journal(tmp_path, "w", segment_bytes=4096) as journal:
        for number in range(40):
            journal.append([prediction(number)]).result()
    compact_segment(tmp_path / "w", 1)
    _, watermark = JournalReader(tmp_path).read(limit=2)
    dropped = drop_before(tmp_path, prediction(30).recorded_at)
    assert [seal.segment for seal in dropped] == [1, 2]
    rest = [prediction(number) for number in range(40)][sum(seal.count for seal in dropped) :]
    assert JournalReader(tmp_path).read()[0] == JournalReader(tmp_path).read(watermark)[0] == rest
    drop_before(tmp_path, 2**62)
    assert len(list((tmp_path / "w").glob("*.seg"))) == 1
    with Journal(tmp_path, "w") as journal:
        assert journal.append([prediction(1)]).result().segment > 3


CRASHER = """
import os, shutil, signal, sys
from pathlib import Path
import pyarrow as pa
from clew.serving.journal import Outcome, compact_segment, drop_before, rewrite_segment

pa.array([0], type=pa.timestamp("us", tz="UTC"))  # loads what conversions need, once for all the forks
source, places, verb = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
STEPS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}
for number in range(1, 200):
    copy = places / str(number)
    shutil.copytree(source, copy)
    process = os.fork()
    if process == 0:
        steps = 0
        def kill(event, arguments):
            global steps
            # opening is a step where it may write; the others are steps wherever they are
            if event in STEPS and (event != "open" or str(copy) in str(arguments[0])):
                steps += 1
                if steps == number:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(kill)
        if verb == "compact":
            compact_segment(copy / "w", 1)
        elif verb == "rewrite":
            rewrite_segment(copy / "w", 1, lambda record: not isinstance(record, Outcome))
        else:
            drop_before(copy, 2 ** 62)
        os._exit(0)
    status = os.waitpid(process, 0)[1]
    if os.WIFEXITED(status):
        sys.exit(os.WEXITSTATUS(status))
    assert os.WTERMSIG(status) == signal.SIGKILL
"""


def crashed_at_every_step(source: Path, places: Path, verb: str) -> list[Path]:
    """Copies of a journal, each left by a process that was killed one step later; the last one finished."""
    places.mkdir()
    subprocess.run([sys.executable, "-c", CRASHER, source, places, verb], check=True, cwd=ROOT)
    return sorted(places.iterdir(), key=lambda path: int(path.name))


def one_version_each(folder: Path) -> bool:
    """Whether nothing is there but the seals, the locks, the durable mark and one form of each segment."""
    known = {"lock", "compact.lock", "durable"}
    names = [path.name for path in folder.iterdir() if path.suffix != ".json" and path.name not in known]
    return len(names) == len({name[:10] for name in names}) and all(name[0] == "0" for name in names)


@pytest.mark.parametrize("verb", ["compact", "rewrite"])
def test_a_kill_between_any_two_steps_leaves_each_record_once(tmp_path: Path, verb: str) -> None:
    records = filled(tmp_path / "source", count=12)
    if verb == "rewrite":
        compact_segment(tmp_path / "source" / "w", 1)
    number = len(JournalReader(tmp_path / "source").read(limit=5)[0])
    mark = JournalReader(tmp_path / "source").read(limit=number)[1]
    seal = read_seal(tmp_path / "source" / "w", 1)
    assert seal is not None
    size = seal.count
    changed = list(records)
    if verb == "rewrite":
        changed = [record for at, record in enumerate(records) if at >= size or not isinstance(record, Outcome)]
    copies = crashed_at_every_step(tmp_path / "source", tmp_path / "places", verb)
    assert len(copies) > 8
    states = []
    for copy in copies:
        found = JournalReader(copy).read()[0]
        assert found in (records, changed)
        assert JournalReader(copy).read(mark)[0] == found[len(found) - len(records) + number :] or verb == "rewrite"
        assert find_prediction(copy, uid(12)) == prediction(12)
        states.append(found == changed and one_version_each(copy / "w"))
        # the next call finishes what was begun
        if verb == "compact":
            compact_segment(copy / "w", 1)
        else:
            rewrite_segment(copy / "w", 1, lambda record: not isinstance(record, Outcome))
        assert JournalReader(copy).read()[0] == changed
        assert one_version_each(copy / "w")
    assert states[-1]
    assert not all(states)


def test_a_kill_while_dropping_leaves_whole_segments(tmp_path: Path) -> None:
    records = filled(tmp_path / "source", count=30)
    compact_segment(tmp_path / "source" / "w", 1)
    copies = crashed_at_every_step(tmp_path / "source", tmp_path / "places", "drop")
    lengths = []
    for copy in copies:
        found = JournalReader(copy).read()[0]
        assert found == records[len(records) - len(found) :]
        lengths.append(len(found))
        drop_before(copy, 2**62)
        assert len(list((copy / "w").glob("0*"))) == 2
        assert one_version_each(copy / "w")
    assert lengths == sorted(lengths, reverse=True)
    assert len(set(lengths)) > 2
