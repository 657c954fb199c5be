"""What an agent remembers outside of its context, as its users see it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from holdfast._core.duration import Duration
from holdfast._core.model import JSON
from holdfast._core.notes import Memory
from holdfast._runtime.drive import run_sync
from holdfast._runtime.embedding import Embed, check_embed
from holdfast._runtime.hiding import hiding
from holdfast._runtime.memories import Memories, as_name
from holdfast.ledger.engine import Engine
from holdfast.ledger.records import is_count

KindName: TypeAlias = Literal["working", "episodic", "semantic", "procedural"]


class AgentMemory:
    """One namespace of memories; made by :meth:`holdfast.Ledger.memory`."""

    def __init__(self, engine: Engine, namespace: str | None, embed: Embed | None) -> None:
        name = engine.actor if namespace is None else as_name("namespace", namespace)
        check_embed(embed, blocking=engine.parts.runtime.blocking)
        self._engine = engine
        self._memories = Memories(
            parts=engine.parts,
            tenant=engine.tenant,
            namespace=name,
            hiding=hiding(engine.parts, engine.tenant, f"memory {name}"),
            embed=embed,
        )

    async def remember(
        self,
        text: str,
        *,
        kind: KindName = "semantic",
        key: str | None = None,
        workflow_id: str | None = None,
        tags: Iterable[str] = (),
        data: JSON = None,
        expires_in: Duration | None = None,
    ) -> Memory:
        """Keep *text*; what was kept under the same kind and key is replaced, so that repeating does no harm.

        Args:
            kind: ``working``: of one run, gone when it ends. ``episodic``: what happened in one run; it
                stays. ``semantic``: what is so. ``procedural``: how something is done. The first two belong
                to a run, and their keys as well.
            key: Names the memory; without one its text does.
            workflow_id: The run; inside a workflow its own.
            tags: To find it by; at most 32.
            data: JSON to keep with it.
            expires_in: From then on it is not found any more.

        Raises:
            InvalidCall: There is no run to which it could belong, or the run has ended. Nothing was kept.
            NoteTooLarge: It is larger than ``Settings.max_memory_bytes``. Nothing was kept.
            StoreUnavailable: The database is away; call again.
        """
        await self._engine.records.opened()
        return await self._memories.remember(text, kind, key, workflow_id, tags, data, expires_in)

    async def recall(
        self,
        query: str | None = None,
        *,
        kind: KindName | None = None,
        workflow_id: str | None = None,
        tags: Iterable[str] = (),
        limit: int = 10,
    ) -> list[Memory]:
        """Find memories, best first; without a query all, newest first.

        Args:
            query: What at least one word of has to be in a memory. Words are all that counts in it.
            kind: Only of this kind.
            workflow_id: Only what this run noted. Inside a workflow, working memory is always its own.
            tags: Only what has all of these.

        Raises:
            PayloadSealed: A memory is sealed, and this ledger cannot open it.
        """
        await self._engine.records.opened()
        return await self._memories.recall(query, kind, workflow_id, tags, is_count("limit", limit))

    async def forget(self, id: str) -> bool:  # noqa: A002 - as the memory's attribute is called
        """Delete a memory; return whether it was there."""
        await self._engine.records.opened()
        return await self._memories.forget(id)

    async def end(self, workflow_id: str | None = None) -> int:
        """Delete a run's working memory; return how many memories that were.

        For runs that are no workflows of this ledger, or have not ended. Inside a workflow its own.
        """
        await self._engine.records.opened()
        return await self._memories.end(workflow_id)


class SyncAgentMemory:
    """One namespace of memories; made by :meth:`holdfast.SyncLedger.memory`."""

    def __init__(self, engine: Engine, namespace: str | None, embed: Embed | None) -> None:
        self._memory = AgentMemory(engine, namespace, embed)

    def remember(
        self,
        text: str,
        *,
        kind: KindName = "semantic",
        key: str | None = None,
        workflow_id: str | None = None,
        tags: Iterable[str] = (),
        data: JSON = None,
        expires_in: Duration | None = None,
    ) -> Memory:
        """Keep *text*; see :meth:`AgentMemory.remember`."""
        return run_sync(
            self._memory.remember(
                text,
                kind=kind,
                key=key,
                workflow_id=workflow_id,
                tags=tags,
                data=data,
                expires_in=expires_in,
            )
        )

    def recall(
        self,
        query: str | None = None,
        *,
        kind: KindName | None = None,
        workflow_id: str | None = None,
        tags: Iterable[str] = (),
        limit: int = 10,
    ) -> list[Memory]:
        """Find memories, best first; see :meth:`AgentMemory.recall`."""
        return run_sync(
            self._memory.recall(query, kind=kind, workflow_id=workflow_id, tags=tags, limit=limit)
        )

    def forget(self, id: str) -> bool:  # noqa: A002 - as the memory's attribute is called
        """Delete a memory; return whether it was there."""
        return run_sync(self._memory.forget(id))

    def end(self, workflow_id: str | None = None) -> int:
        """Delete a run's working memory; see :meth:`AgentMemory.end`."""
        return run_sync(self._memory.end(workflow_id))
