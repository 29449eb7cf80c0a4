"""Who waits for a commit, and how they hear of it: threads by futures, event loops by one wake-up each."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, NamedTuple, TypeAlias

from clew.serving.journal.records import Record
from clew.serving.journal.segment import Position

_LOG: Final = logging.getLogger(__name__)

Sink: TypeAlias = "Future[Position] | asyncio.Future[Position]"
_Told: TypeAlias = list[tuple["asyncio.Future[Position]", Position]]


class Item(NamedTuple):
    """Records in their frames that wait for a commit, and the future of whoever waits for them."""

    data: bytes
    records: Sequence[Record]
    sink: Sink


def acknowledge(items: list[Item], segment: int, offset: int) -> None:
    """Tell each the place after its records, which lie one after the other from `offset`."""
    loops: dict[asyncio.AbstractEventLoop, _Told] = {}
    for data, _, sink in items:
        offset += len(data)
        position = Position(segment, offset)
        if isinstance(sink, Future):
            sink.set_result(position)
        else:
            loops.setdefault(sink.get_loop(), []).append((sink, position))
    for loop, told in loops.items():
        _on_loop(loop, _set_results, told)


def refuse(items: list[Item], error: Callable[[], Exception]) -> None:
    """Fail all that haven't heard yet, each with an error of its own, for tracebacks are added to errors."""
    for _, _, sink in items:
        if not isinstance(sink, Future):
            _on_loop(sink.get_loop(), _set_error, sink, error())
        elif not sink.done():
            sink.set_exception(error())


def _set_results(told: _Told) -> None:
    for future, position in told:
        if not future.done():  # a cancelled task no longer waits; its records are written all the same
            future.set_result(position)


def _set_error(future: "asyncio.Future[Position]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _on_loop(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *arguments: object) -> None:
    try:
        loop.call_soon_threadsafe(call, *arguments)
    except RuntimeError:  # the loop is closed: nobody waits there any more
        _LOG.debug("an event loop closed before its records were acknowledged")
