"""What other processes do to a catalog; they are started from a warm fork server, so they must be importable."""

import multiprocessing
import time
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Barrier, Event

from tests.catalog.things import code, snapshot_of

from clew.catalog import Actor, Catalog, Command, Transaction
from clew.catalog.commands import CreateDataset, CreateWorkspace
from clew.catalog.tables import data, governance


def context() -> ForkServerContext:
    """Processes of their own that start in a few milliseconds: clew is imported once."""
    chosen = multiprocessing.get_context("forkserver")
    chosen.set_forkserver_preload(["clew.catalog.commands", "psycopg", "sqlalchemy.dialects.postgresql"])
    return chosen


def upgrade(url: str, barrier: Barrier) -> None:
    """What several servers do that are started at the same time."""
    with Catalog(url) as catalog:
        barrier.wait(30)
        catalog.upgrade()
        catalog.execute(CreateWorkspace(clew_version="0.1.0"))


def record(url: str, dataset_id: str, number: int, barrier: Barrier) -> None:
    """One snapshot, at the same moment as all others, under an actor that they share."""
    with Catalog(url, Actor("user", "all workers")) as catalog:
        barrier.wait(30)
        catalog.execute(snapshot_of(dataset_id, f"{dataset_id} {number}"))


def make_the_same(url: str, names: list[str], barrier: Barrier) -> None:
    """What nobody may make twice, made by all at once."""
    with Catalog(url, Actor("user", names[0])) as catalog:
        for name in names:
            barrier.wait(30)
            catalog.execute(CreateDataset(name=name))
            catalog.execute(code(name))


class Hang(Command, frozen=True, kw_only=True):
    """Writes, says so through a row that nobody ever sees, and never comes to its end."""

    dataset_id: str

    def apply(self, tx: Transaction) -> None:
        tx.lock(data.datasets, id=self.dataset_id)
        tx.update(data.datasets, data.datasets.c.id == self.dataset_id, subject_column="half done")
        snapshot_of(self.dataset_id, f"{self.dataset_id} half done").apply(tx)
        tx.insert(governance.leases, holder="hang", kind="k", target=self.dataset_id, expires_at=tx.recorded_at)
        _ready.set()
        time.sleep(300)


_ready: Event


def hang(url: str, dataset_id: str, ready: Event) -> None:
    """Stay in the middle of a transaction until killed."""
    global _ready  # noqa: PLW0603 - a command holds values only
    _ready = ready
    with Catalog(url, Actor("user", "the killed one")) as catalog:
        catalog.execute(Hang(dataset_id=dataset_id))
