"""Where durable workflows are tried: one store, one clock, and processes that come and go.

The code of a workflow is written once, as an async function. Under a ``SyncLedger`` it is run as plain code:
nothing that its context is asked for suspends there.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import itertools
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn

from holdfast import Ledger, Settings, SyncLedger
from holdfast._core.advance import Advanced, ExecutionOp, Outrun, Progress
from holdfast._runtime.drive import run_sync
from holdfast._runtime.run import Standing
from holdfast.ports import Store
from holdfast.testing import (
    Crash,
    FakeClock,
    FakeRuntime,
    Faults,
    FaultyRuntime,
    FaultyStore,
    StillRuntime,
    ledger_on,
    sync_ledger_on,
)
from holdfast.testing.places import Open

Body = Callable[..., Coroutine[Any, Any, Any]]
_WORLDS: Final = itertools.count(1)
_DRAIN_S: Final = 1.0


class MortalStore(FaultyStore):
    """A store that dies with its process; leaving a workflow is a boundary with a name of its own."""

    async def advance(self, op: ExecutionOp) -> Advanced | Outrun:
        is_leaving = isinstance(op, Progress) and op.leave is not None
        name = "leave" if is_leaving else type(op).__name__.removesuffix("Execution").lower()
        return await self._around(name, self._inner.advance(op))


class WrongClock(FakeClock):
    """The clock of a machine that does not agree with the store's."""

    def __init__(self, clock: FakeClock, ahead_s: float) -> None:
        super().__init__()
        self._clock, self._ahead = clock, timedelta(seconds=ahead_s)

    def __call__(self) -> datetime:
        return self._clock() + self._ahead

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def advance(self, by: float | timedelta) -> None:
        self._clock.advance(by)


class Site:
    """One durable store on a clock that stands still.

    Attributes:
        kind: One of ``promises.ledgers.KINDS``.
    """

    def __init__(self, kind: str, open_store: Open) -> None:
        self.kind = kind
        self.is_sync = kind.startswith("sync-")
        self.clock = FakeClock()
        self.settings = Settings()
        self._open_store = open_store
        self._tokens = itertools.count(1)
        self._names = itertools.count(1)
        self._stores: list[Store] = []
        self._processes: list[Process] = []

    def open(
        self,
        *,
        tenant: str = "default",
        settings: Settings | None = None,
        codec: Any = None,
        die_at: int | str | None = None,
        ahead_s: float = 0,
    ) -> Process:
        """Open the store as a new process does, which may die at a boundary, and whose clock may be wrong."""
        faults = Faults(die_at)
        store = self._open_store(self.clock)
        self._stores.append(store)
        clock: Any = WrongClock(self.clock, ahead_s) if ahead_s else self.clock
        runtime = (
            FakeRuntime(clock, blocking=True, tokens=self._tokens) if self.is_sync else StillRuntime(clock)
        )
        make: Any = sync_ledger_on if self.is_sync else ledger_on
        ledger = make(
            MortalStore(store, faults),
            FaultyRuntime(runtime, faults),
            tenant=tenant,
            owner=f"process-{next(self._names)}",
            settings=settings or self.settings,
        )
        ledger._engine = replace(ledger._engine, parts=replace(ledger._engine.parts, codec=codec))
        process = Process(self, ledger, faults)
        self._processes.append(process)
        return process

    def world(self) -> str:
        """Name a tenant that nobody had before: as good as an empty store."""
        return f"world-{next(_WORLDS)}"

    def recover(self) -> None:
        """Let time pass until every lease of the dead is over."""
        self.clock.advance(self.settings.lease_s + self.settings.skew.total_seconds() + 1)

    async def close(self) -> None:
        """Close every connection of all processes so far, the dead and the living."""
        while self._processes:
            process = self._processes.pop()
            if process.faults.died_at is None:  # it may still tell people of something, beside the calls
                await process.lives(process.do(process.ledger.close, drain=_DRAIN_S))
        while self._stores:
            await self._stores.pop().close()


