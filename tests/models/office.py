"""A provider on loopback, the official clients, and ledgers that their model calls go through."""

from __future__ import annotations

from typing import Any, Final

from holdfast import Ledger, RetryPolicy, SyncLedger
from holdfast._runtime.drive import run_sync
from holdfast.ports import HoldQuery
from holdfast.prices import PriceBook
from holdfast.testing.model import Api
from testing.model_clients import Way

PRICES: Final = PriceBook(
    {"openai/m": {"input": "1", "output": "10"}, "anthropic/m": {"input": "1", "output": "10"}}, bundled=False
)
"""Per million tokens: a token read is a micro-dollar, a token written ten."""
LIMITS: Final = {
    Api.CHAT: "max_completion_tokens",
    Api.RESPONSES: "max_output_tokens",
    Api.MESSAGES: "max_tokens",
}
QUICK: Final = RetryPolicy(maximum_attempts=3, initial_interval=0.001, maximum_interval=0.001)


class Office:
    """One store, seen by a ledger of either face."""

    def __init__(self, path: Any, way: Way, **options: Any) -> None:
        self.way = way
        self.url = f"sqlite:///{path}/ledger.db"
        face: Any = Ledger if way.is_async else SyncLedger
        self.ledger: Any = face(self.url, **{"prices": PRICES, "migrate": True, **options})

    async def ask(self, server: Any, *, messages: Any = None, most: int | None = None, **options: Any) -> Any:
        """Ask once, through the ledger; for an answer of so many tokens at most."""
        sdk = self.ledger.model(self.way.client(server), **options)
        limits = {} if most is None else {LIMITS[self.way.api]: most}
        return await self.way.ask_with(sdk, messages, **limits)

    async def leave(self, server: Any, *, messages: Any, **options: Any) -> None:
        """Ask for a stream through the ledger, and leave it after its first event."""
        await self.way.leave_with(self.ledger.model(self.way.client(server), **options), messages)

    async def end(self, server: Any, **options: Any) -> Any:
        """What one call returns or raises."""
        try:
            return await self.ask(server, **options)
        except Exception as error:  # noqa: BLE001 - how it ends is what is looked at
            return error

    async def told(self, question: str, **options: Any) -> Any:
        """Ask the ledger something."""
        answer = getattr(self.ledger, question)(**options)
        return await answer if self.way.is_async else answer

    async def holds(self) -> list[Any]:
        """What attempts held and spent, newest first."""
        store = self.ledger._engine.parts.store
        found = store.budgets.holds(HoldQuery(tenant="default"))
        return list(await found if self.way.is_async else run_sync(found))

    async def close(self) -> None:
        closing = self.ledger.close()
        if self.way.is_async:
            await closing
