"""The PostgreSQL store for asyncio."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any

from holdfast._core.audit import AuditEntry
from holdfast._core.change import Change, Committed, Conflict
from holdfast._core.dependency import DependencyRecord
from holdfast._core.model import EffectKey, Record
from holdfast._core.states import State, WorkflowStatus
from holdfast.errors import HoldfastError, SchemaOutdated
from holdfast.ports import (
    Found,
    FoundDependency,
    LocalTransaction,
    Query,
    Signal,
    WorkflowRecord,
)
from holdfast.settings import Settings
from holdfast.stores.migrate import Migration
from holdfast.stores.postgres import schema
from holdfast.stores.postgres.approvals import PostgresApprovals
from holdfast.stores.postgres.budgets import PostgresBudgets
from holdfast.stores.postgres.executing import Executing
from holdfast.stores.postgres.lane import BATCH, Lanes, Moves
from holdfast.stores.postgres.listen import READY_S, Listener
from holdfast.stores.postgres.local import AsyncLocal
from holdfast.stores.postgres.moving import Move, Numbered, numbered, rows_in
from holdfast.stores.postgres.notes import PostgresNotes
from holdfast.stores.postgres.parameters import dependency_values, execution, signal_values
from holdfast.stores.postgres.pool import Pool, connect
from holdfast.stores.postgres.renew import PostgresRenewer
from holdfast.stores.postgres.views import PostgresViews
from holdfast.stores.postgres.wire import Again, answer_in, dependency_in, found_in, listing_of, parameters
from holdfast.stores.rows import dependency_of, entry_of, in_utc, record_of, signal_of, workflow_of


class _Side:
    """What belongs to one event loop of one process."""

    def __init__(
        self, where: str, settings: Settings, sql: Mapping[str, bytes], prepared: Mapping[str, Numbered]
    ) -> None:
        moves = {name: known.text for name, known in prepared.items()}
        writer = partial(connect, where, sql["begin_session"], sql["begin_writing"])
        statements = {name: sql[name] for name in schema.WRITES}
        size = settings.pool_size
        if settings.group_commit:
            singly = Lanes(writer, statements, width=2, most=1)
            self.lanes = Lanes(writer, statements, width=1, most=BATCH, singly=singly)
            self.moves = Moves.together(writer, moves)
        else:
            self.lanes = Lanes(writer, statements, width=size, most=1)
            self.moves = Moves.singly(writer, moves, size)
        self.reads = Pool(partial(connect, where, sql["begin_session"]), size)
        # Their own: a local effect may need a read while its transaction is open.
        self.locals = Pool(partial(connect, where, sql["begin_local"]), size)
        self.opening = asyncio.Lock()

    async def close(self) -> None:
        self.lanes.close()
        self.moves.close()
        await self.reads.close()
        await self.locals.close()

    def drop(self) -> None:
        """Close everything at once; for another thread's event loop to run."""
        self.lanes.close()
        self.moves.close()
        self._finish_pools()

    def abandon(self) -> None:
        """Let go of everything, the event loop being gone."""
        self.lanes.abandon()
        self.moves.abandon()
        self._finish_pools()

    def _finish_pools(self) -> None:
        self.reads.abandon()
        self.locals.abandon()


