"""A snapshot as a dataset of torch; this module loads torch."""

import multiprocessing
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch.utils.data import IterableDataset, get_worker_info

from clew.data import snapshot as _snapshot
from clew.data._batches import batches, is_numeric
from clew.data.snapshot import Snapshot
from clew.errors import UsageError
from clew.workspace import Workspace


class TorchDataset(IterableDataset[dict[str, torch.Tensor]]):
    """Batches of tensors. It holds where the rows are, not the rows, so it travels to the workers of a DataLoader."""

    def __init__(self, snapshot: Snapshot, size: int, columns: Sequence[str] | None, shuffle: int | None) -> None:
        schema = snapshot.empty().schema
        names = list(schema) if columns is None else list(columns)
        odd = [name for name in names if name in schema and not is_numeric(schema[name])]
        if odd:
            raise UsageError(
                f"{snapshot.reference}: torch has no tensors for these columns: {', '.join(odd)}",
                mend="name the others by columns=[…], or encode these in a step before",
            )
        batches(snapshot, size, columns, shuffle)  # whatever is wrong is said now, and not in a worker
        self._root: Path = snapshot.workspace.root
        self._id, self._size, self._columns, self._shuffle = snapshot.id, size, names, shuffle
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Shuffle otherwise from the next iteration on; workers that persist don't hear of it."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        worker = get_worker_info()
        if worker is not None and _is_forked():
            raise UsageError(
                "a forked worker can't read a snapshot: the threads that read Parquet don't outlive a fork",
                mend="DataLoader(dataset, batch_size=None, num_workers=…, multiprocessing_context='spawn')",
            )
        shard = (0, 1) if worker is None else (worker.id, worker.num_workers)
        seed = None if self._shuffle is None else [self._shuffle, self._epoch]
        with Workspace(self._root) as workspace:
            found = _snapshot.by_id(workspace, self._id)
            for batch in batches(found, self._size, self._columns, seed, shard):
                yield {name: torch.from_numpy(array) for name, array in batch.items()}


def _is_forked() -> bool:
    """Whether this process is a fork, where polars would wait for ever for threads that aren't there."""
    own = getattr(multiprocessing.current_process(), "_start_method", None)
    return (own or multiprocessing.get_start_method()) == "fork"
