"""Workers in real time: a ledger of either face, and whoever works through its queues."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from holdfast.engines import SyncWorker, Worker
from holdfast.testing import Faults
from promises.ledgers import Place
from workflows.sites import Process


class Shop(Process):
    """A ledger in real time; under a ``SyncLedger`` whatever waits does so in a thread."""

    def __init__(self, place: Place, **options: Any) -> None:
        site: Any = place
        self._book = place.open(**options)
        super().__init__(site, self._book.ledger, Faults())
        self._ending: list[tuple[Any, asyncio.Future[Any]]] = []

    async def do(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return await self._book.do(method, *args, **options)

    def work(self, **options: Any) -> Any:
        """Let a worker begin; return it."""
        make: Any = SyncWorker if self.is_sync else Worker
        worker = make(self.ledger, **options)
        self._ending.append((worker, asyncio.ensure_future(self.do(worker.run))))
        return worker

    async def left(self, worker: Any) -> None:
        """Return when a worker has come to its end."""
        await next(ending for each, ending in self._ending if each is worker)

    async def rest(self) -> None:
        """Stop its workers as a deployment does, and return when they have left."""
        for worker, _ in self._ending:
            worker.stop()
        while self._ending:
            await self._ending.pop()[1]


class Active:
    """How many of something are under way, and how many were at once.

    The first ones stay until there are as many as there may be, and then for a moment that one too many would use.

    Attributes:
        peak: The most that were.
        order: Who began, in order.
    """

    def __init__(self, full: int) -> None:
        self.now = self.peak = 0
        self.order: list[Any] = []
        self._full = full
        self._reached, self._exceeded = threading.Event(), threading.Event()
        self._lock = threading.Lock()

    def __call__(self, who: Any) -> Any:
        """Be under way for a while: the first ones until as many as there may be are."""
        with self._lock:
            self.now += 1
            self.peak = max(self.peak, self.now)
            self.order.append(who)
            if self.now >= self._full:
                self._reached.set()
            if self.now > self._full:
                self._exceeded.set()
            is_early = len(self.order) <= self._full
        assert self._reached.wait(60)
        if is_early:
            self._exceeded.wait(0.3)
        with self._lock:
            self.now -= 1
        return who
