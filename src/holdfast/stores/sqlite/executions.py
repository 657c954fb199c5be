"""The part of the embedded store that is about executions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from holdfast._core.advance import Advanced, Dequeue, ExecutionOp, HaltExecutions, Outrun
from holdfast._core.execution import ExecutionQuery, ExecutionRecord, Halt, Journal
from holdfast.stores.sqlite.advance import advance
from holdfast.stores.sqlite.db import Database
from holdfast.stores.sqlite.journals import executions, journal
from holdfast.stores.sqlite.queue import dequeue, halt, halts

_P = ParamSpec("_P")
_T = TypeVar("_T")


class SqliteExecutions:
    """Executions in one SQLite file, see :class:`holdfast.ports.executions.ExecutionStore`."""

    database: Database

    async def _off_loop(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        raise NotImplementedError

    async def advance(self, op: ExecutionOp) -> Advanced | Outrun:
        return await self._off_loop(advance, self.database, op)

    async def journal(self, tenant: str, workflow_id: str, after: int = 0) -> Journal | None:
        return await self._off_loop(journal, self.database, tenant, workflow_id, after)

    async def dequeue(self, op: Dequeue) -> Sequence[ExecutionRecord]:
        return await self._off_loop(dequeue, self.database, op)

    async def halt(self, op: HaltExecutions) -> Sequence[str]:
        return await self._off_loop(halt, self.database, op)

    async def halts(self, tenant: str) -> Sequence[Halt]:
        return await self._off_loop(halts, self.database, tenant)

    async def executions(self, query: ExecutionQuery) -> Sequence[ExecutionRecord]:
        return await self._off_loop(executions, self.database, query)
