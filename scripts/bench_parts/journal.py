"""Records a second and CPU a record of the prediction journal, against raw framed writes on the same disk.

    python scripts/bench_parts/journal.py [--seconds 2] [--folder DIR]

The bound encodes or not, frames, writes to a preallocated file and calls fdatasync once per 100 records, in one thread,
with nobody to acknowledge to. The journal is driven by 1, 16 and 64 senders that each wait for one record's
acknowledgement before the next: as tasks on one event loop (a server's way), as threads, and as tasks with 100 records
a call. Prints a table, then JSON.
"""

import argparse
import asyncio
import json
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from clew.serving.journal import Journal, Prediction, compact, find_prediction
from clew.serving.journal.frame import frame
from clew.serving.journal.records import encode

SPACE = 64 << 20
RECORD = Prediction(
    id="0198c7a2-7b3e-7cc1-8a00-123456789abc",
    endpoint="house-price",
    request_id="3f0c9d52a1",
    row=0,
    model_version="house-price@2",
    model_version_id="0198c7a2-0000-7cc1-8a00-123456789abd",
    role="champion",
    share=0.95,
    reason="sticky",
    route_revision=3,
    entity="customer-123456",
    occurred_at=1_760_000_000_000_000,
    recorded_at=1_760_000_000_000_100,
    inputs={f"feature_{number}": number * 1.1 for number in range(8)},
    output=412_345.6,
    latency_us=120,
)


def raw(make: Callable[[], bytes], folder: Path, seconds: float) -> tuple[int, float, float]:
    """Framed writes, fdatasync per 100, starting over when the preallocated file is full."""
    descriptor = os.open(folder / "raw", os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(descriptor, 0, SPACE)
    os.fsync(descriptor)
    count = at = 0
    begun, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - begun < seconds:
        data = b"".join([make() for _ in range(100)])
        at = 0 if at + len(data) > SPACE else at
        at += os.pwrite(descriptor, data, at)
        os.fdatasync(descriptor)
        count += 100
    taken = time.perf_counter() - begun, time.process_time() - cpu
    os.close(descriptor)
    return count, *taken


def tasks(senders: int, batch: int, folder: Path, seconds: float) -> tuple[int, float, float]:
    """Tasks on one loop, each waiting for its acknowledgement."""
    count = 0

    async def sender(end: float) -> None:
        nonlocal count
        records = [RECORD] * batch
        while time.perf_counter() < end:
            await journal.append_async(records)
            count += batch

    async def main() -> None:
        end = time.perf_counter() + seconds
        await asyncio.gather(*[sender(end) for _ in range(senders)])

    with Journal(folder, "bench") as journal:
        begun, cpu = time.perf_counter(), time.process_time()
        asyncio.run(main())
        return count, time.perf_counter() - begun, time.process_time() - cpu


def threads(senders: int, folder: Path, seconds: float) -> tuple[int, float, float]:
    """Threads, each waiting for its acknowledgement."""
    counts = [0] * senders

    def sender(number: int, end: float) -> None:
        while time.perf_counter() < end:
            journal.append([RECORD]).result()
            counts[number] += 1

    with Journal(folder, "bench") as journal:
        begun, cpu = time.perf_counter(), time.process_time()
        pool = [threading.Thread(target=sender, args=(number, begun + seconds)) for number in range(senders)]
        for thread in pool:
            thread.start()
        for thread in pool:
            thread.join()
        return sum(counts), time.perf_counter() - begun, time.process_time() - cpu


def behind(folder: Path, records: int) -> dict[str, Any]:
    """What comes after: a lookup in a raw segment and in a compacted one, and compaction."""
    draw = random.Random(1)

    def record(number: int) -> Prediction:
        inputs = {name: round(draw.gauss(0, 100), 3) for name in RECORD.inputs}
        return msgspec.structs.replace(
            RECORD, id=f"{number:036}", inputs=inputs, output=draw.random(), entity=f"customer-{draw.randrange(10**6)}"
        )

    with Journal(folder, "bench") as journal:
        for start in range(0, records, 1000):
            journal.append([record(number) for number in range(start, start + 1000)]).result()
    wanted = f"{records * 9 // 10:036}"
    size = sum(path.stat().st_size for path in folder.rglob("*.seg"))
    begun = time.perf_counter()
    found = find_prediction(folder, wanted)
    in_raw = time.perf_counter() - begun
    begun = time.perf_counter()
    compact(folder)
    compaction = time.perf_counter() - begun
    find_prediction(folder, wanted)
    begun = time.perf_counter()
    again = find_prediction(folder, wanted)
    in_parquet = time.perf_counter() - begun
    if found is None or found != again:
        raise SystemExit("the record was not found")
    return {
        "records": records,
        "raw_bytes": size,
        "parquet_bytes": sum(path.stat().st_size for path in folder.rglob("*.parquet")),
        "find_raw_ms": round(in_raw * 1e3, 1),
        "find_compacted_ms": round(in_parquet * 1e3, 1),
        "compact_s": round(compaction, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each row of the table")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: the temporary folder")
    options = parser.parse_args()
    payload = encode(RECORD)
    plans: list[tuple[str, int, Callable[[Path, float], tuple[int, float, float]]]] = [
        ("bound: framed write, fdatasync per 100", 1, partial(raw, lambda: frame(payload))),
        ("bound with msgpack", 1, partial(raw, lambda: frame(msgspec.msgpack.encode(RECORD)))),
        *[("tasks", senders, partial(tasks, senders, 1)) for senders in (1, 16, 64)],
        *[("threads", senders, partial(threads, senders)) for senders in (1, 16, 64)],
        *[("tasks × 100", senders, partial(tasks, senders, 100)) for senders in (1, 16)],
    ]
    rows: list[dict[str, Any]] = []
    print(f"a record has {len(payload)} bytes\n")
    print(f"{'what':40}{'senders':>8}{'records/s':>12}{'CPU µs/record':>15}{'of the bound':>14}")
    for name, senders, run in plans:
        with tempfile.TemporaryDirectory(dir=options.folder) as place:
            count, seconds, cpu = run(Path(place), options.seconds)
        rate = count / seconds
        share = rate / rows[0]["records_per_s"] if rows else 1.0
        rows.append(
            {
                "what": name,
                "senders": senders,
                "records_per_s": round(rate),
                "cpu_us": round(cpu / count * 1e6, 2),
                "of_bound": round(share, 3),
            }
        )
        print(f"{name:40}{senders:>8}{rate:>12,.0f}{cpu / count * 1e6:>15.2f}{share:>14.1%}")
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        later = behind(Path(place), 200_000)
    print(f"\n{later}\n")
    print(json.dumps({"record_bytes": len(payload), "rows": rows, "behind": later}))


if __name__ == "__main__":
    main()
