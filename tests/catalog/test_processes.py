"""Several processes over one catalog, and what is left of those that die."""

import multiprocessing
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import pytest
import sqlalchemy as sa
from tests.catalog import things, workers
from tests.catalog.things import count, digest, snapshot_of

from clew.catalog import Actor, Catalog
from clew.catalog.commands import CreateDataset, FragmentSpec, GroupSpec
from clew.catalog.tables import builds, data, governance

EIGHT = 8


def in_processes(target: Callable[..., None], arguments: list[tuple[Any, ...]]) -> None:
    """Run it in as many processes, which wait for each other, and see that all came to a good end."""
    context = workers.context()
    barrier = context.Barrier(len(arguments))
    processes = [context.Process(target=target, args=(*each, barrier)) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def test_eight_processes_that_record_get_versions_1_to_8(catalog: Catalog) -> None:
    sales = things.dataset(catalog)
    in_processes(workers.record, [(catalog.url, sales, number) for number in range(EIGHT)])
    table = data.snapshots
    rows = catalog.rows(sa.select(table).where(table.c.dataset_id == sales).order_by(table.c.version))
    assert [row.version for row in rows] == list(range(1, EIGHT + 1))
    assert [row.parent_id for row in rows] == [None, *(row.id for row in rows[:-1])]
    assert len({row.content_pk for row in rows}) == EIGHT
    assert count(catalog, governance.actors, name="all workers") == 1


def test_eight_processes_that_upgrade_make_one_workspace(empty_url: str) -> None:
    in_processes(workers.upgrade, [(empty_url,)] * EIGHT)
    with Catalog(empty_url) as catalog:
        catalog.require_schema()
        assert count(catalog, governance.workspace) == 1


def test_what_eight_processes_make_at_once_is_made_once(catalog: Catalog) -> None:
    names = [things.name("sales") for _ in range(10)]
    in_processes(workers.make_the_same, [(catalog.url, names)] * EIGHT)
    for name in names:
        assert count(catalog, data.datasets, name=name) == 1
        assert count(catalog, builds.codes, digest=digest(f"archive {name}")) == 1
        assert count(catalog, governance.commands, name="CreateDataset") >= EIGHT * len(names)


def test_threads_that_share_fragments_in_opposite_order_both_succeed(catalog: Catalog) -> None:
    """On PostgreSQL each waits for a fragment that the other has made: a deadlock, which one of them sits out."""
    fragments = [FragmentSpec(digest=digest(things.name("fragment")), rows=1, bytes=1) for _ in range(40)]
    texts = [things.name("content") for _ in range(2)]
    datasets = [things.dataset(catalog) for _ in texts]
    ready = threading.Barrier(2)
    failed: list[BaseException] = []

    def work(dataset_id: str, text: str, mine: list[FragmentSpec]) -> None:
        group = GroupSpec(columns=["price"], rope=digest(text), fragments=mine)
        ready.wait()
        try:
            catalog.execute(snapshot_of(dataset_id, text, groups=[group]))
        except BaseException as error:  # noqa: BLE001 - a thread's failure would go unseen
            failed.append(error)

    jobs = zip(datasets, texts, (fragments, fragments[::-1]), strict=True)
    threads = [threading.Thread(target=work, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(
        catalog.rows(sa.select(data.fragments).where(data.fragments.c.digest.in_([f.digest for f in fragments])))
    )
    assert [count(catalog, data.snapshots, dataset_id=key) for key in datasets] == [1, 1]


def test_a_process_killed_within_a_transaction_leaves_nothing(catalog: Catalog) -> None:
    sales = things.dataset(catalog)
    context = workers.context()
    ready = context.Event()
    process = context.Process(target=workers.hang, args=(catalog.url, sales, ready))
    process.start()
    assert ready.wait(30)
    process.kill()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL

    with Catalog(catalog.url) as next_start:
        next_start.require_schema()
        # at once, although the dead process held the lock of this very dataset
        assert next_start.execute(snapshot_of(sales, f"{sales} after"))["version"] == 1
        assert next_start.get(data.datasets, sales).subject_column is None
        assert count(next_start, data.contents, content_id=f"c1:{digest(f'{sales} half done')}") == 0
        assert count(next_start, governance.leases, target=sales) == 0
        assert count(next_start, governance.actors, name="the killed one") == 0
        assert count(next_start, governance.commands, name="Hang") == 0
        if next_start.engine.dialect.name == "sqlite":
            assert next_start.rows(sa.text("pragma integrity_check"))[0][0] == "ok"  # type: ignore[arg-type]
            assert not next_start.rows(sa.text("pragma foreign_key_check"))  # type: ignore[arg-type]


def idle(catalog: Catalog) -> int:
    """Connections that wait in the catalog's pool."""
    pool = catalog.engine.pool
    assert isinstance(pool, sa.QueuePool)
    return pool.checkedin()


def _use(catalog: Catalog, dataset_id: str, sender: Connection) -> None:
    sender.send(idle(catalog))
    sender.send(catalog.execute(snapshot_of(dataset_id, f"{dataset_id} of the child"))["version"])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_parent_and_forked_child_use_the_same_catalog(catalog: Catalog) -> None:
    sales = things.dataset(catalog)
    assert idle(catalog) == 1
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_use, args=(catalog, sales, sender))
    child.start()
    assert receiver.poll(30)
    assert receiver.recv() == 0, "the child has a connection that its parent uses too"
    assert receiver.poll(30)
    assert receiver.recv() == 1
    child.join(30)
    assert child.exitcode == 0
    assert catalog.execute(snapshot_of(sales, f"{sales} of the parent"))["version"] == 2
    receiver.close()
    sender.close()


def test_a_read_sees_one_moment_and_can_not_write(catalog: Catalog) -> None:
    sales = things.dataset(catalog)
    query = sa.select(sa.func.count()).select_from(data.snapshots).where(data.snapshots.c.dataset_id == sales)
    with catalog.read() as view:
        assert view.execute(query).scalar() == 0
        catalog.execute(snapshot_of(sales, sales))
        assert view.execute(query).scalar() == 0
    assert catalog.rows(query)[0][0] == 1


def test_threads_share_one_catalog(catalog: Catalog) -> None:
    names = [things.name("sales") for _ in range(EIGHT)]
    made: list[str] = []

    def work(name: str) -> None:
        made.extend(catalog.execute(CreateDataset(name=name), actor=Actor("user", name)) for _ in range(5))

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 5 * EIGHT
    assert len(set(made)) == EIGHT
