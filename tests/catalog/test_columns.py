import itertools
import multiprocessing
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta, timezone
from multiprocessing.connection import Connection

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from clew.catalog import Catalog, columns, new_id, now
from clew.catalog.tables import governance

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
# a day's distance from the ends, so that a zone doesn't push the moment out of what datetime can say
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=ZONES)  # noqa: DTZ001


@given(MOMENTS)
def test_a_moment_keeps_every_microsecond(moment: datetime) -> None:
    instant, dialect = columns.Instant(), sqlite.dialect()
    kept = instant.process_bind_param(moment, dialect)
    assert instant.process_result_value(kept, dialect) == moment


@given(MOMENTS, MOMENTS)
def test_moments_sort_as_they_are_kept(one: datetime, other: datetime) -> None:
    instant, dialect = columns.Instant(), sqlite.dialect()
    kept = [instant.process_bind_param(moment, dialect) or 0 for moment in (one, other)]
    assert (kept[0] < kept[1]) == (one < other)


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        columns.Instant().process_bind_param(datetime(2026, 1, 1), sqlite.dialect())  # noqa: DTZ001


def test_moments_come_back_as_they_were(catalog: Catalog) -> None:
    far = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    key = new_id()
    with catalog.engine.connect().execution_options(clew_write=True) as connection, connection.begin():
        values = {"id": key, "holder": "h", "kind": "k", "target": "t", "recorded_at": now(), "expires_at": far}
        connection.execute(governance.leases.insert().values(**values))
    row = catalog.get(governance.leases, key)
    assert (row.recorded_at, row.expires_at) == (values["recorded_at"], far)
    late = sa.select(governance.leases.c.id).where(governance.leases.c.expires_at >= far)
    assert key in [found.id for found in catalog.rows(late)]


@given(st.integers(1, 8), st.integers(1, 300))
def test_ids_rise_in_each_thread_and_never_repeat(threads: int, each: int) -> None:
    """What a thread makes later is greater, whatever the others make; so is all that is made after they ended."""
    made: list[list[str]] = [[] for _ in range(threads)]
    ready = threading.Barrier(threads)

    def work(mine: list[str]) -> None:
        ready.wait()
        mine.extend(new_id() for _ in range(each))

    before = new_id()
    workers = [threading.Thread(target=work, args=(mine,)) for mine in made]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    everything = [key for mine in made for key in mine]
    assert all(a < b for mine in made for a, b in itertools.pairwise([before, *mine, new_id()]))
    assert len(set(everything)) == threads * each


def test_an_id_is_a_uuid_of_version_7_with_the_time_of_now() -> None:
    for _ in range(100):
        before = now()
        key = uuid.UUID(new_id())
        assert (key.version, key.variant) == (7, uuid.RFC_4122)
        at = datetime.fromtimestamp((key.int >> 80) / 1000, UTC)
        assert timedelta(seconds=-1) < at - before < timedelta(seconds=1)


def test_ids_rise_though_the_clock_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = new_id()
    monkeypatch.setattr(time, "time_ns", lambda: 1)
    assert first < new_id() < new_id()


def _send_id(sender: Connection) -> None:
    sender.send(new_id())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_makes_ids_though_another_thread_was_making_one() -> None:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    with columns._lock:  # as if another thread held it at that moment
        child = context.Process(target=_send_id, args=(sender,))
        child.start()
    try:
        assert receiver.poll(10), "the child waits for a lock that nobody will give back"
        assert uuid.UUID(receiver.recv()).version == 7
    finally:
        child.kill()
        child.join()
        receiver.close()
        sender.close()
