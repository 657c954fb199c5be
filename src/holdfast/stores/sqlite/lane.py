"""The way of an event loop to the file: alone inline, in company through a writer thread."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from holdfast._core.change import Change
from holdfast.errors import HoldfastError, StoreUnavailable
from holdfast.stores.combine import Ticket
from holdfast.stores.sqlite.connect import BUSY_S, is_busy
from holdfast.stores.sqlite.db import Answer, Database


class _Waiting(Ticket):
    __slots__ = ("future",)

    def __init__(self, change: Change, future: asyncio.Future[Answer] | None = None) -> None:
        super().__init__(change)
        self.future = future


def apply_changes(database: Database, changes: Sequence[Change], use: str) -> list[Answer]:
    """Apply *changes* in one transaction; the caller holds the write lock."""
    try:
        db = database.connection(use, 0 if use == "inline" else BUSY_S)
    except HoldfastError as error:
        return [error for _ in changes]
    return database.apply(changes, db)


def _settle(batch: Sequence[_Waiting], answers: Sequence[Answer]) -> None:
    """Hand each its answer, and wake whoever waits for it."""
    for waiting, answer in zip(batch, answers, strict=True):
        waiting.answer = answer
        if waiting.future is not None and not waiting.future.done():
            waiting.future.set_result(answer)


class Lane:
    """The way of one event loop to the file: alone inline, in company through the writer thread.

    Calls of the same loop turn meet; what arrives while a batch is under way forms the next one.
    """

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self._database = database
        self._loop = loop
        self._limit = limit
        self._waiting: deque[_Waiting] = deque()
        self._armed = False
        self._busy = False
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="holdfast-writer")
        self.readers = ThreadPoolExecutor(2, thread_name_prefix="holdfast-reader")

    async def commit(self, change: Change) -> Answer:
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting.append(_Waiting(change, future))
        if not self._armed and not self._busy:
            self._armed = True
            self._loop.call_soon(self._flush)
        return await future

    def commit_alone(self, change: Change) -> Answer | None:
        """Commit on the loop's own thread; ``None`` when that would have to wait for somebody."""
        if self._busy or self._waiting:
            return None
        ticket = _Waiting(change)
        self._inline([ticket])
        return ticket.answer

    def _flush(self) -> None:
        self._armed = False
        if self._busy or not self._waiting:
            return
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._limit))]
        if len(batch) == 1 and not self._waiting and self._inline(batch):
            return
        self._busy = True
        done = self._writer.submit(self._write, batch)
        done.add_done_callback(lambda ended: self._loop.call_soon_threadsafe(self._written, batch, ended))

    def _inline(self, batch: list[_Waiting]) -> bool:
        """Commit on the loop's own thread; ``False`` when that would have to wait for somebody."""
        lock = self._database.write_lock
        if not lock.acquire(blocking=False):
            return False
        try:
            answers = apply_changes(self._database, [waiting.change for waiting in batch], "inline")
        finally:
            lock.release()
        if isinstance(answers[0], HoldfastError) and is_busy(answers[0]):
            return False
        _settle(batch, answers)
        return True

    def _write(self, batch: list[_Waiting]) -> list[Answer]:
        with self._database.write_lock:
            return apply_changes(self._database, [waiting.change for waiting in batch], "write")

    def _written(self, batch: list[_Waiting], ended: Future[list[Answer]]) -> None:
        self._busy = False
        failed = ended.exception()
        if failed is None:
            _settle(batch, ended.result())
        else:
            lost = StoreUnavailable("commit a change", f"{type(failed).__name__} in the writer thread")
            _settle(batch, [lost for _ in batch])
        if self._waiting and not self._armed:
            self._armed = True
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        self._writer.shutdown(wait=True)
        self.readers.shutdown(wait=True)
