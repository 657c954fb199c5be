"""Every order is tried on every store; each order in a tenant of its own."""

from __future__ import annotations

import contextvars
import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast import Ledger, Settings
from holdfast._runtime.drive import run_sync
from holdfast.ledger import EffectRecord
from holdfast.ports import Store
from holdfast.stores.memory import MemoryStore
from holdfast.stores.postgres import BlockingPostgresStore
from holdfast.stores.sqlite.store import SqliteStore
from holdfast.testing import (
    Crash,
    FakeClock,
    FakeRuntime,
    Faults,
    FaultyStore,
    SwitchingRuntime,
    SwitchingStore,
    ledger_on,
)


class Stage:
    """One store, one clock, and for each order a new tenant in which its callers meet.

    Attributes:
        executed: How often each tool ran in this order.
        is_quick: Whether thousands of orders take seconds.
    """

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.clock = clock
        self.executed: Counter[str] = Counter()
        self._store = store
        self._tokens = itertools.count(1)
        self._owners = itertools.count(1)
        self._orders = itertools.count(1)
        self._tenant = ""
        self.is_quick = isinstance(store, MemoryStore)
        run_sync(store.open())

    def clear(self) -> None:
        """Begin a new order."""
        self._tenant = f"order-{next(self._orders)}"
        self.executed.clear()
        if self.is_quick:
            self._store = MemoryStore(clock=self.clock)

    def process(self) -> Ledger:
        """Return a ledger that lets the scheduler choose before each of its transactions."""
        runtime = SwitchingRuntime(self.clock, tokens=self._tokens)
        return self._ledger(SwitchingStore(self._store), runtime)

    def look(self) -> Ledger:
        """Return a ledger to look at what came of it."""
        return self._ledger(self._store, FakeRuntime(self.clock, tokens=self._tokens))

    def die_holding(self, *call: Any, **options: Any) -> None:
        """Claim an effect in a process that is never heard of again, until its lease is over."""
        dying = self._ledger(
            FaultyStore(self._store, Faults("after claim")), FakeRuntime(self.clock, tokens=self._tokens)
        )
        with pytest.raises(Crash):
            contextvars.Context().run(run_sync, dying.run(*call, **options))
        self.clock.advance(16)

    def _ledger(self, store: Store, runtime: Any) -> Ledger:
        return ledger_on(store, runtime, tenant=self._tenant, owner=f"process-{next(self._owners)}")

    @property
    def effect(self) -> EffectRecord:
        """The only effect on record."""
        [effect] = run_sync(self.look().effects())
        return effect

    @property
    def events(self) -> list[str]:
        """Its story; the chain is verified (I6)."""
        ledger = self.look()
        assert run_sync(ledger.verify()).ok
        return [str(event.event) for event in run_sync(ledger.audit(self.effect.key))]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage on each store. Nobody pulls the plug here, so no store needs to wait for a disk."""
    clock = FakeClock()
    store: Store
    if request.param == "memory":
        store = MemoryStore(clock=clock)
    elif request.param == "sqlite":
        store = SqliteStore(":memory:", blocking=True, clock=clock)
    else:
        url = f"{request.getfixturevalue('ledger_url')}%20-csynchronous_commit%3Doff"
        store = BlockingPostgresStore(url, settings=Settings(), migrate=True, clock=clock)
    yield Stage(store, clock)
    run_sync(store.close())
