"""Models in memory, and batches: what waits while one batch is predicted becomes the next batch."""

import asyncio
import functools
import math
import time
import weakref
from collections import deque
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from clew.errors import MissingDependencyError, OutsideError
from clew.models import Model
from clew.models import by_id as model_by_id
from clew.models.signature import Signature
from clew.serving.worker import Worker
from clew.workspace import Workspace

Rows: TypeAlias = list[dict[str, Any]]

_MOST_ROWS = 4096
_DEEPEST = 4  # of what a journal's output can hold: a value for each row, or lists of lists of lists


@dataclass(frozen=True)
class Answer:
    """What a version said to some rows: values, or why it failed; and how long the batch took."""

    values: list[Any] | None
    error: str | None
    latency_us: int


class _Broken:
    """Stands for a model that can't be loaded: says so to every row."""

    def __init__(self, error: str) -> None:
        self.error = error

    def predict_prepared(self, rows: pl.DataFrame) -> np.ndarray:
        raise RuntimeError(f"it can't be loaded: {self.error}; so it can't answer {rows.height} rows")


@dataclass
class Runtime:
    """One loaded version with its queue and its thread, so that the event loop and other versions go on.

    One event loop owns it.
    """

    version_id: str
    reference: str
    signature: Signature
    model: "Model | _Broken"
    _queue: deque[tuple[Rows, "asyncio.Future[Answer]"]] = field(default_factory=deque)
    _busy_since: float | None = None

    def __post_init__(self) -> None:
        self._worker = Worker(f"predict {self.reference}")
        # Whoever still waits for an answer holds the runtime, so the thread ends after the last one.
        weakref.finalize(self, self._worker.close)

    @property
    def busy_seconds(self) -> float:
        """For how long the present batch is under way; 0 when nothing is."""
        return 0.0 if self._busy_since is None else time.monotonic() - self._busy_since

    def predict(self, rows: Rows) -> "asyncio.Future[Answer]":
        """Queue rows as `Signature.rows` gives them. The future never fails for what the model does."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queue.append((rows, future))
        if self._busy_since is None:
            self._next()
        return future

    def _next(self) -> None:
        self._busy_since = None
        requests: list[Rows] = []
        futures: list[asyncio.Future[Answer]] = []
        size = 0
        while self._queue and size < _MOST_ROWS:
            rows, future = self._queue.popleft()
            if not future.done():  # whoever asked may have given up
                requests.append(rows)
                futures.append(future)
                size += len(rows)
        if requests:
            self._busy_since = time.monotonic()
            tell = functools.partial(self._told, futures)
            self._worker.run(functools.partial(self._answer, requests), futures[0].get_loop(), tell)

    def _told(self, futures: "list[asyncio.Future[Answer]]", answers: list[Answer]) -> None:
        for future, answer in zip(futures, answers, strict=True):
            if not future.done():
                future.set_result(answer)
        self._next()

    def _answer(self, requests: list[Rows]) -> list[Answer]:
        """One batch; the table is built once for it, since that costs more than a small model."""
        answer = self._one([row for rows in requests for row in rows])
        if answer.values is None:
            # One bad row must not fail its neighbours.
            return [answer] if len(requests) == 1 else [self._one(rows) for rows in requests]
        found, at = [], 0
        for rows in requests:
            found.append(Answer(answer.values[at : at + len(rows)], None, answer.latency_us))
            at += len(rows)
        return found

    def _one(self, rows: Rows) -> Answer:
        started = time.perf_counter_ns()
        values: list[Any] | None = None
        error = None
        try:
            values = _plain(self.model.predict_prepared(self.signature.frame(rows)))
        except BaseException as raised:  # noqa: BLE001 - the user's model may raise anything, even SystemExit
            error = _said(raised)
        return Answer(values, error, (time.perf_counter_ns() - started) // 1000)


def _plain(values: np.ndarray) -> list[Any]:
    """Predictions as what JSON and the journal can hold. Raises ValueError for what they can't."""
    if values.ndim > _DEEPEST:
        raise ValueError(f"the model gave predictions of {values.ndim} dimensions, and {_DEEPEST} is the most")
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise ValueError("the model gave a prediction that is no finite number")
        values = values.astype(np.float64, copy=False)
    elif values.dtype.kind == "O":
        for value in values.flat:
            _check_scalar(value)
    elif values.dtype.kind == "U":
        "".join(values.flat).encode()  # half a surrogate pair can't be sent
    elif values.dtype.kind not in "biu":
        raise ValueError(f"the model gave predictions of the type {values.dtype}, which JSON doesn't have")
    return list(values.tolist())


def _check_scalar(value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("the model gave a prediction that is no finite number")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("the model gave a whole number of more than 64 bits")
    if isinstance(value, str):
        value.encode()
    if value is not None and type(value) not in (str, int, float, bool):
        raise ValueError(f"the model gave a prediction of the type {type(value).__name__}, which JSON doesn't have")


def _said(error: BaseException) -> str:
    """An exception in a line that can be sent; its text is the model's own, and may itself fail."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - the model's own __str__
        text = type(error).__name__
    return text[:500].encode(errors="replace").decode()


def load(workspace: Workspace, version_id: str) -> Runtime:
    """Load a version from the workspace, by content id, and let it predict its example once, so that it is warm."""
    version = model_by_id(workspace, version_id)
    model = version.load()
    if model.example.height:
        model.predict(model.example)
    return Runtime(version.id, version.reference, model.signature, model)


def load_candidate(workspace: Workspace, version_id: str) -> Runtime:
    """As `load`, but a version that can't be loaded or warmed is one that fails at every request.

    So its failures are evidence against it, and the champion goes on. Raises OutsideError when a store or the
    database fails, for which no version is to blame.
    """
    try:
        return load(workspace, version_id)
    except Exception as error:  # unpacking runs the candidate's own code, which may raise anything
        if isinstance(error, OutsideError) and not isinstance(error, MissingDependencyError):
            raise
        version = model_by_id(workspace, version_id)
        return Runtime(version.id, version.reference, version.signature_of(), _Broken(_said(error)))
