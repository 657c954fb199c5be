"""Where people decide: one store under one clock, any number of processes, and who asks and answers."""

from __future__ import annotations

import contextvars
import itertools
import json
import sqlite3
from collections.abc import Callable, Coroutine, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from holdfast import Approval, Ledger, Principal, Settings, ToolCall
from holdfast._runtime.drive import run_sync
from holdfast.errors import ApprovalRequired
from holdfast.ledger import AuditEvent
from holdfast.ports import Store
from holdfast.testing import FakeClock, FakeRuntime, ledger_on
from holdfast.testing.places import places

STORES: Final = ("memory", "sqlite", "postgres")
DURABLE: Final = STORES[1:]
ARGS: Final = {"amount": 100, "to": "bob"}


def call_of(amount: Any = 100, to: Any = "bob", workflow_id: str = "order-1", **options: Any) -> ToolCall:
    """A call of the tool that most tests ask about."""
    args = {"amount": amount, "to": to}
    return ToolCall(workflow_id=workflow_id, tool="charge", args=args, **options)


class Bank:
    """The world outside: what was charged, in order."""

    def __init__(self) -> None:
        self.charged: list[tuple[Any, Any]] = []

    def charge(self, amount: int, to: str) -> Mapping[str, Any]:
        """The tool."""
        self.charged.append((amount, to))
        return {"charged": amount}


class Skewed(FakeClock):
    """The clock of a machine that goes wrong by so many seconds."""

    def __init__(self, inner: FakeClock, by_s: float) -> None:
        super().__init__()
        self._inner = inner
        self._by = timedelta(seconds=by_s)

    def __call__(self) -> datetime:
        return self._inner() + self._by

    def monotonic(self) -> float:
        return self._inner.monotonic()

    def advance(self, by: float | timedelta) -> None:
        self._inner.advance(by)


class Office:
    """One place where calls are asked about, and decided on.

    Attributes:
        kind: Which store.
        clock: Of all processes and of the store.
    """

    def __init__(self, kind: str, where: str, directory: Path) -> None:
        self.kind = kind
        self.clock = FakeClock()
        self.bank = Bank()
        self._where = where
        self._file = directory / "world-1.db"
        self._open = places(where, directory)()
        self._stores: list[Store] = []
        self._tokens = itertools.count(1)

    def ledger(
        self, wrap: Callable[[Store], Store] = lambda store: store, *, tenant: str = "default", **rules: Any
    ) -> Ledger:
        """Open the place as a new process does."""
        store = self._open(self.clock)
        self._stores.append(store)
        settings = rules.pop("settings", Settings())
        clock = Skewed(self.clock, rules.pop("skew_s", 0.0))
        runtime = FakeRuntime(clock, tokens=self._tokens)
        owner = f"process-{len(self._stores)}"
        return ledger_on(wrap(store), runtime, tenant=tenant, owner=owner, settings=settings, **rules)

    def run(self, coro: Coroutine[Any, Any, Any]) -> Any:
        """Run *coro* in surroundings of its own."""
        return contextvars.Context().run(run_sync, coro)

    def call(self, ledger: Ledger, call: ToolCall | None = None, handler: Any = None, **options: Any) -> Any:
        """Make a call that people have to decide on."""
        known = {"requires_approval": True, **options}
        return self.run(ledger.run(call or call_of(), handler or self.bank.charge, **known))

    def ask(
        self, ledger: Ledger, call: ToolCall | None = None, handler: Any = None, **options: Any
    ) -> Approval:
        """Make a call that people have to decide on; return the question, after nothing ran."""
        before = list(self.bank.charged)
        with pytest.raises(ApprovalRequired) as asked:
            self.call(ledger, call, handler, **options)
        assert self.bank.charged == before
        return self.question(ledger, asked.value.approval)

    def question(self, ledger: Ledger, name: str) -> Approval:
        """Return a question as it stands."""
        found: Approval = self.run(ledger.approval(name))
        return found

    def approve(
        self, ledger: Ledger, asked: Approval, by: str | Principal = "ana", **options: Any
    ) -> Approval:
        """Say yes to what was shown."""
        known = {"digest": asked.digest, **options}
        answered: Approval = self.run(ledger.approve(asked.id, by=by, **known))
        return answered

    def deny(
        self,
        ledger: Ledger,
        asked: Approval,
        by: str | Principal = "ana",
        reason: str = "no",
        **options: Any,
    ) -> Approval:
        """Say no."""
        answered: Approval = self.run(ledger.deny(asked.id, by=by, reason=reason, **options))
        return answered

    def trail(self, key: str) -> list[AuditEvent]:
        """Return an effect's story."""
        found: list[AuditEvent] = self.run(self.ledger().audit(key))
        return found

    def notes(self, key: str, name: str) -> list[Any]:
        """Return what an effect's story tells under *name*."""
        return [event.details[name] for event in self.trail(key) if name in event.details]

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Do what a stranger with a database prompt does; durable stores only. ``?`` marks a parameter."""
        if self.kind == "postgres":
            with psycopg.connect(self._where, autocommit=True) as db:
                cursor = db.execute(statement.replace("?", "%s"), parameters)
                return cursor.fetchall() if cursor.description else []
        with closing(sqlite3.connect(self._file, isolation_level=None)) as db:
            return db.execute(statement, parameters).fetchall()

    def body(self, asked: Approval) -> dict[str, Any]:
        """Return the rest of an approval's row, as a stranger reads it."""
        [(text,)] = self.sql("SELECT body FROM holdfast_approval WHERE id = ?", asked.id)
        found: dict[str, Any] = json.loads(text)
        return found

    def tamper(self, asked: Approval, **columns: Any) -> None:
        """Write columns of an approval by hand."""
        for name, value in columns.items():
            plain = json.dumps(value, separators=(",", ":")) if isinstance(value, dict) else value
            self.sql(f"UPDATE holdfast_approval SET {name} = ? WHERE id = ?", plain, asked.id)

    def close(self) -> None:
        """Release the stores."""
        for store in self._stores:
            run_sync(store.close())
