"""Memories and hand-offs in a SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from holdfast._core.audit import micros
from holdfast._core.notes import ItemRecord, MemoryQuery, MemoryRecord
from holdfast._core.words import scope_word
from holdfast.stores.rows import from_micros, item_of, memory_of
from holdfast.stores.sqlite.connect import translate
from holdfast.stores.sqlite.db import Database
from holdfast.stores.sqlite.memory_index import drop_memories

_NOTE: Final = "note what is handed on"


class _OffLoop(Protocol):
    async def __call__(self, work: Callable[..., Any], /, *args: Any) -> Any: ...


class SqliteNotes:
    """See :class:`holdfast.ports.NoteStore`.

    Args:
        off_loop: Runs what may wait for the write lock where it holds nobody up.
    """

    def __init__(self, database: Database, off_loop: _OffLoop) -> None:
        self._database = database
        self._off_loop = off_loop

    async def remember(self, memory: MemoryRecord, words: Sequence[str]) -> MemoryRecord | None:
        row = {
            "tenant": memory.tenant,
            "id": memory.id,
            "namespace": memory.namespace,
            "kind": memory.kind,
            "workflow_id": memory.workflow_id,
            "body": memory.body,
            "tags": json.dumps(memory.tags, ensure_ascii=False),
            "vector": memory.vector,
            "created_at": micros(memory.created_at),
            "updated_at": micros(memory.updated_at),
            "expires_at": _maybe(memory.expires_at),
        }
        told = await self._off_loop(
            self._remembered, row, " ".join((scope_word(memory.tenant, memory.namespace), *words))
        )
        return None if told is None else memory_of(told, from_micros)

    async def recall(self, query: MemoryQuery) -> Sequence[MemoryRecord]:
        values: dict[str, Any] = {
            "tenant": query.tenant,
            "namespace": query.namespace,
            "now": micros(query.now),
            "kind": query.kind,
            "workflow_id": query.workflow_id,
            "run": query.run,
            "tags": json.dumps(query.tags, ensure_ascii=False),
            "ids": None if query.ids is None else json.dumps(query.ids),
            "limit": query.limit,
        }
        name = "list_memories"
        if query.words:
            # Words hold letters and digits only: within the quotes nothing can end them.
            any_of = " OR ".join(f'"{word}"' for word in query.words)
            values["wanted"] = f'"{scope_word(query.tenant, query.namespace)}" AND ({any_of})'
            name = "search_memories"
        rows = await self._off_loop(self._database.read, name, values)
        return [memory_of(row, from_micros) for row in rows]

    async def forget(self, tenant: str, namespace: str, id: str) -> bool:  # noqa: A002 - the port's name
        row = {"tenant": tenant, "namespace": namespace, "id": id}
        return bool(await self._off_loop(self._dropped, "forget", row))

    async def end(self, tenant: str, namespace: str, workflow_id: str) -> int:
        row = {"tenant": tenant, "namespace": namespace, "workflow_id": workflow_id}
        return int(await self._off_loop(self._dropped, "end_working_memory", row))

    async def note(self, tenant: str, project: str, items: Sequence[ItemRecord]) -> None:
        await self._off_loop(self._noted, [_item_row(tenant, project, item) for item in items])

    async def items(self, tenant: str, project: str) -> Sequence[ItemRecord]:
        row = {"tenant": tenant, "project": project}
        return [item_of(r, from_micros) for r in await self._off_loop(self._database.read, "list_items", row)]

    async def strike(self, tenant: str, project: str, ids: Sequence[str]) -> int:
        row = {"tenant": tenant, "project": project, "ids": json.dumps(list(ids))}
        return int(await self._off_loop(self._deleted, "strike_items", row))

    def _remembered(self, row: dict[str, Any], words: str) -> Any:
        sql = self._database.sql
        try:
            with self._database.writing() as db:
                told = db.execute(sql["remember"], row).fetchone()
                if told is not None:
                    db.execute(sql["index_memory"], {"number": told[-1], "words": words})
                return told
        except sqlite3.Error as error:
            raise translate(error, "remember") from error

    def _dropped(self, name: str, row: dict[str, Any]) -> int:
        try:
            with self._database.writing() as db:
                return drop_memories(db, self._database.sql, name, row)
        except sqlite3.Error as error:
            raise translate(error, name.replace("_", " ")) from error

    def _deleted(self, name: str, row: dict[str, Any]) -> int:
        try:
            with self._database.writing() as db:
                return db.execute(self._database.sql[name], row).rowcount
        except sqlite3.Error as error:
            raise translate(error, name.replace("_", " ")) from error

    def _noted(self, rows: list[dict[str, Any]]) -> None:
        try:
            with self._database.writing() as db:
                db.executemany(self._database.sql["note_item"], rows)
        except sqlite3.Error as error:
            raise translate(error, _NOTE) from error


def _item_row(tenant: str, project: str, item: ItemRecord) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "project": project,
        "id": item.id,
        "section": item.section,
        "rank": item.rank,
        "number": item.number,
        "body": item.body,
        "created_at": micros(item.created_at),
        "moved_at": micros(item.moved_at),
    }


def _maybe(moment: datetime | None) -> int | None:
    return None if moment is None else micros(moment)
