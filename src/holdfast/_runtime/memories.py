"""Remembers, and finds again: one namespace of an agent's memories."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from holdfast._core.duration import Duration, seconds
from holdfast._core.identity import read_result
from holdfast._core.model import JSON
from holdfast._core.notes import (
    OF_A_RUN,
    Memory,
    MemoryKind,
    MemoryQuery,
    MemoryRecord,
    identity_text,
)
from holdfast._core.value import value
from holdfast._core.words import wanted_words, words_of
from holdfast._runtime import context
from holdfast._runtime.embedding import Embed, embedded, likeness, packed
from holdfast._runtime.hiding import Hiding
from holdfast._runtime.parts import Parts
from holdfast.errors import InvalidCall, NoteTooLarge, NotSerializable

_NAME_LENGTH: Final = 512
_MOST_TAGS: Final = 32
_CANDIDATES: Final = 100
"""So many memories that words find, and so many that are new, are compared by their vectors."""


@value
class Memories:
    """One namespace of memories.

    Attributes:
        embed: Makes vectors; ``None`` to go by words alone.
    """

    parts: Parts
    tenant: str
    namespace: str
    hiding: Hiding
    embed: Embed | None

    async def remember(
        self,
        text: str,
        kind: str,
        key: str | None,
        workflow_id: str | None,
        tags: Iterable[str],
        data: JSON,
        expires_in: Duration | None,
    ) -> Memory:
        """Keep a memory; see :meth:`holdfast.ledger.AgentMemory.remember`."""
        of = as_kind(kind)
        _check_text(text)
        key = None if key is None else as_name("key", key)
        run = self._run(of, workflow_id)
        tagged = as_tags(tags)
        body = self._body(text, key, tagged, data)
        name, told = ("key", key) if key is not None else ("text", text)
        owner = run if of in OF_A_RUN else ""
        note = await self._known(of, identity_text(self.namespace, of, owner, name, told))
        vector = None if self.embed is None else packed(await embedded(self.parts, self.embed, text))
        now = self.parts.runtime.now()
        lifetime = None if expires_in is None else timedelta(seconds=seconds(expires_in, name="expires_in"))
        record = MemoryRecord(
            tenant=self.tenant,
            namespace=self.namespace,
            id=note,
            kind=of,
            workflow_id=run,
            body=self.hiding.seal(note, body, "body"),
            tags=self.hiding.tags(tagged),
            vector=None if vector is None else self.hiding.seal(note, vector, "vector"),
            created_at=now,
            updated_at=now,
            expires_at=None if lifetime is None else now + lifetime,
        )
        words = self.hiding.words(words_of(" ".join([text, key or "", *tagged])))
        kept = await self.parts.store.notes.remember(record, words)
        if kept is None:
            what = f"workflow {run!r} has ended, and its working memory with it"
            raise InvalidCall(what, "remember it as another kind; nothing ran")
        return self._memory(kept)

    def _run(self, kind: MemoryKind, workflow_id: str | None) -> str:
        """Return which run a memory is of, or was noted in."""
        run = context.workflow.get() if workflow_id is None else as_name("workflow_id", workflow_id)
        if not run and kind in OF_A_RUN:
            what = f"{kind} memory belongs to a run, and this is outside of one"
            raise InvalidCall(what, "pass workflow_id=..., or use kind='semantic'; nothing ran")
        return run

    def _body(self, text: str, key: str | None, tags: Sequence[str], data: JSON) -> str:
        limit = self.parts.settings.max_memory_bytes
        if len(text) > limit:
            raise NoteTooLarge(len(text), limit, "bytes", "max_memory_bytes")
        told = {"text": text, "key": key, "tags": list(tags), "data": data}
        body = as_json(told, limit)
        size = len(body.encode("utf-8", "surrogatepass"))
        if size > limit:
            raise NoteTooLarge(size, limit, "bytes", "max_memory_bytes")
        return body

    async def _known(self, kind: MemoryKind, identity: str) -> str:
        """Return the id of a memory; after a change of keys one that is on record keeps its own."""
        ids = self.hiding.ids(identity)
        if len(ids) == 1:
            return ids[0]
        query = self._query(kind=kind, ids=tuple(ids), limit=len(ids))
        known = {record.id for record in await self.parts.store.notes.recall(query)}
        return next((one for one in ids if one in known), ids[0])

    def _query(self, **asked: Any) -> MemoryQuery:
        now = self.parts.runtime.now()
        return MemoryQuery(tenant=self.tenant, namespace=self.namespace, now=now, **asked)

    async def recall(
        self,
        query: str | None,
        kind: str | None,
        workflow_id: str | None,
        tags: Iterable[str],
        limit: int,
    ) -> list[Memory]:
        """Find memories; see :meth:`holdfast.ledger.AgentMemory.recall`."""
        if query is not None:
            _check_text(query, "query")
        of_run = None if workflow_id is None else as_name("workflow_id", workflow_id)
        asked = self._query(
            kind=None if kind is None else as_kind(kind),
            workflow_id=of_run,
            run=of_run or context.workflow.get() or None,
            tags=self.hiding.tags(as_tags(tags)),
            limit=limit,
        )
        if query is None:
            found = await self.parts.store.notes.recall(asked)
            return [self._memory(record) for record in found]
        words = self.hiding.wanted(wanted_words(query))
        if self.embed is None:
            return [self._memory(record) for record in await self._by_words(asked, words)]
        vector = await embedded(self.parts, self.embed, query)
        many = replace(asked, limit=max(limit, _CANDIDATES))
        candidates = {record.id: record for record in await self._by_words(many, words)}
        for record in await self.parts.store.notes.recall(many):
            candidates.setdefault(record.id, record)
        return [self._memory(record) for record in self._ranked(vector, list(candidates.values()))[:limit]]

    async def _by_words(self, asked: MemoryQuery, words: tuple[str, ...]) -> Sequence[MemoryRecord]:
        # Nothing but signs and spaces: there is no word that anything could be found by.
        return await self.parts.store.notes.recall(replace(asked, words=words)) if words else ()

    def _ranked(self, vector: Sequence[float], found: Sequence[MemoryRecord]) -> list[MemoryRecord]:
        """Put what is like *vector* first; what cannot be compared comes after it, in the order of words."""

        def cosine(record: MemoryRecord) -> float:
            if record.vector is None:
                return -2.0
            like = likeness(vector, self.hiding.open(record.id, record.vector, "vector"))
            return -2.0 if like is None else like

        return sorted(found, key=cosine, reverse=True)

    async def forget(self, note: str) -> bool:
        """Delete a memory; return whether it was there."""
        return await self.parts.store.notes.forget(self.tenant, self.namespace, as_name("id", note))

    async def end(self, workflow_id: str | None) -> int:
        """Delete a run's working memory; return how many memories that were."""
        run = self._run(MemoryKind.WORKING, workflow_id)
        return await self.parts.store.notes.end(self.tenant, self.namespace, run)

    def _memory(self, record: MemoryRecord) -> Memory:
        told: Any = json.loads(self.hiding.open(record.id, record.body, "body"))
        return Memory(
            id=record.id,
            kind=record.kind,
            text=told["text"],
            key=told["key"],
            tags=tuple(told["tags"]),
            data=told["data"],
            workflow_id=record.workflow_id or None,
            created_at=record.created_at,
            updated_at=record.updated_at,
            expires_at=record.expires_at,
        )


