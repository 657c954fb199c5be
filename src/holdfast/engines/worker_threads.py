"""The built-in worker for plain code: each workflow has a thread while it is gone through."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack

from holdfast._runtime.drive import run_sync
from holdfast.engines.queues import TICK_S, Rounds, checked, log, opened, rounds_of
from holdfast.errors import StoreUnavailable
from holdfast.ledger import SyncLedger


class SyncWorker:
    """Goes on with the workflows of a ``SyncLedger``; see :class:`~holdfast.engines.worker.Worker`."""

    def __init__(
        self, ledger: SyncLedger, *, queues: Sequence[str] | None = None, concurrency: int = 10
    ) -> None:
        self._engine = ledger._engine  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        self._queues = queues
        self._concurrency = checked(concurrency)
        self._stopping = threading.Event()
        self._is_working = False

    def run(self) -> None:
        """Work until :meth:`stop`; then let every workflow come to its next step, and give it back."""
        engine = self._engine.opened()
        rounds = rounds_of(engine, self._queues)
        if not run_sync(opened(engine, self._waited)):
            return
        threads = [
            threading.Thread(target=self._work, name=f"holdfast-worker-{n}", daemon=True)
            for n in range(self._concurrency)
        ]
        self._is_working = True  # before any of them is: whoever is told to stop then leaves at its next step
        for thread in threads:
            thread.start()
        while not self._stopping.is_set():  # here: a timetable does not wait until a workflow is left
            run_sync(_fired(rounds))
            self._stopping.wait(TICK_S)
        engine.parts.traffic.leavers.add(self)
        until = time.monotonic() + engine.parts.settings.drain_s
        for thread in threads:
            thread.join(max(until - time.monotonic(), 0.0))
        self._is_working = False
        engine.parts.traffic.leavers.discard(self)

    def stop(self) -> None:
        """Take nothing more, and leave what is under way at its next step."""
        if self._is_working:
            self._engine.parts.traffic.leavers.add(self)
        self._stopping.set()

    async def _waited(self, seconds: float) -> bool:
        """Wait for a while, unless the worker is to stop; whether it is."""
        return self._stopping.wait(seconds)

    def _work(self) -> None:
        engine, rounds = self._engine, rounds_of(self._engine, self._queues)
        bell = engine.parts.runtime.bell()
        with ExitStack() as listening:
            for name in rounds.bells:
                listening.enter_context(engine.parts.bus.listening(name, bell))
            while not self._stopping.is_set():
                if not run_sync(_round(rounds)):
                    run_sync(bell.heard(rounds.poll_s))


async def _fired(rounds: Rounds) -> None:
    """Enqueue what timetables ask for by now."""
    try:
        await rounds.fire()
    except StoreUnavailable as error:
        log.warning("timetables wait: %s", error)


async def _round(rounds: Rounds) -> bool:
    """Take one execution and go on with it; whether there was one."""
    try:
        taken = await rounds.take(1)
    except StoreUnavailable as error:
        log.warning("nothing can be taken: %s", error)
        rounds.poll_s = 1.0
        return False
    for execution in taken:
        await rounds.go_on(execution)
    return bool(taken)
