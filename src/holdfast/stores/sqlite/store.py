"""The embedded store: one file, no server, safe with several processes.

Durable commits cost a disk flush each, so concurrent calls share one: threads queue up behind the
write lock and whoever gets it commits for all; under asyncio a lone call commits inline, and calls
that meet go together through a writer thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from holdfast._core.audit import AuditEntry, micros
from holdfast._core.change import Change, Committed, Conflict, InsertEffect
from holdfast._core.dependency import DependencyRecord
from holdfast._core.model import EffectKey, Record
from holdfast._core.states import State, WorkflowStatus
from holdfast.errors import HoldfastError
from holdfast.ports import (
    Found,
    FoundDependency,
    Lease,
    LocalTransaction,
    Query,
    Signal,
    WorkflowRecord,
)
from holdfast.stores.combine import Combiner
from holdfast.stores.migrate import Migration
from holdfast.stores.rows import dependency_of, entry_of, from_micros, record_of, signal_of, workflow_of
from holdfast.stores.sqlite.approvals import SqliteApprovals
from holdfast.stores.sqlite.budgets import SqliteBudgets
from holdfast.stores.sqlite.connect import connect
from holdfast.stores.sqlite.db import Answer, Database
from holdfast.stores.sqlite.executions import SqliteExecutions
from holdfast.stores.sqlite.lane import Lane, apply_changes
from holdfast.stores.sqlite.local import opened
from holdfast.stores.sqlite.notes import SqliteNotes
from holdfast.stores.sqlite.parameters import dependency_row, listing_of, signal_row
from holdfast.stores.sqlite.views import SqliteViews

_P = ParamSpec("_P")
_T = TypeVar("_T")
log = logging.getLogger("holdfast")
_BATCH: Final = 128


def _tell_of_new_file(path: Path) -> None:
    """A ledger that starts empty knows of nothing that was done: the first line to look for."""
    if not path.exists():
        log.warning("creating a new ledger at %s", path.absolute())


def _now() -> datetime:
    return datetime.now(UTC)


class SqliteStore(SqliteExecutions):
    """A ledger in one SQLite file.

    Args:
        path: The file; ``":memory:"`` for one that is gone with the store.
        blocking: Never suspend: for ``SyncLedger``.
        clock: The time by which leases are measured.
        group_commit: Let concurrent calls share one disk flush.
    """

    poll_s = (0.01, 0.08)

    def __init__(
        self,
        path: str,
        *,
        blocking: bool = False,
        clock: Callable[[], datetime] = _now,
        group_commit: bool = True,
    ) -> None:
        self.database = Database(path, clock)
        self.durable = not self.database.in_memory
        self.notes = SqliteNotes(self.database, self._off_loop)
        self.approvals = SqliteApprovals(self._read)
        self.views = SqliteViews(self._read, self._mark, clock)
        self.budgets = SqliteBudgets(self._read, self._put, clock)
        self._blocking = blocking
        self._batch = _BATCH if group_commit else 1
        self._combiner = Combiner(self._apply, lambda: self.database.write_lock, limit=self._batch)
        self._lanes: dict[asyncio.AbstractEventLoop, Lane] = {}
        self._opened = 0
        self._expects_replay = False
        self._traffic: Callable[[], int] = lambda: 2

    def watch(self, traffic: Callable[[], int]) -> None:
        """Learn how many calls are under way: a lone one need not wait for company."""
        self._traffic = traffic

    async def open(self) -> None:
        if self._opened == os.getpid():
            return
        with self.database.first_look:
            if self._opened == os.getpid():
                return
            if not self.durable:
                log.warning("this ledger lives in memory: it forgets everything when it is closed")
            else:
                _tell_of_new_file(Path(self.database.path))
            self.database.open()
            self._opened = os.getpid()

    async def migrate(self) -> tuple[str, ...]:
        """Create or upgrade the tables; return the names of the migrations that ran."""
        return self.database.migrate()

    async def pending_migrations(self) -> tuple[Migration, ...]:
        """Return what :meth:`migrate` would run."""
        return self.database.pending_migrations()

    async def commit(self, change: Change) -> Committed | Conflict:
        is_insert = isinstance(change.ops[0], InsertEffect)
        if is_insert and self._expects_replay:
            # A replay needs no write lock; a new call would pay for the look, so what came last decides.
            known = self.database.known_already(change)
            if known is not None:
                return known
        answer = await self._commit(change)
        self.database.ring()
        if is_insert:
            self._expects_replay = isinstance(answer, Conflict)
        if isinstance(answer, HoldfastError):
            raise answer
        return answer

    async def _commit(self, change: Change) -> Answer:
        if self._blocking:
            return self._combiner.commit(change)
        lane = self._lane()
        alone = self._traffic() <= 1
        return (lane.commit_alone(change) if alone else None) or await lane.commit(change)

    def _apply(self, changes: Sequence[Change]) -> list[Answer]:
        return apply_changes(self.database, changes, "write")

    def _lane(self) -> Lane:
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(loop)
        if lane is None:
            for ended in [each for each in tuple(self._lanes) if each.is_closed()]:
                self._lanes.pop(ended).close()
            lane = self._lanes[loop] = Lane(self.database, loop, self._batch)
        return lane

    async def find(self, tenant: str, key: EffectKey) -> Found:
        return Found(self.database.find(tenant, key), self.database.clock())

    async def effects(self, query: Query) -> Sequence[Record]:
        name, parameters = listing_of(query)
        return [record_of(row, from_micros) for row in await self._read(name, parameters)]

    async def trail(self, tenant: str, key: EffectKey) -> Sequence[AuditEntry]:
        rows = await self._read("get_trail", {"tenant": tenant, "key": key})
        if not rows:
            rows = await self._read("get_orphaned_trail", {"tenant": tenant, "key": key})
        return tuple(entry_of(row, from_micros) for row in rows)

    async def keys(
        self, tenant: str | None, after: tuple[str, str], limit: int
    ) -> Sequence[tuple[str, EffectKey]]:
        wanted = {"tenant": tenant, "after_tenant": after[0], "after_key": after[1], "limit": limit}
        return [(row[0], EffectKey(row[1])) for row in await self._read("list_keys", wanted)]

    async def workflow(self, tenant: str, workflow_id: str) -> WorkflowRecord | None:
        rows = await self._read("get_workflow", {"tenant": tenant, "workflow_id": workflow_id})
        return workflow_of(rows[0], from_micros) if rows else None

    async def workflows(
        self, tenant: str, status: WorkflowStatus | None, limit: int
    ) -> Sequence[WorkflowRecord]:
        wanted = {"tenant": tenant, "status": status, "limit": limit}
        return [workflow_of(row, from_micros) for row in await self._read("list_workflows", wanted)]

    async def dependency(self, tenant: str, name: str) -> FoundDependency:
        rows = await self._read("get_dependency", {"tenant": tenant, "name": name})
        return FoundDependency(dependency_of(rows[0], from_micros) if rows else None, self.database.clock())

    async def dependencies(self, tenant: str) -> Sequence[DependencyRecord]:
        rows = await self._read("list_dependencies", {"tenant": tenant})
        return [dependency_of(row, from_micros) for row in rows]

    async def put_dependency(self, record: DependencyRecord) -> bool:
        return await self._put("put_dependency", dependency_row(record))

    async def put_signal(self, signal: Signal) -> bool:
        return await self._put("put_signal", signal_row(signal))

    async def signals(self, tenant: str, subject: str) -> Sequence[Signal]:
        rows = await self._read("list_signals", {"tenant": tenant, "subject": subject})
        return [signal_of(row, from_micros) for row in rows]

    async def _put(self, name: str, row: dict[str, Any]) -> bool:
        return await self._off_loop(self.database.put, name, row)

    async def _off_loop(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run what may wait for the write lock: here when blocking, else in a thread of its own.

        In memory as well: a local effect keeps the write lock while its handler runs on this event loop.
        """
        if self._blocking:
            return work(*args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(
            self._lane().readers, partial(work, *args, **kwargs)
        )

    async def _read(self, name: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        if self.database.in_memory:
            return self.database.read(name, parameters)
        return await self._off_loop(self.database.read, name, parameters)

    async def _mark(self) -> str:
        return self.database.mark() if self.database.in_memory else await self._off_loop(self.database.mark)

    async def counts(
        self, tenant: str, before: datetime | None = None, since: datetime | None = None
    ) -> Mapping[State, int]:
        wanted = {
            "tenant": tenant,
            "before": None if before is None else micros(before),
            "since": None if since is None else micros(since),
        }
        return {State(row[0]): row[1] for row in await self._read("count_effects", wanted)}

    async def reap_rest(self, tenant: str, before: datetime, limit: int) -> int:
        if self._blocking:
            return self.database.reap_rest(tenant, before, limit)
        return await asyncio.get_running_loop().run_in_executor(
            self._lane().readers, self.database.reap_rest, tenant, before, limit
        )

    async def reap(self, tenant: str, before: datetime, limit: int) -> int:
        return await self._off_loop(self.database.reap, tenant, before, limit)

    async def joining(self, tenant: str, key: EffectKey) -> None:
        """Between processes a waiter polls: a local file is cheap to look at."""

    def subscribe(self, ring: Callable[[str], None]) -> None:
        """Ring for executions in this process; SQLite tells nobody of other processes' writes."""
        self.database.rings.append(ring)

    def renewer(self) -> _Renewer:
        return _Renewer(self.database)

    @asynccontextmanager
    async def local(self) -> AsyncGenerator[LocalTransaction]:
        database = self.database
        if database.in_memory:
            await self._locked()
            try:
                async with opened(database, database.connection("write"), self._begin) as local:
                    yield local
            finally:
                database.write_lock.release()
                database.ring()
            return
        db = connect(database.path)
        try:
            async with opened(database, db, self._begin) as local:
                yield local
        finally:
            db.close()
            database.ring()

    async def _locked(self) -> None:
        """Take the write lock for the length of a handler, without blocking the event loop for it."""
        lock = self.database.write_lock
        if self._blocking:
            lock.acquire()
            return
        taken = asyncio.get_running_loop().run_in_executor(self._lane().readers, lock.acquire)
        try:
            await asyncio.shield(taken)
        except asyncio.CancelledError:
            taken.add_done_callback(lambda _: lock.release())
            raise

    async def _begin(self, db: sqlite3.Connection) -> None:
        if self._blocking or self.database.in_memory:
            db.execute("BEGIN IMMEDIATE")
            return
        # It may have to wait for another process's lock: not on the event loop.
        begun = asyncio.get_running_loop().run_in_executor(
            self._lane().readers, db.execute, "BEGIN IMMEDIATE"
        )
        try:
            await asyncio.shield(begun)
        except asyncio.CancelledError:
            await asyncio.wait(
                {begun}
            )  # the other thread must be done with the connection before it is closed
            raise

    async def close(self) -> None:
        for lane in tuple(self._lanes.values()):
            lane.close()
        self._lanes.clear()
        self.database.close()
        self._opened = 0


class _Renewer:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._db = database.connection("write") if database.in_memory else connect(database.path)

    def renew(self, leases: Sequence[Lease], lease_s: float) -> set[Lease]:
        return self._database.renew(self._db, leases, lease_s)

    def close(self) -> None:
        if not self._database.in_memory:
            self._db.close()
