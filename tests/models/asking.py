"""A ledger of the face that a client needs, and the client's calls through it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from holdfast import Ledger, RetryPolicy, SyncLedger
from holdfast.stores.memory import MemoryStore
from holdfast.testing import FakeClock, ModelServer
from testing.model_clients import Heard, Way

QUICK: Final = RetryPolicy(maximum_attempts=3, initial_interval=0.001, maximum_interval=0.001)
PATIENCE_S: Final = 30.0


def serve(*lines: Any, **options: Any) -> ModelServer:
    return ModelServer(*lines, clock=FakeClock(), **options)


class Desk:
    """A place where a ledger is opened; each time as another process would.

    Attributes:
        store: What the ledger keeps.
    """

    def __init__(self, way: Way, store: Any = None, **options: Any) -> None:
        self.way = way
        self.store: Any = MemoryStore() if store is None else store
        self.options = options

    def ledger(self) -> Any:
        face: Any = Ledger if self.way.is_async else SyncLedger
        return face(self.store, **self.options)

    def use(self, server: Any, act: Callable[..., Any], *, client: Any = None, **wishes: Any) -> Any:
        """Do what *act* does with a client and its ledger; of an async client it is a coroutine function."""
        if self.way.is_async:
            return asyncio.run(self._use_async(server, act, client or {}, wishes))
        with (
            self.ledger() as ledger,
            ledger.model(self.way.client(server, **(client or {})), **wishes) as sdk,
        ):
            return act(sdk, ledger)

    async def _use_async(self, server: Any, act: Any, client: Any, wishes: Any) -> Any:
        async with (
            self.ledger() as ledger,
            ledger.model(self.way.client(server, **client), **wishes) as sdk,
        ):
            return await act(sdk, ledger)

    def ask(self, server: Any, *, client: Any = None, wishes: Any = None, **options: Any) -> Heard:
        """Ask once, and read the answer."""

        def act(sdk: Any, _: Any) -> Any:
            return self.way.hear(sdk, **options)

        async def act_async(sdk: Any, _: Any) -> Any:
            return await self.way.hear_async(sdk, **options)

        heard: Heard = self.use(
            server, act_async if self.way.is_async else act, client=client, **(wishes or {})
        )
        return heard

    def effects(self) -> list[Any]:
        """What is on record, oldest first."""
        if not self.way.is_async:
            with self.ledger() as ledger:
                return list(reversed(ledger.effects()))

        async def read() -> list[Any]:
            async with self.ledger() as ledger:
                return list(reversed(await ledger.effects()))

        return asyncio.run(read())
