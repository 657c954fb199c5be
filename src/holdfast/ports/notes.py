"""What a store does for memories and hand-offs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from holdfast._core.notes import ItemRecord, MemoryQuery, MemoryRecord


class NoteStore(Protocol):
    """Memories, and the lists that one session hands to the next. One method is one transaction.

    Working memory of an execution that has ended is not found, and is deleted with the execution at the
    latest; :meth:`holdfast.ports.Store.reap_rest` deletes what has expired, and the working memory of
    executions that ended before its *before*.
    """

    async def remember(self, memory: MemoryRecord, words: Sequence[str]) -> MemoryRecord | None:
        """Keep *memory*, durably, in place of the one with its id, if there is one.

        Args:
            words: What it is found by, of letters and digits only.

        Returns:
            The memory, with the time when it was first noted; ``None``, and nothing is kept, if it is
            working memory of an execution that has ended.

        Raises:
            StoreUnavailable: Nothing is known: it may have been kept.
            StoreInvariant: A constraint refused it; nothing was kept.
        """
        ...

    async def recall(self, query: MemoryQuery) -> Sequence[MemoryRecord]:
        """Return the memories that *query* asks for, best first.

        Equally good ones are in the order of their time, newest first; without words all are.
        """
        ...

    async def forget(self, tenant: str, namespace: str, id: str) -> bool:  # noqa: A002 - the column's name
        """Delete a memory; return whether it was there."""
        ...

    async def end(self, tenant: str, namespace: str, workflow_id: str) -> int:
        """Delete a run's working memory; return how many memories that were."""
        ...

    async def note(self, tenant: str, project: str, items: Sequence[ItemRecord]) -> None:
        """Keep *items*, each once, durably: new ones as they are, known ones if their rank is higher now."""
        ...

    async def items(self, tenant: str, project: str) -> Sequence[ItemRecord]:
        """Return what was noted, in the order in which it came into its lists."""
        ...

    async def strike(self, tenant: str, project: str, ids: Sequence[str]) -> int:
        """Delete items; return how many there were."""
        ...


class SearchableCodec(Protocol):
    """What a :class:`holdfast.ports.Codec` has beside, so that sealed notes can be found again."""

    def digests(self, text: str, *, context: str) -> Sequence[str]:
        """Return a keyed hash of *text* for each key, that of the active key first: 1 to 64 of ``0-9a-z``.

        Args:
            context: Where it is looked for; the same text in another place has another hash.
        """
        ...