class PostgresStore(Executing):
    """A ledger in a PostgreSQL database, for many workers on many machines.

    Args:
        url: What libpq reads; ``?options=-csearch_path%3Dname`` chooses a schema.
        settings: Pool size, group commit.
        migrate: Create or upgrade the tables on first use.
        clock: The time by which leases are measured; default the database's.
    """

    durable = True
    poll_s = (0.05, 1.0)

    def __init__(
        self,
        url: str,
        *,
        settings: Settings,
        migrate: bool = False,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._sql = schema.statements()
        super().__init__(clock, numbered(self._sql))
        self._where = schema.conninfo(url)
        self._settings = settings
        self._migrate = migrate
        self._clock = clock
        self.notes = PostgresNotes(self._rows, clock)
        self.approvals = PostgresApprovals(self._rows)
        self.views = PostgresViews(self._rows, self._now)
        self.budgets = PostgresBudgets(self._rows, self._now)
        self._sides: dict[asyncio.AbstractEventLoop, _Side] = {}
        self._inherited: list[Any] = []
        self._pid = os.getpid()
        self._threads = threading.RLock()  # several may have loops of their own: protects what follows a look
        self._listener: Listener | None = None
        self._is_checked = False

    async def open(self) -> None:
        if self._is_checked:
            return
        async with self._here().opening:  # a thousand first calls look once
            if self._is_checked:
                return
            if self._migrate:
                await self.migrate()
            missing = await self.pending_migrations()
            if missing:
                raise SchemaOutdated((), [migration.name for migration in missing])
            self._is_checked = True

    async def migrate(self) -> tuple[str, ...]:
        """Create or upgrade the tables; return the names of the migrations that ran."""
        return await asyncio.to_thread(schema.migrate, self._where)

    async def pending_migrations(self) -> tuple[Migration, ...]:
        """Return what :meth:`migrate` would run."""
        return await asyncio.to_thread(schema.pending_migrations, self._where)

    def _here(self) -> _Side:
        """Return this event loop's connections; a fork or another loop starts with none."""
        loop = asyncio.get_running_loop()
        side = self._sides.get(loop)
        if side is None or self._pid != os.getpid():
            self._let_go()
            side = _Side(self._where, self._settings, self._sql, self._prepared)
            with self._threads:
                self._sides[loop] = side
        return side

    def _let_go(self) -> None:
        """Forget what another process or a finished event loop owned."""
        if self._pid != os.getpid():
            # Kept alive and untouched: closing them would end the parent's sessions.
            self._inherited += [*self._sides.values(), self._listener]
            self._sides, self._listener, self._pid = {}, None, os.getpid()
            self._threads = threading.RLock()  # another thread of the parent may have held it
        with self._threads:
            ended = [self._sides.pop(loop) for loop in tuple(self._sides) if loop.is_closed()]
        for side in ended:
            side.abandon()

    async def commit(self, change: Change) -> Committed | Conflict:
        prepared, read = execution(change, self._now()), partial(answer_in, change)
        answer = await self._here().lanes.commit(prepared, read)
        if isinstance(answer, Again):
            slowly = execution(change, self._now(), slowly=True)
            answer = await self._here().lanes.commit(slowly, read)
        if isinstance(answer, HoldfastError):
            raise answer
        return self._heard(answer)

    async def _move(self, move: Move) -> list[tuple[Any, ...]]:
        told: list[tuple[Any, ...]] | HoldfastError
        told = await self._here().moves.of(move).commit(move, rows_in)
        if isinstance(told, HoldfastError):
            raise told
        return told

    async def _ask(self, names: Sequence[str], values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        statements = [self._sql[name] for name in names]
        return await self._here().reads.rows(statements, values, names[-1].replace("_", " "))

    async def _rows(self, name: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return await self._ask((name,), values)

    async def find(self, tenant: str, key: EffectKey) -> Found:
        rows = await self._rows("get_effect", {"tenant": tenant, "key": key})
        return found_in(rows, self._now())

    async def effects(self, query: Query) -> Sequence[Record]:
        name = listing_of(query)
        return [record_of(row, in_utc) for row in await self._rows(name, parameters(query))]

    async def trail(self, tenant: str, key: EffectKey) -> Sequence[AuditEntry]:
        rows = await self._rows("get_trail", {"tenant": tenant, "key": key})
        return tuple(entry_of(row, in_utc) for row in rows)

    async def keys(
        self, tenant: str | None, after: tuple[str, str], limit: int
    ) -> Sequence[tuple[str, EffectKey]]:
        wanted = {"tenant": tenant, "after_tenant": after[0], "after_key": after[1], "limit": limit}
        return [(row[0], EffectKey(row[1])) for row in await self._rows("list_keys", wanted)]

    async def workflow(self, tenant: str, workflow_id: str) -> WorkflowRecord | None:
        rows = await self._rows("get_workflow", {"tenant": tenant, "workflow_id": workflow_id})
        return workflow_of(rows[0], in_utc) if rows else None

    async def workflows(
        self, tenant: str, status: WorkflowStatus | None, limit: int
    ) -> Sequence[WorkflowRecord]:
        wanted = {"tenant": tenant, "status": status, "limit": limit}
        return [workflow_of(row, in_utc) for row in await self._rows("list_workflows", wanted)]

    async def dependency(self, tenant: str, name: str) -> FoundDependency:
        rows = await self._rows("get_dependency", {"tenant": tenant, "name": name})
        return dependency_in(rows, self._now())

    async def dependencies(self, tenant: str) -> Sequence[DependencyRecord]:
        return [
            dependency_of(row, in_utc) for row in await self._rows("list_dependencies", {"tenant": tenant})
        ]

    async def put_dependency(self, record: DependencyRecord) -> bool:
        return bool(await self._rows("put_dependency", dependency_values(record)))

    async def put_signal(self, signal: Signal) -> bool:
        return bool(await self._rows("put_signal", signal_values(signal)))

    async def signals(self, tenant: str, subject: str) -> Sequence[Signal]:
        rows = await self._rows("list_signals", {"tenant": tenant, "subject": subject})
        return [signal_of(row, in_utc) for row in rows]

    async def counts(
        self, tenant: str, before: datetime | None = None, since: datetime | None = None
    ) -> Mapping[State, int]:
        rows = await self._rows("count_effects", {"tenant": tenant, "before": before, "since": since})
        return {State(row[0]): row[1] for row in rows}

    async def reap_rest(self, tenant: str, before: datetime, limit: int) -> int:
        noted = await self.notes.reap(tenant, before, limit)
        noted += await self.approvals.reap(tenant, before, limit)
        noted += await self.budgets.reap(tenant, before, limit)
        return noted + len(
            await self._rows("reap_rest", {"tenant": tenant, "before": before, "limit": limit})
        )

    async def reap(self, tenant: str, before: datetime, limit: int) -> int:
        return len(await self._rows("reap", {"tenant": tenant, "before": before, "limit": limit}))

    async def _listen(self) -> None:
        self._let_go()
        with self._threads:  # two waiters must not start two
            if self._listener is None:
                self._listener = Listener(self._where, self._moved)
            listener = self._listener
        if not listener.ready.done():
            await asyncio.wait({asyncio.wrap_future(listener.ready)}, timeout=READY_S)

    async def joining(self, tenant: str, key: EffectKey) -> None:
        await self._listen()
        await self._rows("mark_joined", {"tenant": tenant, "key": key})

    def renewer(self) -> PostgresRenewer:
        return PostgresRenewer(self._where, self._clock)

    @asynccontextmanager
    async def local(self) -> AsyncGenerator[LocalTransaction]:
        async with self._here().locals.use() as connection:
            local = AsyncLocal(connection, self._sql, self._clock, self._heard)
            await local.begin()
            try:
                yield local
            finally:
                await local.end()

    async def close(self) -> None:
        self._let_go()
        self._is_checked = False
        listener, self._listener = self._listener, None
        if listener is not None:
            await asyncio.to_thread(listener.close)
        here = asyncio.get_running_loop()
        sides, self._sides = self._sides, {}
        for loop, side in sides.items():
            if loop is here:
                await side.close()
            else:  # another thread's
                loop.call_soon_threadsafe(side.drop)
