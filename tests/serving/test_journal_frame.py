"""Frames and segments on disk: whatever is cut off or flipped is seen, and nothing acknowledged is lost."""

import os
import shutil
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.errors import IntegrityError, UsageError
from clew.serving.journal import Journal, JournalReader, Outcome, Position, Record
from clew.serving.journal.frame import HEAD, frame, frames, unframe
from clew.serving.journal.segment import HEADER_BYTES, raw_path, seal_path

OUTCOME = Outcome(
    id="", prediction_id="p", name="price", kind="label", value=1.5, occurred_at=1_000_000, recorded_at=2_000_000
)


def outcomes(count: int) -> list[Record]:
    return [msgspec.structs.replace(OUTCOME, id=f"o{number}", source="x" * (number % 7)) for number in range(count)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, list[int]]:
    """A journal whose segment is still open, its bytes, and the offset at which each of 12 commits was acknowledged."""
    folder = tmp_path_factory.mktemp("journal")
    with Journal(folder, "w") as journal:
        ends = [journal.append([record]).result().offset for record in outcomes(12)]
        data = raw_path(folder / "w", 1).read_bytes()
    return folder, data, ends


def crashed(folder: Path, data: bytes, durable: int | None) -> None:
    """Lay out what a crash leaves: a segment without a seal; `durable` None is a mark that never reached the disk."""
    writer = folder / "w"
    writer.mkdir()
    raw_path(writer, 1).write_bytes(data)
    if durable is not None:
        (writer / "durable").write_bytes((1 << 40 | durable).to_bytes(8, "little"))


@given(payloads=st.lists(st.binary(min_size=1, max_size=300), max_size=20), zeros=st.integers(0, 40))
def test_frames_come_back_and_zeros_are_the_end(payloads: list[bytes], zeros: int) -> None:
    data = b"".join(map(frame, payloads))
    with tempfile.TemporaryFile() as file:
        file.write(data + bytes(zeros))
        file.flush()
        found = list(frames(file.fileno(), 0, len(data) + zeros))
    assert [payload for _, payload in found] == payloads
    assert [end for end, _ in found][-1:] == [len(data)][: len(payloads)]


def test_frames_longer_than_the_read_ahead_come_back() -> None:
    payloads = [b"a" * 3, b"b" * (1 << 20), b"c" * ((5 << 19) + 1), b"d"]
    with tempfile.TemporaryFile() as file:
        file.write(b"".join(map(frame, payloads)))
        file.flush()
        assert [payload for _, payload in frames(file.fileno(), 0, os.fstat(file.fileno()).st_size)] == payloads


@given(payload=st.binary(min_size=1, max_size=200), bit=st.integers(0, 7), data=st.data())
def test_a_flipped_bit_breaks_a_frame(payload: bytes, bit: int, data: st.DataObject) -> None:
    whole = bytearray(frame(payload))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << bit
    assert unframe(bytes(whole)) is None


@pytest.mark.parametrize("payload", [b"", b"\0" * 8])
def test_no_empty_frames(payload: bytes) -> None:
    if payload:
        assert unframe(payload) is None
    else:
        with pytest.raises(UsageError):
            frame(payload)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_tail_cut_at_any_byte_loses_nothing_before_it(
    written: tuple[Path, bytes, list[int]], data: st.DataObject
) -> None:
    _, whole, ends = written
    cut = data.draw(st.integers(HEADER_BYTES, ends[-1]))
    rest = data.draw(st.sampled_from(["gone", "zeros", "garbage"]))
    tail = {"gone": b"", "zeros": bytes(4096), "garbage": b"\xa5" * 4096}[rest]
    acknowledged = sum(end <= cut for end in ends)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        crashed(folder, whole[:cut] + tail, ends[acknowledged - 1] if acknowledged else HEADER_BYTES)
        with Journal(folder, "w") as journal:
            assert journal.position.segment == 2
            journal.append([OUTCOME]).result()
            found, _ = JournalReader(folder).read()
        assert found == [*outcomes(acknowledged), OUTCOME]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), known=st.booleans())
def test_a_flipped_byte_before_the_acknowledged_end_stops_the_opening(
    written: tuple[Path, bytes, list[int]], data: st.DataObject, known: bool
) -> None:
    _, whole, ends = written
    # without the durable mark, the last commit can't be told from one that was never acknowledged
    at = data.draw(st.integers(0, (ends[-1] if known else ends[-2]) - 1))
    flipped = bytearray(whole)
    flipped[at] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        crashed(folder, bytes(flipped), ends[-1] if known else None)
        with pytest.raises(IntegrityError, match=r"0000000001\.seg at byte \d+"):
            Journal(folder, "w")
        assert raw_path(folder / "w", 1).read_bytes() == bytes(flipped)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_in_a_sealed_segment_is_named_by_the_reader(
    written: tuple[Path, bytes, list[int]], data: st.DataObject
) -> None:
    folder, _, ends = written
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "journal"
        shutil.copytree(folder, copy)
        path = raw_path(copy / "w", 1)
        flipped = bytearray(path.read_bytes())
        assert len(flipped) == ends[-1]
        at = data.draw(st.integers(0, len(flipped) - 1))
        flipped[at] ^= data.draw(st.integers(1, 255))
        path.write_bytes(flipped)
        with pytest.raises(IntegrityError) as caught:
            JournalReader(copy).read()
        named = int(caught.value.message.split("at byte ")[1].split(":")[0])
        assert str(path) in caught.value.message
        with raw_path(folder / "w", 1).open("rb") as file:
            bounds = [0, HEADER_BYTES, *[end for end, _ in frames(file.fileno(), HEADER_BYTES, ends[-1])]]
        assert named == max(start for start in bounds if start <= at)


def test_a_sealed_segment_cut_short_is_damage_not_an_end(
    written: tuple[Path, bytes, list[int]], tmp_path: Path
) -> None:
    folder, _, ends = written
    shutil.copytree(folder, tmp_path / "copy")
    path = raw_path(tmp_path / "copy" / "w", 1)
    os.truncate(path, ends[5])
    with pytest.raises(IntegrityError, match=f"byte {ends[5]}"):
        JournalReader(tmp_path / "copy").read()


def test_a_damaged_seal_is_found_and_written_again(written: tuple[Path, bytes, list[int]], tmp_path: Path) -> None:
    folder, _, _ = written
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    seal = seal_path(copy / "w", 1)
    good = seal.read_bytes()
    seal.write_bytes(good.replace(b'"count": 12', b'"count": 13'))
    with pytest.raises(IntegrityError, match=r"0000000001\.json is damaged"):
        JournalReader(copy).read()
    seal.unlink()
    Journal(copy, "w").close()
    assert seal.read_bytes() == good


def test_the_durable_mark_hides_what_is_not_on_disk_yet(written: tuple[Path, bytes, list[int]], tmp_path: Path) -> None:
    _, whole, ends = written
    crashed(tmp_path, whole, ends[3])
    found, watermark = JournalReader(tmp_path).read()
    assert found == outcomes(4)
    assert watermark == {"w": Position(1, ends[3])}
    assert HEAD.size == 8
