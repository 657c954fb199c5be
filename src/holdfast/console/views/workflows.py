"""Workflows: which there are, how they stand, and what stops them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from holdfast._core.execution import Pause
from holdfast._core.states import WorkflowStatus
from holdfast.console.asking import Misread
from holdfast.console.ledgers import looked
from holdfast.console.text import iso
from holdfast.console.views.search import Search
from holdfast.ledger import Execution, Ledger
from holdfast.ports import WorkflowQuery, WorkflowRecord, WorkflowSummary

PAGE: Final = 50
_PLACE: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)~(.{1,2000})", re.DOTALL | re.ASCII)


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """One workflow: of code, of bare calls, or of both.

    Attributes:
        status: How it stands.
        pause: Why nobody may go on with it; empty when somebody may.
        why: What it waits for, or what stopped it, for people.
        in_doubt: How many of its effects are in doubt.
        is_code: It runs as code.
    """

    id: str
    status: str
    pause: str
    why: str
    in_doubt: int
    name: str
    version: str
    actor: str
    queue: str
    is_code: bool
    created_at: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class WorkflowList:
    """One page of workflows.

    Attributes:
        counts: How many there are of each status, whatever the status that is asked for.
        found: How many there are in all that were looked for.
        after: Where the next page begins; ``None`` when this is the last.
    """

    rows: tuple[WorkflowRow, ...]
    counts: Mapping[str, int]
    found: int
    after: str | None
    problems: tuple[str, ...]


async def workflow_list(ledger: Ledger, search: Search, after: str | None) -> WorkflowList:
    """Say which workflows there are: last touched first, fifty to a page, counted exactly.

    Raises:
        Misread: *after* is no place in a list.
    """
    query = _query(search, place_of(after))
    rows = await looked(ledger, lambda engine: engine.pages.workflows(query))
    tally = await looked(ledger, lambda engine: engine.pages.tally(replace(query, status=None)))
    counts: Counter[str] = Counter()
    for (status, _), count in tally.items():
        counts[str(status)] += count
    shown, wanted = rows[:PAGE], search.of("status")
    return WorkflowList(
        rows=tuple(listed(row) for row in shown),
        counts=dict(sorted(counts.items())),
        found=sum(counts.values()) if wanted is None else counts[wanted],
        after=f"{iso(shown[-1].updated_at)}~{shown[-1].workflow_id}" if len(rows) > PAGE else None,
        problems=search.problems,
    )


def _query(search: Search, after: tuple[datetime, str] | None) -> WorkflowQuery:
    status = search.of("status")
    return WorkflowQuery(
        tenant="",
        status=None if status is None else WorkflowStatus(status),
        words=search.words,
        function=search.of("name"),
        actor=search.of("actor"),
        queue=search.of("queue"),
        parent=search.of("parent"),
        tool=search.of("tool"),
        is_paused=bool(search.of("paused")),
        since=search.since,
        after=after,
        limit=PAGE + 1,
    )


def place_of(text: str | None) -> tuple[datetime, str] | None:
    """Return the place in a list that an address tells of; ``None`` for its beginning.

    Raises:
        Misread: It is no place.
    """
    if not text:
        return None
    found = _PLACE.fullmatch(text)
    at = None if found is None or not found[2].isprintable() else _moment(found[1])
    if found is None or at is None:
        raise Misread("This address names no place in the list: begin at the first page.")
    return at, found[2]


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def listed(row: WorkflowSummary) -> WorkflowRow:
    """Return one workflow as it stands in a list."""
    waits = f"waits for {row.waits_for}" if row.waits_for else ""
    return WorkflowRow(
        id=row.workflow_id,
        status=row.status,
        pause=row.pause,
        why=row.stopped or (row.pause_reason if row.pause is not Pause.NO else waits),
        in_doubt=row.open_reviews,
        name=row.function,
        version=row.version,
        actor=row.actor,
        queue=row.queue,
        is_code=row.is_code,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def merged(code: WorkflowRow, effects: WorkflowRow) -> WorkflowRow:
    """Return one workflow of which both its code and its effects are on record."""
    is_in_review = effects.status == WorkflowStatus.NEEDS_REVIEW
    return replace(
        code,
        status=effects.status if is_in_review else code.status,
        why=effects.why or code.why,
        in_doubt=effects.in_doubt,
        updated_at=max(code.updated_at, effects.updated_at),
    )


def of_effects(record: WorkflowRecord) -> WorkflowRow:
    """Return what the effects of a workflow tell of it."""
    return WorkflowRow(
        id=record.workflow_id,
        status=record.status,
        pause="",
        why=record.stopped or "",
        in_doubt=record.open_reviews,
        name="",
        version="",
        actor="",
        queue="",
        is_code=False,
        created_at=None,
        updated_at=record.updated_at,
    )


def of_code(execution: Execution) -> WorkflowRow:
    """Return what a workflow that runs as code tells of itself."""
    why = f"waits for {execution.waits_for}" if execution.waits_for else ""
    return WorkflowRow(
        id=execution.workflow_id,
        status=execution.status,
        pause=execution.pause,
        why=execution.pause_reason if execution.pause is not Pause.NO else why,
        in_doubt=0,
        name=execution.function,
        version=execution.version,
        actor=execution.actor,
        queue=execution.queue,
        is_code=True,
        created_at=execution.created_at,
        updated_at=execution.updated_at,
    )
