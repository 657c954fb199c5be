"""Where people's pages are read: over several tables at once, counted exactly, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from holdfast._core.execution import Pause
from holdfast._core.states import State, WorkflowStatus
from holdfast.ports.spending import SpendingStore


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowQuery:
    """Which workflows to list, last touched first. ``None`` means any.

    Attributes:
        words: Each is somewhere in the id, or in the name of the code.
        function: The name of the code.
        tool: An effect of this tool is on record of it.
        is_paused: Only those that nobody may go on with.
        since: Touched at or after (aware).
        after: Only what comes after this place in the order: ``(updated_at, workflow_id)`` of the last seen.
        limit: At most this many.
    """

    tenant: str
    status: WorkflowStatus | None = None
    words: tuple[str, ...] = ()
    function: str | None = None
    actor: str | None = None
    queue: str | None = None
    parent: str | None = None
    tool: str | None = None
    is_paused: bool = False
    since: datetime | None = None
    after: tuple[datetime, str] | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowSummary:
    """One workflow in a list: of code, of bare calls that were in doubt or stopped, or of both.

    Attributes:
        status: How it stands; ``needs_review`` when its effects say so, whatever its code says.
        open_reviews: How many of its effects are in doubt.
        stopped: Why its next calls are refused; ``None`` when they are not.
        function: The name of its code; empty for bare calls, as are *version*, *actor* and *queue*.
        created_at: ``None`` for bare calls.
        updated_at: When its code or its doubt was last touched.
    """

    workflow_id: str
    status: WorkflowStatus
    pause: Pause
    pause_reason: str
    waits_for: str
    open_reviews: int
    stopped: str | None
    function: str
    version: str
    actor: str
    queue: str
    is_code: bool
    created_at: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Workflows that need a person.

    Attributes:
        rows: Those last touched.
        in_review: How many wait for a person in all; so is *paused*, those that nobody may go on with.
        next_end: When the first pending question ends unanswered; ``None`` without any.
    """

    rows: tuple[WorkflowSummary, ...]
    in_review: int
    paused: int
    next_end: datetime | None


class ViewStore(SpendingStore, Protocol):
    """Reads of several tables for people to look at."""

    async def version(self, tenant: str) -> str:
        """Return a word that is another one once anything of the tenant's was written, by one cheap query.

        Two looks of one store that are told the same word saw the same. It may be another one although
        nothing was written.
        """
        ...

    async def workflows(self, query: WorkflowQuery) -> Sequence[WorkflowSummary]:
        """Return the workflows that *query* asks for, last touched first."""
        ...

    async def tally(self, query: WorkflowQuery) -> Mapping[tuple[WorkflowStatus, bool], int]:
        """Count what *query* asks for by status and by whether it is paused, on whatever page of the list."""
        ...

    async def attention(self, tenant: str, limit: int) -> Attention:
        """Return which workflows need a person, at most *limit* of them, last touched first."""
        ...

    async def pulse(
        self, tenant: str, since: datetime, width: timedelta
    ) -> Mapping[tuple[State, int | None], int]:
        """Count all effects by state and by the part of the time after *since* in which they were made.

        Parts are *width* long and numbered from 0; ``None`` stands for what was made before *since*.
        """
        ...

    async def waiting(self, tenant: str, limit: int) -> Sequence[tuple[str, int]]:
        """Return id and version of pending approvals, what expires first first."""
        ...
