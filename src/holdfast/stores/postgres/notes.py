"""Memories and hand-offs in PostgreSQL. Both stores use it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from holdfast._core.notes import ItemRecord, MemoryQuery, MemoryRecord
from holdfast._core.words import scope_word
from holdfast.stores.rows import in_utc, item_of, memory_of

Rows: TypeAlias = "Callable[[str, Mapping[str, Any]], Awaitable[Sequence[Sequence[Any]]]]"
"""Runs a named statement in a transaction of its own."""


class PostgresNotes:
    """See :class:`holdfast.ports.NoteStore`.

    Args:
        clock: The time by which memories expire for the reaper; ``None`` for the database's.
    """

    def __init__(self, rows: Rows, clock: Callable[[], datetime] | None) -> None:
        self._rows = rows
        self._clock = clock

    async def remember(self, memory: MemoryRecord, words: Sequence[str]) -> MemoryRecord | None:
        values = {
            "tenant": memory.tenant,
            "id": memory.id,
            "namespace": memory.namespace,
            "kind": memory.kind,
            "workflow_id": memory.workflow_id,
            "body": memory.body,
            "words": _vector([*words, scope_word(memory.tenant, memory.namespace)]),
            "tags": list(memory.tags),
            "vector": memory.vector,
            "created_at": memory.created_at,
            "updated_at": memory.updated_at,
            "expires_at": memory.expires_at,
        }
        rows = await self._rows("remember", values)
        return memory_of(rows[0], in_utc) if rows else None

    async def recall(self, query: MemoryQuery) -> Sequence[MemoryRecord]:
        values: dict[str, Any] = {
            "tenant": query.tenant,
            "namespace": query.namespace,
            "now": query.now,
            "kind": query.kind,
            "workflow_id": query.workflow_id,
            "run": query.run,
            "tags": list(query.tags),
            "ids": None if query.ids is None else list(query.ids),
            "limit": query.limit,
        }
        name = "list_memories"
        if query.words:
            # Words hold letters and digits only: within the quotes nothing can end them.
            values["scope"] = f"'{scope_word(query.tenant, query.namespace)}'"
            values["wanted"] = " | ".join(f"'{word}'" for word in query.words)
            name = "search_memories"
        return [memory_of(row, in_utc) for row in await self._rows(name, values)]

    async def forget(self, tenant: str, namespace: str, id: str) -> bool:  # noqa: A002 - the port's name
        return bool(await self._rows("forget", {"tenant": tenant, "namespace": namespace, "id": id}))

    async def end(self, tenant: str, namespace: str, workflow_id: str) -> int:
        values = {"tenant": tenant, "namespace": namespace, "workflow_id": workflow_id}
        return len(await self._rows("end_working_memory", values))

    async def note(self, tenant: str, project: str, items: Sequence[ItemRecord]) -> None:
        told = json.dumps([_item(item) for item in items], ensure_ascii=False)
        await self._rows("note_items", {"tenant": tenant, "project": project, "items": told})

    async def items(self, tenant: str, project: str) -> Sequence[ItemRecord]:
        rows = await self._rows("list_items", {"tenant": tenant, "project": project})
        return [item_of(row, in_utc) for row in rows]

    async def strike(self, tenant: str, project: str, ids: Sequence[str]) -> int:
        return len(await self._rows("strike_items", {"tenant": tenant, "project": project, "ids": list(ids)}))

    async def reap(self, tenant: str, before: datetime, limit: int) -> int:
        """Delete what has expired, and working memory of runs that ended before then."""
        now = None if self._clock is None else self._clock()
        values = {"tenant": tenant, "before": before, "limit": limit, "now": now}
        return len(await self._rows("reap_memories", values))


def _vector(words: Sequence[str]) -> str:
    """Return *words* as the text of a ``tsvector``: how often each comes is what ranking goes by."""
    places: dict[str, list[int]] = {}
    for number, word in enumerate(words, 1):
        places.setdefault(word, []).append(number)
    return " ".join(f"{word}:{','.join(map(str, found[:255]))}" for word, found in places.items())


def _item(item: ItemRecord) -> dict[str, Any]:
    return {
        "id": item.id,
        "section": item.section,
        "rank": item.rank,
        "number": item.number,
        "body": item.body,
        "created_at": item.created_at.isoformat(),
        "moved_at": item.moved_at.isoformat(),
    }