class Process:
    """A ledger of either face on a site; what it is asked is awaited."""

    def __init__(self, site: Site, ledger: Ledger | SyncLedger, faults: Faults) -> None:
        self.site = site
        self.ledger: Any = ledger
        self.faults = faults
        self.is_sync = site.is_sync

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        return functools.partial(self.do, getattr(self.ledger, name))

    async def do(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Await *method*, or call it."""
        if self.is_sync:
            return method(*args, **options)
        return await method(*args, **options)

    def scoped(self, **scope: Any) -> Process:
        """The same process for another tenant or actor."""
        return Process(self.site, self.ledger.scoped(**scope), self.faults)

    def workflow(self, body: Body, **options: Any) -> Flow:
        """Declare a workflow."""
        return Flow(self, self.ledger.workflow(**options)(self.code(body)))

    def code(self, body: Body) -> Callable[..., Any]:
        """The form in which this face's users write a workflow."""
        if not self.is_sync:
            return body

        @functools.wraps(body)
        def plain(ctx: Any, **given: Any) -> Any:
            return run_sync(body(Flat(ctx), **given))

        return plain

    def tool(self, function: Callable[..., Any], **options: Any) -> Callable[..., Awaitable[Any]]:
        """Declare a tool; return it as a workflow's code calls it."""
        if self.is_sync:
            plain = self.ledger.tool(**options)(function)

            async def called(**args: Any) -> Any:
                return plain(**args)

            return called

        @functools.wraps(function)
        async def coroutine(**args: Any) -> Any:
            return function(**args)

        declared: Callable[..., Awaitable[Any]] = self.ledger.tool(**options)(coroutine)
        return declared

    async def told(self, workflow_id: str, after: int = 0) -> list[Any]:
        """The events of a workflow so far."""
        events = self.ledger.events(workflow_id, after=after, follow=False)
        return list(events) if self.is_sync else [event async for event in events]

    async def names(self, workflow_id: str) -> list[str]:
        """What has ended in a workflow, in order."""
        return [event.name for event in await self.told(workflow_id)]

    async def driven(self, workflow_id: str) -> Standing:
        """Drive a workflow until it is left, as a worker's engine does."""
        standing: Standing = await self.drive(workflow_id)
        return standing

    def die(self) -> NoReturn:
        """Die here and now: nothing of this process reaches the store any more."""
        self.faults.died_at = "by its own hand"
        raise Crash

    async def lives(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do *work* until it ends, or this process dies: then return ``None``, and nothing of it is left."""
        before = asyncio.all_tasks()
        try:
            return await asyncio.create_task(work, context=contextvars.Context())
        except Crash:
            return None
        finally:
            left = asyncio.all_tasks() - before
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)


class Flow:
    """A declared workflow of either face."""

    def __init__(self, process: Process, declared: Any) -> None:
        self.process = process
        self.declared = declared

    async def run(self, workflow_id: str, **given: Any) -> Any:
        return await self.process.do(self.declared.run, workflow_id, **given)

    async def enqueue(self, workflow_id: str, **given: Any) -> None:
        await self.process.do(self.declared.enqueue, workflow_id, **given)

    async def result(self, workflow_id: str) -> Any:
        return await self.process.do(self.declared.result, workflow_id)

    def options(self, **options: Any) -> Flow:
        return Flow(self.process, self.declared.options(**options))

    async def begun(self, workflow_id: str, **given: Any) -> Standing:
        """Enqueue it, and drive it until it is left."""
        await self.enqueue(workflow_id, **given)
        return await self.process.driven(workflow_id)


class Flat:
    """The context of plain code, awaited as that of async code is."""

    def __init__(self, ctx: Any) -> None:
        self._ctx = ctx

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self._ctx, name)
        if not callable(asked):
            return asked

        async def awaited(*args: Any, **options: Any) -> Any:
            return asked(*args, **options)

        return awaited