def as_json(told: object, limit: int) -> str:
    """Return *told* as JSON text.

    Raises:
        NoteTooLarge: It is far larger than *limit* bytes.
        InvalidCall: It has no JSON form.
    """
    try:
        return read_result(told, max_bytes=limit).text
    except NotSerializable as error:
        what = f"the value at {error.path} {error.why}"
        raise InvalidCall(what, "note JSON values, or fewer of them; nothing ran") from None


def as_name(what: str, name: Any) -> str:
    """Return *name* if it can name something.

    Raises:
        InvalidCall: It cannot.
    """
    if not isinstance(name, str) or not name or not name.isprintable() or len(name) > _NAME_LENGTH:
        raise InvalidCall(
            f"{what}= is no printable text of 1 to {_NAME_LENGTH} characters", f"give another {what}"
        )
    return name


def as_tags(tags: Any) -> tuple[str, ...]:
    """Return *tags*, each once.

    Raises:
        InvalidCall: They are no list of names, or too many.
    """
    if isinstance(tags, str | bytes) or not isinstance(tags, Iterable):
        raise InvalidCall(f"tags= is {type(tags).__name__}", "give a list of names")
    named = tuple(dict.fromkeys(as_name("tag", tag) for tag in tags))  # pyright: ignore[reportUnknownVariableType]
    if len(named) > _MOST_TAGS:
        raise InvalidCall(f"{len(named)} tags", f"give at most {_MOST_TAGS}")
    return named


def as_kind(kind: Any) -> MemoryKind:
    """Return the kind of memory that is named so.

    Raises:
        InvalidCall: There is none.
    """
    try:
        return MemoryKind(kind)
    except ValueError:
        raise InvalidCall("there is no such kind of memory", f"use one of {', '.join(MemoryKind)}") from None


def _check_text(text: Any, what: str = "text") -> None:
    if not isinstance(text, str):
        raise InvalidCall(f"{what} is {type(text).__name__}", "give text")
