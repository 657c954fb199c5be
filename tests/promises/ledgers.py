"""The kinds of ledger that a promise is tried on: two faces on three stores, which a test sees in one way."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import psycopg

from holdfast import Claimed, Ledger, Replayed, Settings, SyncLedger, ToolCall
from holdfast.ports import Store
from holdfast.stores.memory import MemoryStore

STORES: Final = ("memory", "sqlite", "postgres")
KINDS: Final = (*STORES, *(f"sync-{store}" for store in STORES))

HASTY: Final = Settings(lease=0.4, renew_every=0.1, reconcile_skew=1e-6, store_patience=0.05)
"""For promises about leases: a dead worker is noticed after 0.4 seconds."""

PATIENT: Final = replace(HASTY, lease=0.8)
"""For promises about workers that live: a busy machine may keep them from renewing for a while."""

DEAD_SOON: Final = replace(HASTY, lease=0.1, renew_every=0.05)
"""For promises about workers that are dead already: nobody has to renew anything in time."""

PATIENCE_S: Final = 60
"""How long anything may take on a busy machine; nothing waits as long unless it is broken."""

CALL: Final = ToolCall(workflow_id="order-123", tool="stripe.charge", args={"amount": 100, "currency": "usd"})

_REFUSALS: Final = {
    "sqlite": "CREATE TRIGGER refusal BEFORE INSERT ON holdfast_effect BEGIN SELECT {}; END",
    "postgres": """
        CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'planted by a test' USING ERRCODE = '{}'; END $$;
        CREATE TRIGGER refusal BEFORE INSERT ON holdfast_effect FOR EACH ROW EXECUTE FUNCTION refuse()
    """,
}
_REASONS: Final = {
    ("sqlite", "full"): "json('{')",  # a run-time error that is no broken constraint, as a full disk is
    ("sqlite", "wrong"): "RAISE(ABORT, 'planted by a test')",
    ("postgres", "full"): "disk_full",
    ("postgres", "wrong"): "check_violation",
}


class Place:
    """Where effects are kept. A new book opened here is what a new process would see.

    Attributes:
        kind: One of ``KINDS``.
        store: One of ``STORES``.
    """

    def __init__(self, kind: str, url: str) -> None:
        self.kind = kind
        self.store = kind.removeprefix("sync-")
        self.is_sync = kind.startswith("sync-")
        self.url = url
        self._kept = MemoryStore() if self.store == "memory" else None
        self._books: list[Book] = []

    @property
    def where(self) -> str | Store:
        """What a ledger is opened with; for the memory store the very object, since nothing else keeps it."""
        return self._kept or self.url

    def open(self, where: Store | None = None, **options: Any) -> Book:
        """Open a ledger here, over *where* if a test brings a store of its own."""
        face = SyncLedger if self.is_sync else Ledger
        if self.store == "postgres":
            options.setdefault("migrate", True)
        book = Book(face(where or self.where, **options))
        self._books.append(book)
        return book

    async def close(self) -> None:
        """Close every book."""
        for book in self._books:
            await book.close(drain=PATIENCE_S)
            book.threads.shutdown()

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run *statement* as a stranger with a database prompt would; durable stores only."""
        if self.store == "postgres":
            with psycopg.connect(self.url, autocommit=True) as db:
                cursor = db.execute(statement)
                return cursor.fetchall() if cursor.description else []
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), isolation_level=None)) as db:
            return db.execute(statement).fetchall()

    def vanish(self, key: str) -> None:
        """Delete an effect behind the ledger's back."""
        if isinstance(self._kept, MemoryStore):
            del self._kept._effects["default", key]
        else:
            self.sql(f"DELETE FROM holdfast_effect WHERE key = '{key}'")

    def refuse_inserts(self, how: str) -> None:
        """Let the database itself refuse new effects: as if its disk were ``full``, or a row were ``wrong``."""
        self.sql(_REFUSALS[self.store].format(_REASONS[self.store, how]))

    def mend(self) -> None:
        """Undo :meth:`refuse_inserts`."""
        self.sql(f"DROP TRIGGER refusal{' ON holdfast_effect' if self.store == 'postgres' else ''}")

    def written(self) -> object:
        """What changes whenever anything is written here, however little."""
        if isinstance(self._kept, MemoryStore):
            return dict(self._kept._effects), {key: tuple(trail) for key, trail in self._kept._trails.items()}
        if self.store == "postgres":  # a transaction that writes anything takes a number
            return self.sql("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
        file = Path(self.url.removeprefix("sqlite:///"))
        return [Path(f"{file}{suffix}").read_bytes() for suffix in ("", "-wal")]


class Book:
    """A ledger of either face; every method is awaited, a blocking one runs in a thread."""

    def __init__(self, ledger: Ledger | SyncLedger) -> None:
        self.ledger = ledger
        self.is_sync = isinstance(ledger, SyncLedger)
        self.threads = ThreadPoolExecutor(128)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        return functools.partial(self.do, getattr(self.ledger, name))

    async def do(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Await *method*, or call it in a thread."""
        if not self.is_sync:
            return await method(*args, **options)
        context = contextvars.copy_context()
        work = functools.partial(context.run, method, *args, **options)
        return await asyncio.get_running_loop().run_in_executor(self.threads, work)

    def scoped(self, **scope: Any) -> Book:
        """The same ledger for another tenant or actor."""
        return Book(self.ledger.scoped(**scope))

    def tool(self, function: Callable[..., Any], **options: Any) -> Callable[..., Awaitable[Any]]:
        """Declare a tool; return its ``run``."""
        declared = self.ledger.tool(**options)(self.handler(function))
        return functools.partial(self.do, declared.run)

    def handler(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The form in which this face's users write their handlers: a coroutine function, or plain."""
        if self.is_sync:
            return function

        @functools.wraps(function)
        async def coroutine(**args: Any) -> Any:
            return function(**args)

        return coroutine

    async def begin(
        self, call: ToolCall, say: Callable[[Claimed], object], **options: Any
    ) -> Claimed | Replayed:
        """Claim a call, let *say* tell the claim what happened, and leave."""
        if self.is_sync:
            return await self.do(self._begin, call, say, options)
        async with self.ledger.begin(call, **options) as claim:
            if isinstance(claim, Claimed):
                say(claim)
        return claim

    def _begin(self, call: ToolCall, say: Callable[[Claimed], object], options: Any) -> Claimed | Replayed:
        with self.ledger.begin(call, **options) as claim:
            if isinstance(claim, Claimed):
                say(claim)
        return claim

    async def die_holding(self, call: ToolCall, **options: Any) -> str:
        """Claim a call and go away without a word, as a killed process does; return the effect's key."""
        beginning = self.ledger.begin(call, **options)
        # In a context of its own, which dies with it.
        enter = beginning.__enter__ if self.is_sync else beginning.__aenter__
        claim = await asyncio.create_task(self.do(enter))
        await vanish(self.ledger)
        return claim.key


async def vanish(ledger: Ledger | SyncLedger) -> None:
    """End *ledger* as a killed process ends: nothing is tidied up, and no claim is renewed any more."""
    parts = ledger._engine.parts
    parts.heartbeat.close()
    parts.heartbeat.forget_parent()
    parts.traffic.forget_parent()
    await parts.store.close()


class Calls:
    """A handler's world: what it did, in order."""

    def __init__(self, result: Any = None) -> None:
        self.made: list[dict[str, Any]] = []
        self.result = {"id": "ch_1"} if result is None else result

    def __call__(self, **args: Any) -> Any:
        self.made.append(args)
        return self.result

    def charge(self, amount: int, currency: str = "usd") -> Any:
        """What handlers of ``CALL`` do."""
        return self(amount=amount, currency=currency)

    @property
    def count(self) -> int:
        """How often it happened."""
        return len(self.made)


class Gate:
    """A place in a handler where it stays until the test lets it go on."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._open = threading.Event()

    def wait(self) -> None:
        """Called by the handler."""
        self._reached.set()
        if not self._open.wait(PATIENCE_S):
            msg = "the test never opened the gate"
            raise AssertionError(msg)

    async def reached(self) -> None:
        """Return once the handler stands at the gate."""
        assert await asyncio.to_thread(self._reached.wait, PATIENCE_S)

    def open(self) -> None:
        """Let the handler go on."""
        self._open.set()
