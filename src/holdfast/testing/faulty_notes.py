"""Memories and hand-offs whose every transaction has a point before and a point after it."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from holdfast.ports import ItemRecord, MemoryQuery, MemoryRecord, NoteStore

T = TypeVar("T")


class Around(Protocol):
    """Awaits a transaction between its two points."""

    async def __call__(self, name: str, work: Coroutine[Any, Any, T], /) -> T:
        """Return what *work* returns."""
        ...


class FaultyNotes:
    """See :class:`holdfast.testing.faults.FaultyStore`."""

    def __init__(self, inner: NoteStore, around: Around) -> None:
        self._inner = inner
        self._around = around

    async def remember(self, memory: MemoryRecord, words: Sequence[str]) -> MemoryRecord | None:
        return await self._around("remember", self._inner.remember(memory, words))

    async def recall(self, query: MemoryQuery) -> Sequence[MemoryRecord]:
        return await self._around("recall", self._inner.recall(query))

    async def forget(self, tenant: str, namespace: str, id: str) -> bool:  # noqa: A002 - the port's name
        return await self._around("forget", self._inner.forget(tenant, namespace, id))

    async def end(self, tenant: str, namespace: str, workflow_id: str) -> int:
        return await self._around("end", self._inner.end(tenant, namespace, workflow_id))

    async def note(self, tenant: str, project: str, items: Sequence[ItemRecord]) -> None:
        await self._around("note", self._inner.note(tenant, project, items))

    async def items(self, tenant: str, project: str) -> Sequence[ItemRecord]:
        return await self._around("items", self._inner.items(tenant, project))

    async def strike(self, tenant: str, project: str, ids: Sequence[str]) -> int:
        return await self._around("strike", self._inner.strike(tenant, project, ids))
