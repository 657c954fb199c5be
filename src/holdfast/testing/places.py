"""Where a test's ledger lives, and how one is put together over a store, a runtime and a clock."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from holdfast._runtime.heartbeat import Heartbeat
from holdfast.errors import InvalidURL
from holdfast.ledger import Ledger, SyncLedger
from holdfast.ledger.engine import Engine, make_engine
from holdfast.ports import Runtime, Store
from holdfast.settings import Settings
from holdfast.stores.memory import MemoryStore
from holdfast.stores.sqlite.store import SqliteStore
from holdfast.testing.runtime import FakeClock

Open: TypeAlias = Callable[[FakeClock], Store]
"""Opens one durable place again and again, as every new process does."""

Places: TypeAlias = Callable[[], Open]
"""Makes a new, empty place each time."""


def places(where: str | Places, directory: Path, *, blocking: bool = True) -> Places:
    """Return what makes places of a kind.

    Args:
        where: ``memory``, ``sqlite``, a PostgreSQL URL, or a function of your own.
        directory: For the files of ``sqlite``.
        blocking: Make stores that never suspend; else stores for an event loop.

    Raises:
        InvalidURL: There is no such kind.
    """
    if not isinstance(where, str):
        return where
    if where == "memory":
        return _memory
    if where == "sqlite":
        numbers = itertools.count(1)
        return lambda: _sqlite(directory / f"world-{next(numbers)}.db", blocking)
    if where.startswith(("postgresql://", "postgres://")):
        open_store = _postgres(where, blocking)
        return lambda: open_store  # worlds share it: each has a tenant of its own
    raise InvalidURL(where, "names no place for a test")


def _memory() -> Open:
    kept: list[Store] = []

    def open_store(clock: FakeClock) -> Store:
        if not kept:
            kept.append(MemoryStore(clock=clock, is_test=True))
        return kept[0]

    return open_store


def _sqlite(path: Path, blocking: bool) -> Open:  # noqa: FBT001 - as the store's own
    return lambda clock: SqliteStore(str(path), blocking=blocking, clock=clock)


def _postgres(url: str, blocking: bool) -> Open:  # noqa: FBT001 - as the store's own
    times = itertools.count()

    def open_store(clock: FakeClock) -> Store:
        module: Any = importlib.import_module("holdfast.stores.postgres")
        kind = module.BlockingPostgresStore if blocking else module.PostgresStore
        store: Store = kind(url, settings=Settings(), migrate=next(times) == 0, clock=clock)
        return store

    return open_store


def ledger_on(
    store: Store,
    runtime: Runtime,
    *,
    tenant: str = "default",
    owner: str = "life",
    settings: Settings | None = None,
    **rules: Any,
) -> Ledger:
    """Return a ledger whose leases are renewed only when its heartbeat is told to beat.

    Args:
        rules: What else a ledger is made with: ``actor``, ``policy``, ``people``, ``signatures``, ``codec``.
    """
    ledger = object.__new__(Ledger)
    ledger._engine = _engine(store, runtime, tenant, owner, settings, "async", rules)  # pyright: ignore[reportPrivateUsage]
    return ledger


def sync_ledger_on(
    store: Store,
    runtime: Runtime,
    *,
    tenant: str = "default",
    owner: str = "life",
    settings: Settings | None = None,
    **rules: Any,
) -> SyncLedger:
    """Do what :func:`ledger_on` does, for blocking callers."""
    ledger = object.__new__(SyncLedger)
    ledger._engine = _engine(store, runtime, tenant, owner, settings, "sync", rules)  # pyright: ignore[reportPrivateUsage]
    return ledger


def _engine(
    store: Store,
    runtime: Runtime,
    tenant: str,
    owner: str,
    settings: Settings | None,
    mode: Literal["async", "sync"],
    rules: dict[str, Any],
) -> Engine:
    given: dict[str, Any] = {"actor": "agent", "codec": None, **rules}
    engine = make_engine(
        store,
        tenant=tenant,
        settings=settings or Settings(),
        migrate=False,
        mode=mode,
        runtime=runtime,
        **given,
    )
    heartbeat = Heartbeat(
        store.renewer,
        lease_s=engine.parts.settings.lease_s,
        every_s=engine.parts.settings.renew_every_s,
        monotonic=runtime.monotonic,
        threaded=False,
    )
    return replace(engine, parts=replace(engine.parts, heartbeat=heartbeat, owner=owner))
