"""Processes that live and die at a test's word: one store under one clock, and as many ledgers as it takes."""

from __future__ import annotations

import contextvars
import itertools
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from holdfast import Ledger, Settings
from holdfast._runtime.drive import run_sync
from holdfast.ledger import AuditEvent, EffectRecord
from holdfast.ports import Store
from holdfast.testing import Crash, FakeClock, FakeRuntime, Faults, FaultyStore, ledger_on


def in_new_process(coro: Coroutine[Any, Any, Any]) -> Any:
    """Run *coro* in surroundings of its own."""
    return contextvars.Context().run(run_sync, coro)


class Begun:
    """A process between its claim and its outcome."""

    def __init__(self, ledger: Ledger, call: tuple[Any, ...], options: dict[str, Any]) -> None:
        self._surroundings = contextvars.Context()
        self._beginning = ledger.begin(*call, **options)
        self.ledger = ledger
        self.claim: Any = self._surroundings.run(run_sync, self._beginning.__aenter__())

    def succeed(self, result: Any) -> None:
        """Settle it."""
        self.claim.succeed(result)
        self._surroundings.run(run_sync, self._beginning.__aexit__(None, None, None))

    def fail_with(self, error: Exception) -> None:
        """Leave its block with *error*."""
        end = self._beginning.__aexit__(type(error), error, None)
        with suppress(type(error)):
            self._surroundings.run(run_sync, end)


class Desk:
    """One store, and as many ledgers over it as there are processes, under one clock."""

    def __init__(self, place: Callable[[FakeClock], Store]) -> None:
        self.clock = FakeClock()
        self.runtimes: list[FakeRuntime] = []
        self._open = place
        self._stores: list[Store] = []
        self._tokens = itertools.count(1)

    def ledger(
        self, wrap: Callable[[Store], Store] = lambda store: store, *, blocking: bool = False, **settings: Any
    ) -> Ledger:
        """Open the store as a new process does; *wrap* puts trouble in its way."""
        store = self._open(self.clock)
        self._stores.append(store)
        runtime = FakeRuntime(self.clock, tokens=self._tokens, blocking=blocking)
        self.runtimes.append(runtime)
        owner = f"process-{len(self._stores)}"
        return ledger_on(wrap(store), runtime, owner=owner, settings=Settings(**settings))

    def run(self, *call: Any, ledger: Ledger | None = None, **options: Any) -> Any:
        """Run one call in a new process."""
        return in_new_process((ledger or self.ledger()).run(*call, **options))

    def begin(self, *call: Any, ledger: Ledger | None = None, **options: Any) -> Begun:
        """Claim an effect in a new process, which is heard of again only when it settles it."""
        return Begun(ledger or self.ledger(), call, options)

    def die_holding(self, *call: Any, **options: Any) -> None:
        """Claim an effect in a process that is never heard of again."""
        dying = self.ledger(lambda store: FaultyStore(store, Faults("after claim")))
        with pytest.raises(Crash):
            in_new_process(dying.run(*call, **options))

    @property
    def effect(self) -> EffectRecord:
        """The only effect on record."""
        [effect] = run_sync(self.ledger().effects())
        return effect

    @property
    def story(self) -> list[AuditEvent]:
        """Its audit trail, verified."""
        ledger = self.ledger()
        assert run_sync(ledger.verify()).ok
        return run_sync(ledger.audit(self.effect.key))

    @property
    def events(self) -> list[str]:
        """Its audit trail in words."""
        return [str(event.event) for event in self.story]

    def close(self) -> None:
        for store in self._stores:
            run_sync(store.close())
