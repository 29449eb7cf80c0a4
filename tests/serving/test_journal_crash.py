"""Real processes: killed at any moment, kept out by a lock, out of disk."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.serving.journal_child import TASKS, THREADS
from tests.serving.journal_records import prediction, uid

from clew.errors import NotPermittedError
from clew.serving.journal import Journal, JournalReader, find_prediction, seal_abandoned

ROOT = Path(__file__).parents[2]
ROUND = 1_000_000


def child(*arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.serving.journal_child", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)


def killed_writer(folder: Path, first: int, seconds: float) -> list[int]:
    """What a writer had acknowledged when it was killed, so many seconds after it opened the journal."""
    process = child("write", folder, first)
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline() == b"open\n"
        # the pipe has to be drained, or the writer would wait for us: a deadline and small reads do both
        end = time.monotonic() + seconds
        data = b""
        while time.monotonic() < end:
            data += os.read(process.stdout.fileno(), 65_536)
        process.send_signal(signal.SIGKILL)
        data += process.stdout.read()
    assert process.returncode == -signal.SIGKILL
    return [int(line) for line in data.split(b"\n")[:-1]]  # the last line may be cut, as its write was


def check(folder: Path, acknowledged: list[int], rounds: int) -> None:
    records, _ = JournalReader(folder).read()
    found = [int(record.id[:8], 16) for record in records]
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    assert all(record == prediction(number) for record, number in zip(records[::97], found[::97], strict=True))
    width = THREADS + TASKS
    for first in range(rounds):  # each sender waits for its acknowledgement: no more than its last can be extra
        for sender in range(width):
            mine = [number for number in found if number // ROUND == first and number % ROUND % width == sender]
            assert mine == list(range(first * ROUND + sender, first * ROUND + sender + len(mine) * width, width))
            known = [number for number in acknowledged if number // ROUND == first and number % ROUND % width == sender]
            assert 0 <= len(mine) - len(known) <= 1


def kill_again_and_again(folder: Path, rounds: int, seed: int) -> None:
    moments = random.Random(seed)
    acknowledged: list[int] = []
    for number in range(rounds):
        acknowledged += killed_writer(folder, number * ROUND, moments.uniform(0, 0.4))
    # what was acknowledged is on disk; a reader sees the last segment up to the durable mark even before the next start
    before, watermark = JournalReader(folder).read()
    assert {uid(number) for number in acknowledged} <= {record.id for record in before}
    assert len(seal_abandoned(folder)) == 1
    check(folder, acknowledged, rounds)
    late, _ = JournalReader(folder).read(watermark)
    assert len(late) <= THREADS + TASKS
    with Journal(folder, "w") as journal:
        journal.append([prediction(rounds * ROUND)]).result()
    for number in acknowledged[:: len(acknowledged) // 5]:
        assert find_prediction(folder, uid(number)) == prediction(number)
    assert not list(folder.rglob("*.tmp"))


def test_what_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, rounds=6, seed=int.from_bytes(os.urandom(4)))


@pytest.mark.slow
def test_what_was_acknowledged_survives_many_a_sigkill(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, rounds=30, seed=int.from_bytes(os.urandom(4)))


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    process = child("write", tmp_path, 0)
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(NotPermittedError, match="another process is writing"):
            Journal(tmp_path, "w")
        assert seal_abandoned(tmp_path) == []
        process.kill()
        process.stdout.read()
    Journal(tmp_path, "w").close()


def test_a_full_disk_fails_what_it_did_not_take_and_nothing_else(tmp_path: Path) -> None:
    process = child("full", tmp_path)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    lines = output.decode().splitlines()
    acknowledged = [int(line) for line in lines if line.isdigit()]
    failed = [line for line in lines if line.startswith("failed /") or "can't be written" in line]
    assert len(failed) == 1
    assert "File too large" in failed[0]
    assert sum(line.startswith("refused") for line in lines) == 4
    assert any("recover()" in line for line in lines)
    assert "failed too" in lines
    assert len([number for number in acknowledged if number < 10_000]) > 100
    assert acknowledged[-1] == 50_000
    records, _ = JournalReader(tmp_path).read()
    assert [record.id for record in records] == [uid(number) for number in acknowledged]
