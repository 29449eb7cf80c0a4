"""The journal of one server process: what `append` has acknowledged survives a kill and a restart of the machine."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from clew.errors import NotPermittedError, OutsideError, UsageError
from clew.serving.journal.durable import DurableMark, load
from clew.serving.journal.frame import frame
from clew.serving.journal.open_segment import OpenSegment
from clew.serving.journal.records import Record, encode
from clew.serving.journal.recover import lock_writer, seal_open_segments
from clew.serving.journal.seal import Seal
from clew.serving.journal.segment import Position, check_writer, segments
from clew.serving.journal.waiting import Item, Sink, acknowledge, refuse

_LOG: Final = logging.getLogger(__name__)
_MIN_SEGMENT: Final = 4096
_MAX_SEGMENT: Final = 1 << 30  # a search reads a segment into memory


class Journal:
    """Append-only segments under `folder/writer`, written by one process and one thread of its own.

    There is no timer. The thread takes all that is queued, writes it, waits for fdatasync and then acknowledges; what
    came in the meantime is the next commit. So a lone record waits for one fdatasync, and a hundred share one.

    Opening takes the writer's lock, cuts off the torn tail that a crash left, seals that segment and begins a new one.
    A failed future was not acknowledged: its records may or may not be there after a restart. The failure models it
    survives: process killed; machine restarted with its disk. A lost disk takes along what wasn't shipped elsewhere.

    `segment_bytes` is the size at which a segment is sealed; `on_seal` is then called, in the journal's thread (or the
    caller's, in opening, `recover` and `close`), so it should only hand over. Linux only (fallocate, fdatasync).

    Raises:
        NotPermittedError: another process writes this journal.
        IntegrityError: an acknowledged record of the last segment is damaged.
        OutsideError: the disk is full or failed.
    """

    _segment: OpenSegment

    def __init__(
        self,
        folder: Path,
        writer: str,
        *,
        segment_bytes: int = 64 << 20,
        on_seal: Callable[[Seal], None] | None = None,
    ) -> None:
        if not _MIN_SEGMENT <= segment_bytes <= _MAX_SEGMENT:
            message = f"a journal can't have segments of {segment_bytes} bytes"
            raise UsageError(message, mend=f"use {_MIN_SEGMENT} to {_MAX_SEGMENT}")
        self.folder = folder / check_writer(writer)
        self._segment_bytes = segment_bytes
        self._on_seal = on_seal
        self._news: deque[Seal] = deque()
        self._failure: Exception | None = None
        self._closed = False
        self._open()
        self._mutex = threading.Lock()
        self._pending: list[Item] = []
        self._asleep = False
        self._wake = threading.Lock()  # a bare lock as a bell: threading.Condition costs several µs a wake-up
        self._wake.acquire()
        self._thread = threading.Thread(target=self._run, name=f"journal-{writer}", daemon=True)
        self._thread.start()
        self._tell()

    def append(self, records: Sequence[Record]) -> Future[Position]:
        """Queue records, in order and for one commit; the future is done once they are on disk. Safe in any thread.

        The position is the place after the last of them.

        Raises:
            UsageError: a record holds what can't be journalled; none of them is queued. Or the journal is closed.
            OutsideError: an earlier write failed and `recover` wasn't called. A write that fails now fails the future.
        """
        future: Future[Position] = Future()
        future.set_running_or_notify_cancel()  # once queued it is written: there is nothing to cancel
        self._enqueue(records, future)
        return future

    async def append_async(self, records: Sequence[Record]) -> Position:
        """`append` for a task on an event loop, which is woken once a commit, however many tasks wait."""
        future: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        self._enqueue(records, future)
        return await future

    @property
    def position(self) -> Position:
        """The place after the last record that is on disk."""
        seal = self._segment.seal
        return Position(seal.segment, seal.end)

    @property
    def failure(self) -> Exception | None:
        """Why appends are refused, None while all is well."""
        return self._failure

    def recover(self) -> None:
        """Take appends again after a failed write: seal what was acknowledged and begin a new segment.

        Raises:
            OutsideError: the disk is still full or failing; call it again later.
            UsageError: the journal is closed.
        """
        with self._mutex:
            self._check_open()
            if self._failure is None:
                return
            try:
                self._roll()
            except OSError as error:
                self._failure = error
                raise self._outside(error) from error
            self._failure = None
        self._tell()

    def close(self) -> None:
        """Write what is queued, seal the segment and give the lock back; a second time does nothing.

        Raises:
            OutsideError: the seal couldn't be written; the next opening writes it.
        """
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            wake, self._asleep = self._asleep, False
        if wake:
            self._wake.release()
        self._thread.join()
        try:
            self._finish()
        except OSError as error:
            raise self._outside(error) from error
        finally:
            self._segment.release()
            self._durable.close()
            self._lock.release()
        self._tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock_writer(self.folder)
        except NotPermittedError:  # which is an OSError, too
            raise
        except OSError as error:
            raise self._outside(error) from error
        durable = None
        try:
            durable = DurableMark(self.folder)
            self._news.extend(seal_open_segments(self.folder))
            # the mark remembers the last number even where its segment was empty or is gone
            last = max([*segments(self.folder), load(self.folder).segment])
            self._durable = durable
            self._begin(last + 1)
        except BaseException as error:
            if durable is not None:
                durable.close()
            self._lock.release()
            if isinstance(error, OSError):
                raise self._outside(error) from error
            raise

    def _enqueue(self, records: Sequence[Record], sink: Sink) -> None:
        if not records:
            raise UsageError("there is nothing to append", mend="pass at least one record")
        # encoded in the caller's thread, where bad input is the caller's error and the queue holds no surprises
        data = b"".join([frame(encode(record)) for record in records])
        with self._mutex:
            self._check_open()
            if self._failure is not None:
                raise self._outside(self._failure)
            self._pending.append(Item(data, records, sink))
            wake, self._asleep = self._asleep, False
        if wake:
            self._wake.release()

    def _run(self) -> None:
        while True:
            with self._mutex:
                items, self._pending = self._pending, []
                if not items:
                    if self._closed:
                        return
                    self._asleep = True
            if not items:
                self._wake.acquire()
                continue
            try:
                self._commit(items)
            except Exception as error:  # noqa: BLE001  a thread's edge: whoever waits must hear of it
                self._fail(items, error)
            self._tell()

    def _commit(self, items: list[Item]) -> None:
        data = [item.data for item in items]
        if not self._segment.has_room(sum(map(len, data))):
            self._roll()
        seal = self._segment.seal
        acknowledge(items, seal.segment, self._segment.commit(data))
        for item in items:  # after the acknowledgements, which don't need it
            for record in item.records:
                seal.add(record)

    def _fail(self, items: list[Item], error: Exception) -> None:
        """Refuse all that waits and all that comes; nothing of it was acknowledged."""
        with self._mutex:
            self._failure = error
            items, self._pending = items + self._pending, []
            try:
                self._segment.cut()
            except OSError:
                _LOG.warning("the unconfirmed end of %s could not be cut off", self.folder)
        refuse(items, lambda: self._outside(error))

    def _begin(self, number: int) -> None:
        self._segment = OpenSegment(self.folder, number, limit=self._segment_bytes, durable=self._durable)

    def _finish(self) -> None:
        sealed = self._segment.finish()
        if sealed is not None:
            self._news.append(sealed)

    def _roll(self) -> None:
        self._finish()
        self._begin(self._segment.seal.segment + 1)

    def _tell(self) -> None:
        """Call `on_seal` for what was sealed; its errors are logged, for they must not stop the journal."""
        while True:
            try:
                seal = self._news.popleft()
            except IndexError:
                return
            if self._on_seal is not None:
                try:
                    self._on_seal(seal)
                except Exception:  # noqa: BLE001  the caller's code, at a thread's edge
                    _LOG.exception("on_seal failed for segment %d of %s", seal.segment, self.folder)

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(f"the journal {self.folder} is closed", mend="open it again")

    def _outside(self, error: Exception) -> OutsideError:
        message = f"the journal {self.folder} can't be written: {error}"
        return OutsideError(message, mend="free space or mend the disk, then call recover() or restart the server")
