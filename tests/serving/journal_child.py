"""A process that writes a journal until it is killed, or that runs out of disk; started by test_journal_crash.py."""

import asyncio
import os
import resource
import signal
import sys
import threading
from pathlib import Path

from tests.serving.journal_records import prediction

from clew.errors import OutsideError
from clew.serving.journal import Journal

THREADS = 4
TASKS = 8


def say(word: object) -> None:
    os.write(1, f"{word}\n".encode())


def write_until_killed(folder: Path, first: int) -> None:
    """Threads and tasks append for ever; each number is printed after it was acknowledged."""

    def work(number: int) -> None:
        while True:
            journal.append([prediction(number)]).result()
            say(number)
            number += THREADS + TASKS

    async def task(number: int) -> None:
        while True:
            await journal.append_async([prediction(number)])
            say(number)
            number += THREADS + TASKS

    async def tasks() -> None:
        await asyncio.gather(*[task(first + THREADS + number) for number in range(TASKS)])

    journal = Journal(folder, "w", segment_bytes=65_536)
    say("open")
    for number in range(THREADS):
        threading.Thread(target=work, args=(first + number,), daemon=True).start()
    asyncio.run(tasks())


def run_out_of_disk(folder: Path) -> None:
    """Meet a real limit on the size of files, in the middle of a write; then go on when it is lifted."""

    async def flood(numbers: range) -> list[object]:
        calls = [journal.append_async([prediction(number)]) for number in numbers]
        return list(await asyncio.gather(*calls, return_exceptions=True))

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def refused(call: object) -> None:
        try:
            call()  # type: ignore[operator]
        except OutsideError as error:
            say(f"refused {error.mend}")

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    journal = Journal(folder, "w", segment_bytes=1 << 20)
    limit(200_000)
    for number in range(10_000):
        try:
            journal.append([prediction(number)]).result()
        except OutsideError as error:
            say(f"failed {error.message}")
            break
        say(number)
    assert isinstance(journal.failure, OSError)
    refused(lambda: journal.append([prediction(20_000)]))
    limit(100)
    refused(journal.recover)
    limit(resource.RLIM_INFINITY)
    journal.recover()
    assert journal.failure is None
    journal.append([prediction(30_000)]).result()
    say(30_000)
    limit(100_000)
    for number, answer in enumerate(asyncio.run(flood(range(40_000, 41_000))), start=40_000):
        say("failed too" if isinstance(answer, OutsideError) else number)
    limit(10)
    refused(journal.close)
    refused(lambda: Journal(folder, "w"))
    limit(resource.RLIM_INFINITY)
    with Journal(folder, "w") as again:
        again.append([prediction(50_000)]).result()
        say(50_000)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write_until_killed(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        run_out_of_disk(Path(sys.argv[2]))
