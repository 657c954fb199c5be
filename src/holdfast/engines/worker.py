"""The built-in worker, for an event loop: takes what is due in the ledger's queues, and goes on with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from typing import Any

from holdfast._core.execution import ExecutionRecord
from holdfast.engines.queues import TICK_S, Rounds, checked, log, opened, rounds_of
from holdfast.errors import StoreUnavailable
from holdfast.ledger import Ledger


class Worker:
    """Goes on with the workflows of a ledger; any number of workers share its queues.

    Args:
        queues: Which ones; default those of all workflows that are declared.
        concurrency: So many workflows at once.
    """

    def __init__(self, ledger: Ledger, *, queues: Sequence[str] | None = None, concurrency: int = 10) -> None:
        self._engine = ledger._engine  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        self._queues = queues
        self._concurrency = checked(concurrency)
        self._lives: set[asyncio.Task[None]] = set()
        self._changed: asyncio.Event | None = None  # while it works
        self._is_stopping = False

    async def run(self) -> None:
        """Work until :meth:`stop`; then let every workflow come to its next step, and give it back."""
        engine, rounds = self._engine, rounds_of(self._engine, self._queues)
        self._changed = asyncio.Event()
        if await opened(engine, self._waited):
            await self._work(rounds)
        await self._finish()

    async def _work(self, rounds: Rounds) -> None:
        engine = self._engine
        bell = engine.parts.runtime.bell()
        with ExitStack() as listening:
            for name in rounds.bells:
                listening.enter_context(engine.parts.bus.listening(name, bell))
            while not self._is_stopping:
                free = self._concurrency - len(self._lives)
                taken = await self._round(rounds, free)
                if taken < free or free == 0:
                    await self._until(bell.heard(rounds.poll_s if free else TICK_S))

    def stop(self) -> None:
        """Take nothing more, and leave what is under way at its next step."""
        self._is_stopping = True
        if self._changed is not None:
            self._engine.parts.traffic.leavers.add(self)
            self._changed.set()

    async def _round(self, rounds: Rounds, free: int) -> int:
        try:
            await rounds.fire()
            taken = await rounds.take(free) if free else []
        except StoreUnavailable as error:
            log.warning("nothing can be taken: %s", error)
            rounds.poll_s = 1.0
            return 0
        for execution in taken:
            self._begin(rounds, execution)
        return len(taken)

    def _begin(self, rounds: Rounds, execution: ExecutionRecord) -> None:
        life = asyncio.create_task(rounds.go_on(execution))
        self._lives.add(life)
        life.add_done_callback(self._ended)

    def _ended(self, life: asyncio.Task[None]) -> None:
        self._lives.discard(life)
        if self._changed is not None:
            self._changed.set()

    async def _waited(self, seconds: float) -> bool:
        """Wait for a while, unless the worker is to stop; whether it is."""
        if not self._is_stopping:
            await self._until(_slept(seconds))
        return self._is_stopping

    async def _until(self, heard: Coroutine[Any, Any, bool]) -> None:
        """Wait until something is due, a workflow was left, or the worker is to stop."""
        changed = self._changed or asyncio.Event()
        waits = {asyncio.create_task(heard), asyncio.create_task(changed.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            changed.clear()

    async def _finish(self) -> None:
        drain_s = self._engine.parts.settings.drain_s
        if self._lives:
            await asyncio.wait(self._lives, timeout=drain_s)
        for life in tuple(self._lives):
            life.cancel()  # what it does not come to a step from in time is given back as it is
        if self._lives:
            await asyncio.wait(self._lives)
        self._changed = None
        self._engine.parts.traffic.leavers.discard(self)


async def _slept(seconds: float) -> bool:
    await asyncio.sleep(seconds)
    return False
