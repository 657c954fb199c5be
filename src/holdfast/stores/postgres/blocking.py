"""The PostgreSQL store for SyncLedger: the same SQL, blocking, driven without an event loop."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import wait
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import psycopg

from holdfast._core.audit import AuditEntry
from holdfast._core.change import Change, Committed, Conflict
from holdfast._core.dependency import DependencyRecord
from holdfast._core.model import EffectKey, Record
from holdfast._core.states import State, WorkflowStatus
from holdfast.errors import HoldfastError, SchemaOutdated, StoreInvariant
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
from holdfast.stores.postgres.listen import READY_S, Listener
from holdfast.stores.postgres.local import BlockingLocal
from holdfast.stores.postgres.moving import Move, numbered, rows_in
from holdfast.stores.postgres.notes import PostgresNotes
from holdfast.stores.postgres.parameters import (
    Execution,
    dependency_values,
    execution,
    key_of,
    signal_values,
)
from holdfast.stores.postgres.pool import rows_of
from holdfast.stores.postgres.renew import PostgresRenewer
from holdfast.stores.postgres.side import Side
from holdfast.stores.postgres.views import PostgresViews
from holdfast.stores.postgres.wire import (
    Again,
    Answer,
    answer_in,
    dependency_in,
    found_in,
    listing_of,
    parameters,
    refused,
    translate,
)
from holdfast.stores.rows import dependency_of, entry_of, in_utc, record_of, signal_of, workflow_of


class BlockingPostgresStore(Executing):
    """A ledger in a PostgreSQL database, for code without an event loop; see :class:`PostgresStore`."""

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
        self.notes = PostgresNotes(self._rows_soon, clock)
        self.approvals = PostgresApprovals(self._rows_soon)
        self.views = PostgresViews(self._rows_soon, self._now)
        self.budgets = PostgresBudgets(self._rows_soon, self._now)
        self._listener: Listener | None = None
        self._is_checked = False
        self._inherited: list[Any] = []
        self._side = self._new_side()

    def _new_side(self) -> Side:
        return Side(self._where, self._settings, self._sql, self._prepared, self._send)

    def _here(self) -> Side:
        if self._side.pid != os.getpid():
            # Kept alive and untouched: closing them would end the parent's sessions.
            self._inherited += [self._side, self._listener]
            self._side, self._listener = self._new_side(), None
        return self._side

    async def open(self) -> None:
        if self._is_checked:
            return
        with self._here().opening:  # a hundred threads look once
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
        return schema.migrate(self._where)

    async def pending_migrations(self) -> tuple[Migration, ...]:
        """Return what :meth:`migrate` would run."""
        return schema.pending_migrations(self._where)

    async def commit(self, change: Change) -> Committed | Conflict:
        side = self._here()
        answer = side.combiner.commit(change) if self._settings.group_commit else self._send([change])[0]
        if isinstance(answer, HoldfastError):
            raise answer
        return self._heard(answer)

    def _send(self, changes: Sequence[Change]) -> list[Answer]:
        """Commit what may share a transaction in one, and the rest one by one."""
        now = self._now()
        answers: dict[int, Answer] = {}
        together: dict[int, Execution] = {}
        for number, change in enumerate(changes):
            try:
                prepared = execution(change, now)
            except StoreInvariant as error:
                answers[number] = error
                continue
            if prepared.alone:
                answers[number] = self._apply([change], [prepared])[0]
            else:
                together[number] = prepared
        if together:
            found = self._apply([changes[number] for number in together], list(together.values()))
            answers.update(zip(together, found, strict=True))
        return [answers[number] for number in range(len(changes))]

    def _apply(self, changes: Sequence[Change], executions: Sequence[Execution]) -> list[Answer]:
        """Commit a batch; one that the database refuses is tried one by one."""
        try:
            with self._here().writers.use() as writer:
                told = writer.commit(executions)
        except HoldfastError as error:
            return [error for _ in changes]
        except psycopg.Error as error:
            told = error
        if not isinstance(told, psycopg.Error):
            answers = [answer_in(change, each) for change, each in zip(changes, told, strict=True)]
            return [self._settled(*each) for each in zip(changes, answers, strict=True)]
        if len(changes) > 1 and refused(told):
            return [self._apply([c], [e])[0] for c, e in zip(changes, executions, strict=True)]
        return [translate(told, "commit a change", key_of(change)[1]) for change in changes]

    def _settled(self, change: Change, answer: Answer | Again) -> Answer:
        """Return the answer, after a second look at all slices of a budget where the first says so."""
        if not isinstance(answer, Again):
            return answer
        return self._apply([change], [execution(change, self._now(), slowly=True)])[0]

    async def _move(self, move: Move) -> list[tuple[Any, ...]]:
        try:
            with self._here().movers.use() as mover:
                told = mover.commit([move])
        except psycopg.Error as error:
            told = error
        if isinstance(told, psycopg.Error):
            raise translate(told, move.statement.replace("_", " "), move.key[1].decode()) from told
        return rows_in(told[0])

    def _told(self, names: Sequence[str], values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        with self._here().reads.use() as connection:
            try:
                return rows_of(connection, [self._sql[name] for name in names], values)
            except psycopg.Error as error:
                raise translate(error, names[-1].replace("_", " ")) from error

    def _rows(self, name: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return self._told((name,), values)

    async def _ask(self, names: Sequence[str], values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return self._told(names, values)

    async def _rows_soon(self, name: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return self._rows(name, values)

    async def find(self, tenant: str, key: EffectKey) -> Found:
        rows = self._rows("get_effect", {"tenant": tenant, "key": key})
        return found_in(rows, self._now())

    async def effects(self, query: Query) -> Sequence[Record]:
        name = listing_of(query)
        return [record_of(row, in_utc) for row in self._rows(name, parameters(query))]

    async def trail(self, tenant: str, key: EffectKey) -> Sequence[AuditEntry]:
        rows = self._rows("get_trail", {"tenant": tenant, "key": key})
        return tuple(entry_of(row, in_utc) for row in rows)

    async def keys(
        self, tenant: str | None, after: tuple[str, str], limit: int
    ) -> Sequence[tuple[str, EffectKey]]:
        wanted = {"tenant": tenant, "after_tenant": after[0], "after_key": after[1], "limit": limit}
        return [(row[0], EffectKey(row[1])) for row in self._rows("list_keys", wanted)]

    async def workflow(self, tenant: str, workflow_id: str) -> WorkflowRecord | None:
        rows = self._rows("get_workflow", {"tenant": tenant, "workflow_id": workflow_id})
        return workflow_of(rows[0], in_utc) if rows else None

    async def workflows(
        self, tenant: str, status: WorkflowStatus | None, limit: int
    ) -> Sequence[WorkflowRecord]:
        wanted = {"tenant": tenant, "status": status, "limit": limit}
        return [workflow_of(row, in_utc) for row in self._rows("list_workflows", wanted)]

    async def dependency(self, tenant: str, name: str) -> FoundDependency:
        rows = self._rows("get_dependency", {"tenant": tenant, "name": name})
        return dependency_in(rows, self._now())

    async def dependencies(self, tenant: str) -> Sequence[DependencyRecord]:
        return [dependency_of(row, in_utc) for row in self._rows("list_dependencies", {"tenant": tenant})]

    async def put_dependency(self, record: DependencyRecord) -> bool:
        return bool(self._rows("put_dependency", dependency_values(record)))

    async def put_signal(self, signal: Signal) -> bool:
        return bool(self._rows("put_signal", signal_values(signal)))

    async def signals(self, tenant: str, subject: str) -> Sequence[Signal]:
        rows = self._rows("list_signals", {"tenant": tenant, "subject": subject})
        return [signal_of(row, in_utc) for row in rows]

    async def counts(
        self, tenant: str, before: datetime | None = None, since: datetime | None = None
    ) -> Mapping[State, int]:
        rows = self._rows("count_effects", {"tenant": tenant, "before": before, "since": since})
        return {State(row[0]): row[1] for row in rows}

    async def reap_rest(self, tenant: str, before: datetime, limit: int) -> int:
        noted = await self.notes.reap(tenant, before, limit)
        noted += await self.approvals.reap(tenant, before, limit)
        noted += await self.budgets.reap(tenant, before, limit)
        return noted + len(self._rows("reap_rest", {"tenant": tenant, "before": before, "limit": limit}))

    async def reap(self, tenant: str, before: datetime, limit: int) -> int:
        return len(self._rows("reap", {"tenant": tenant, "before": before, "limit": limit}))

    async def _listen(self) -> None:
        with self._here().opening:  # two waiters must not start two
            if self._listener is None:
                self._listener = Listener(self._where, self._moved)
            listener = self._listener
        wait({listener.ready}, timeout=READY_S)

    async def joining(self, tenant: str, key: EffectKey) -> None:
        await self._listen()
        self._rows("mark_joined", {"tenant": tenant, "key": key})

    def renewer(self) -> PostgresRenewer:
        return PostgresRenewer(self._where, self._clock)

    @asynccontextmanager
    async def local(self) -> AsyncGenerator[LocalTransaction]:
        with self._here().locals.use() as connection:
            local = BlockingLocal(connection, self._sql, self._clock, self._heard)
            local.begin()
            try:
                yield local
            finally:
                local.end()

    async def close(self) -> None:
        side = self._here()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        side.close()
        self._is_checked = False
