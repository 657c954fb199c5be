"""One history of a scenario: a disturbed life, the lives after it, and what came of them."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from holdfast._core.model import EffectKey
from holdfast._core.states import Event, Safety, State
from holdfast._runtime import context
from holdfast.ledger import Ledger
from holdfast.ports import Handler, Store
from holdfast.settings import Settings
from holdfast.testing.faults import Crash, Faults, FaultyRuntime, FaultyStore, Late, Points
from holdfast.testing.places import Open, ledger_on
from holdfast.testing.runtime import FakeClock, StillRuntime

Attacked: TypeAlias = Callable[[Ledger], Awaitable[Any]]
_ANY: Final = 1_000_000
_HISTORIES: Final = itertools.count(1)
_outer: Final[contextvars.ContextVar[frozenset[str]]] = contextvars.ContextVar(
    "holdfast_testing_outer", default=frozenset()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One start of a handler.

    Attributes:
        allowed: How often this effect may run: once, and once more whenever a handler said "not done".
        denied: How often a reconciler or a person said "not done".
        free: How many effects of this tool may run, whatever was expected.
    """

    tool: str
    key: str
    allowed: int
    denied: int
    free: int


class Disturbance(Protocol):
    """Something that happens to the first life of a scenario."""

    @property
    def name(self) -> str:
        """What happened, for people."""
        ...

    @property
    def happened(self) -> bool:
        """Whether there was a place for it."""
        ...

    async def first(self, history: History) -> None:
        """Run the first life, disturbed."""
        ...


class Interference(Protocol):
    """Does something to the executions of handlers."""

    async def invoke(
        self, run: Callable[[], Awaitable[Any]], handler: Handler, timeout_s: float | None, late: Late
    ) -> Any:
        """Run a handler by *run*, or do to it what is to be done."""
        ...


class History:
    """One disturbed life of a scenario and the lives after it, over one store.

    Attributes:
        executions: Every start of a handler, once :meth:`run` is over.
        problems: What the audit trails showed.
        doubts: Tools with an effect left in doubt.
    """

    def __init__(
        self,
        scenario: Attacked,
        open_store: Open,
        disturbance: Disturbance,
        settings: Settings,
        life_s: float,
    ) -> None:
        self.executions: list[Execution] = []
        self.problems: list[str] = []
        self.doubts: set[str] = set()
        self._keys: list[str] = []
        self._scenario = scenario
        self._open = open_store
        self._disturbance = disturbance
        self._settings = settings
        self._life_s = life_s
        self._clock = FakeClock()
        self._lives = 0
        self._tenant = f"history-{next(_HISTORIES)}"  # histories share a database and never meet

    @property
    def name(self) -> str:
        """What was done, for people."""
        return self._disturbance.name

    @property
    def disturbed(self) -> bool:
        """Whether the disturbance found its place."""
        return self._disturbance.happened

    async def run(self, retries: int) -> None:
        """Run the disturbed life, then the others, then look at what is on record."""
        await self._disturbance.first(self)
        for _ in range(retries):
            self.recover()
            await self.live(Faults())
        store = self._open(self._clock)
        try:
            await self._look(store)
        finally:
            await store.close()

    async def _look(self, store: Store) -> None:
        ledger = ledger_on(store, StillRuntime(self._clock), tenant=self._tenant, settings=self._settings)
        self.problems += [f"{found.key}: {found.what}" for found in (await ledger.verify()).problems]
        self.executions += [await _execution(store, self._tenant, EffectKey(key)) for key in self._keys]
        self.doubts.update(effect.tool for effect in await ledger.effects(state=State.UNKNOWN, limit=1000))

    def recover(self) -> None:
        """Let time pass until the claims of the dead are over and reconcilers may be believed."""
        self._clock.advance(self._settings.lease_s + self._settings.skew.total_seconds() + 1)

    async def live(self, points: Points) -> None:
        """Run the scenario in a process of its own."""
        async with self.process(points) as ledger:
            await self.try_in(ledger)

    async def try_in(self, ledger: Ledger) -> None:
        """Run the scenario; how it ends is no news: what counts is what happened in the world."""
        try:
            async with asyncio.timeout(self._life_s):
                await self._scenario(ledger)
        except (Exception, Crash, BaseExceptionGroup):  # noqa: BLE001, S110 - see above
            pass

    @asynccontextmanager
    async def process(
        self, points: Points, interference: Interference | None = None
    ) -> AsyncGenerator[Ledger]:
        """Open a ledger as a new process does; its connections end with it."""
        self._lives += 1
        store = self._open(self._clock)
        runtime = _Observed(self._clock, self._keys, interference)
        ledger = ledger_on(
            FaultyStore(store, points),
            FaultyRuntime(runtime, points),
            tenant=self._tenant,
            owner=f"life-{self._lives}",
            settings=self._settings,
        )
        try:
            yield ledger
        finally:
            await runtime.close(0)
            await store.close()


class _Observed(StillRuntime):
    """Remembers which effect's handler was started, and when."""

    def __init__(self, clock: FakeClock, keys: list[str], interference: Interference | None) -> None:
        super().__init__(clock)
        self._keys = keys
        self._interference = interference

    async def invoke(
        self, handler: Handler, kwargs: Mapping[str, Any], *, timeout_s: float | None, late: Late
    ) -> Any:
        inside = context.executing.get()
        [key] = inside - _outer.get()

        async def run() -> Any:
            self._keys.append(key)
            token = _outer.set(inside)
            try:
                return await super(_Observed, self).invoke(handler, kwargs, timeout_s=timeout_s, late=late)
            finally:
                _outer.reset(token)

        if self._interference is None:
            return await run()
        return await self._interference.invoke(run, handler, timeout_s, late)


async def _execution(store: Store, tenant: str, key: EffectKey) -> Execution:
    """Return what the record and its trail say about an execution of *key*."""
    record = (await store.find(tenant, key)).record
    if record is None:  # a read that died before it was recorded
        return Execution(tool="(not recorded)", key=key, allowed=_ANY, denied=0, free=_ANY)
    events = Counter(entry.event for entry in await store.trail(tenant, key))
    once = record.safety is Safety.UNSAFE
    return Execution(
        tool=record.tool,
        key=key,
        allowed=1 + events[Event.RELEASE] if once else _ANY,
        denied=events[Event.RESOLVE_NOT_DONE],
        free=_ANY if record.safety is Safety.READ else 0,
    )
