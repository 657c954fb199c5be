"""The meaning of memories and hand-offs in plain Python: what the oracle does with them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from holdfast._core.notes import ItemRecord, MemoryKind, MemoryQuery, MemoryRecord
from holdfast._core.words import match_counts

Ended = Callable[[str, str], datetime | None]
"""When the execution of (tenant, workflow) ended; ``None`` while it has not, or if there is none."""


@dataclass(frozen=True, slots=True)
class _Kept:
    record: MemoryRecord
    words: tuple[str, ...]
    number: int


class MemoryNotes:
    """Memories and hand-offs in this process's memory.

    Args:
        lock: The store's: one change at a time.
        ended: Asked with the lock held.
    """

    def __init__(self, lock: threading.Lock, ended: Ended) -> None:
        self._lock = lock
        self._ended = ended
        self._memories: dict[tuple[str, str], _Kept] = {}
        self._items: dict[tuple[str, str], dict[str, ItemRecord]] = {}
        self._numbers = itertools.count(1)

    async def remember(self, memory: MemoryRecord, words: Sequence[str]) -> MemoryRecord | None:
        with self._lock:
            if self._ended_at(memory) is not None:
                return None
            place = memory.tenant, memory.id
            known = self._memories.get(place)
            number = next(self._numbers) if known is None else known.number
            if known is not None and not _has_expired(known.record, memory.updated_at):
                memory = replace(memory, created_at=known.record.created_at)
            self._memories[place] = _Kept(memory, tuple(words), number)
            return memory

    async def recall(self, query: MemoryQuery) -> Sequence[MemoryRecord]:
        with self._lock:
            found = [kept for kept in self._memories.values() if self._matches(query, kept)]
        found.sort(key=lambda kept: (kept.record.updated_at, kept.number), reverse=True)
        if query.words:
            found.sort(key=lambda kept: match_counts(kept.words, query.words), reverse=True)
        return [kept.record for kept in found[: query.limit]]

    def _matches(self, query: MemoryQuery, kept: _Kept) -> bool:
        record = kept.record
        return (
            (record.tenant, record.namespace) == (query.tenant, query.namespace)
            and not _has_expired(record, query.now)
            and query.kind in {None, record.kind}
            and query.workflow_id in {None, record.workflow_id}
            and (record.kind is not MemoryKind.WORKING or query.run in {None, record.workflow_id})
            and set(query.tags) <= set(record.tags)
            and (query.ids is None or record.id in query.ids)
            and (not query.words or match_counts(kept.words, query.words) > 0)
            and self._ended_at(record) is None
        )

    def _ended_at(self, record: MemoryRecord) -> datetime | None:
        """Return when that ended what it is working memory of."""
        if record.kind is not MemoryKind.WORKING:
            return None
        return self._ended(record.tenant, record.workflow_id)

    async def forget(self, tenant: str, namespace: str, id: str) -> bool:  # noqa: A002 - the port's name
        with self._lock:
            known = self._memories.get((tenant, id))
            if known is None or known.record.namespace != namespace:
                return False
            del self._memories[tenant, id]
            return True

    async def end(self, tenant: str, namespace: str, workflow_id: str) -> int:
        with self._lock:
            return self._drop(
                lambda record: (
                    (record.tenant, record.namespace, record.workflow_id) == (tenant, namespace, workflow_id)
                    and record.kind is MemoryKind.WORKING
                )
            )

    async def note(self, tenant: str, project: str, items: Sequence[ItemRecord]) -> None:
        with self._lock:
            kept = self._items.setdefault((tenant, project), {})
            for item in items:
                known = kept.get(item.id)
                if known is None:
                    kept[item.id] = item
                elif known.rank < item.rank:
                    kept[item.id] = replace(item, created_at=known.created_at)

    async def items(self, tenant: str, project: str) -> Sequence[ItemRecord]:
        with self._lock:
            items = list(self._items.get((tenant, project), {}).values())
        return sorted(items, key=lambda item: (item.moved_at, item.number, item.id))

    async def strike(self, tenant: str, project: str, ids: Sequence[str]) -> int:
        with self._lock:
            kept = self._items.get((tenant, project), {})
            return sum(kept.pop(name, None) is not None for name in set(ids))

    def reap(self, tenant: str, before: datetime, now: datetime, limit: int) -> int:
        """Delete what has expired, and working memory of runs that ended before then; with the lock held."""

        def is_over(record: MemoryRecord) -> bool:
            ended_at = self._ended_at(record)
            return _has_expired(record, now) or (ended_at is not None and ended_at < before)

        return self._drop(lambda record: record.tenant == tenant and is_over(record), limit)

    def forget_run(self, tenant: str, workflow_id: str) -> None:
        """Delete the working memory of an execution that is deleted; with the lock held."""
        self._drop(
            lambda record: (
                (record.tenant, record.workflow_id, record.kind) == (tenant, workflow_id, MemoryKind.WORKING)
            )
        )

    def _drop(self, is_wanted: Callable[[MemoryRecord], bool], limit: int | None = None) -> int:
        places = [place for place, kept in self._memories.items() if is_wanted(kept.record)][:limit]
        for place in places:
            del self._memories[place]
        return len(places)


def _has_expired(record: MemoryRecord, now: datetime) -> bool:
    return record.expires_at is not None and record.expires_at <= now
