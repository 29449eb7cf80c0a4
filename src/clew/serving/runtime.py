"""Models in memory, and batches: what waits while one batch is predicted becomes the next batch."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from clew.models import Model
from clew.models import by_id as model_by_id
from clew.workspace import Workspace

_MOST_ROWS = 4096


@dataclass(frozen=True)
class Answer:
    """What a version said to some rows: values, or why it failed; and how long the batch took."""

    values: list[Any] | None
    error: str | None
    latency_us: int


@dataclass
class Runtime:
    """One loaded version with its queue. Predictions run in one thread, so the event loop goes on."""

    version_id: str
    reference: str
    model: Model
    _queue: list[tuple[pl.DataFrame, "asyncio.Future[Answer]"]] = field(default_factory=list)
    _busy: bool = False

    async def predict(self, rows: pl.DataFrame, pool: ThreadPoolExecutor) -> Answer:
        """Predict rows that have the signature's columns. Never raises for what the model does."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._queue.append((rows, future))
        if not self._busy:
            self._busy = True
            task = loop.create_task(self._drain(pool))
            task.add_done_callback(_surface)
        return await future

    async def _drain(self, pool: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._queue:
                batch, size = [], 0
                while self._queue and size < _MOST_ROWS:
                    batch.append(self._queue.pop(0))
                    size += batch[-1][0].height
                for (_, future), answer in zip(
                    batch, await loop.run_in_executor(pool, self._answer, [rows for rows, _ in batch]), strict=True
                ):
                    if not future.done():
                        future.set_result(answer)
        finally:
            self._busy = False

    def _answer(self, tables: list[pl.DataFrame]) -> list[Answer]:
        whole = tables[0] if len(tables) == 1 else pl.concat(tables)
        answer = self._one(whole)
        if answer.values is None:
            # One bad row must not fail its neighbours.
            return [answer] if len(tables) == 1 else [self._one(rows) for rows in tables]
        found, at = [], 0
        for rows in tables:
            found.append(Answer(answer.values[at : at + rows.height], None, answer.latency_us))
            at += rows.height
        return found

    def _one(self, rows: pl.DataFrame) -> Answer:
        started = time.perf_counter_ns()
        try:
            predicted = self.model.predict_prepared(rows)
            values, error = _plain(predicted), None
        except Exception as raised:  # noqa: BLE001 - the user's model may raise anything; the server goes on
            values, error = None, f"{type(raised).__name__}: {raised}"[:500]
        return Answer(values, error, (time.perf_counter_ns() - started) // 1000)


def _plain(values: np.ndarray) -> list[Any]:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("the model gave a prediction that is no finite number")
    return list(values.tolist())


def _surface(task: "asyncio.Task[None]") -> None:
    if not task.cancelled():
        task.result()


def load(workspace: Workspace, version_id: str) -> Runtime:
    """Load a version from the workspace, by content id, and let it predict its example once, so that it is warm."""
    version = model_by_id(workspace, version_id)
    model = version.load()
    if model.example.height:
        model.predict(model.example)
    return Runtime(version.id, version.reference, model)
