"""What an agent notes outside of its context: memories, and the lists that one session hands to the next."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from holdfast._core.model import JSON


class MemoryKind(StrEnum):
    """What is remembered, and for how long."""

    WORKING = "working"
    """Of one run of a workflow, and gone when it has ended."""
    EPISODIC = "episodic"
    """What happened in one run; it stays."""
    SEMANTIC = "semantic"
    """What is so; it belongs to no run."""
    PROCEDURAL = "procedural"
    """How something is done; it belongs to no run."""


OF_A_RUN = frozenset({MemoryKind.WORKING, MemoryKind.EPISODIC})
"""Kinds of which each run has its own: what one run notes under a key does not replace another run's."""


class Section(StrEnum):
    """One of a hand-off's lists."""

    NEXT = "next"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    DECISIONS = "decisions"


ORDER = (Section.NEXT, Section.IN_PROGRESS, Section.DONE)
"""An item moves forward through these, never back: notes that come late, twice or out of order do no harm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRecord:
    """A memory as a store has it.

    Attributes:
        id: Made of namespace, kind, run and key: what is remembered under the same ones replaces it.
        workflow_id: The run that noted it last; empty outside of one.
        body: JSON text of text, key, tags and data, possibly in a codec's envelope.
        tags: What it is found by; digests of them if the ledger has a codec.
        vector: Its embedding, packed, possibly in a codec's envelope.
        expires_at: From when on nobody finds it (aware); ``None`` for never.
    """

    tenant: str
    namespace: str
    id: str
    kind: MemoryKind
    workflow_id: str
    body: str
    tags: tuple[str, ...]
    vector: str | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryQuery:
    """Which memories to find. ``None`` means any.

    Attributes:
        now: What has expired by then is not found.
        words: At least one of these words is in it, best first; empty for all, newest first.
        workflow_id: Which run noted it last.
        run: Working memory of other runs than this one is left out.
        tags: It has all of these.
        ids: It is one of these.
        limit: At most so many.
    """

    tenant: str
    namespace: str
    now: datetime
    words: tuple[str, ...] = ()
    kind: MemoryKind | None = None
    workflow_id: str | None = None
    run: str | None = None
    tags: tuple[str, ...] = ()
    ids: tuple[str, ...] | None = None
    limit: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRecord:
    """An item of a hand-off as a store has it.

    Attributes:
        id: Made of its text: an item is noted once, and moves from list to list.
        rank: Which of its lists it is in; it moves to higher ones only.
        number: Its place among those that were noted with it.
        body: JSON text of the text and of who noted it, possibly in a codec's envelope.
        created_at: When it was noted first.
        moved_at: When it came into its list.
    """

    id: str
    section: Section
    rank: int
    number: int
    body: str
    created_at: datetime
    moved_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Something that an agent remembers.

    Attributes:
        id: The same for as long as it is on record; for :meth:`forget`.
        data: JSON that was noted with it.
        workflow_id: The run that noted it last; ``None`` if it was noted outside of one.
        created_at: When it was noted first (aware, UTC).
        updated_at: When it was noted last.
        expires_at: From when on it is not found any more; ``None`` for never.
    """

    id: str
    kind: MemoryKind
    text: str
    key: str | None
    tags: tuple[str, ...]
    data: JSON
    workflow_id: str | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None


def identity_text(*parts: str) -> str:
    """Return *parts* as one text that no other parts have: ids are hashes of it."""
    return json.dumps(parts, separators=(",", ":"))


def first_places(items: Iterable[ItemRecord]) -> list[ItemRecord]:
    """Return each item once, as far forward as it was noted, in the order of their first mention."""
    found: dict[str, ItemRecord] = {}
    for item in items:
        known = found.get(item.id)
        if known is None or known.rank < item.rank:
            found[item.id] = item
    return list(found.values())
