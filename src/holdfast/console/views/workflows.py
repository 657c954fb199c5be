"""Workflows: which there are, how they stand, and what stops them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from holdfast._core.execution import Pause
from holdfast._core.states import WorkflowStatus
from holdfast.console.text import iso
from holdfast.console.views.search import Search
from holdfast.ledger import Execution, Ledger
from holdfast.ports import WorkflowRecord

PAGE: Final = 50
MOST: Final = 1000
"""So many of those last touched are looked at; a search that names more of them says so."""


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

    @property
    def place(self) -> tuple[str, str]:
        """Its place among all, last touched first."""
        return iso(self.updated_at) or "", self.id


@dataclass(frozen=True, slots=True)
class WorkflowList:
    """One page of workflows.

    Attributes:
        counts: How many there are of each status, whatever the status that is asked for.
        found: How many there are in all that were looked for.
        after: Where the next page begins; ``None`` when this is the last.
        is_all: Nothing was too old to be looked at.
    """

    rows: tuple[WorkflowRow, ...]
    counts: Mapping[str, int]
    found: int
    after: str | None
    is_all: bool
    problems: tuple[str, ...]


async def workflow_list(ledger: Ledger, search: Search, after: str | None) -> WorkflowList:
    """Say which workflows there are: last touched first, fifty to a page."""
    executions = await ledger.executions(
        workflow=search.of("name"),
        queue=search.of("queue"),
        parent=search.of("parent"),
        is_paused=True if search.of("paused") else None,
        limit=MOST,
    )
    is_of_code = any(search.of(name) for name in ("name", "queue", "parent", "paused"))
    records = [] if is_of_code else await ledger.workflows(limit=MOST)
    tool = search.of("tool")
    touched = None if tool is None else {e.workflow_id for e in await ledger.effects(tool=tool, limit=MOST)}
    looked_at = [
        row
        for row in together(executions, records)
        if _fits(row, search) and (touched is None or row.id in touched)
    ]
    wanted = search.of("status")
    rows = [row for row in looked_at if wanted is None or row.status == wanted]
    rest = [row for row in rows if after is None or _cursor(row) < after]
    return WorkflowList(
        rows=tuple(rest[:PAGE]),
        counts=dict(sorted(Counter(row.status for row in looked_at).items())),
        found=len(rows),
        after=_cursor(rest[PAGE - 1]) if len(rest) > PAGE else None,
        is_all=max(len(executions), len(records)) < MOST,
        problems=search.problems,
    )


def together(executions: Iterable[Execution], records: Iterable[WorkflowRecord]) -> Sequence[WorkflowRow]:
    """Return what is known of each workflow, last touched first."""
    by_id = {record.workflow_id: of_effects(record) for record in records}
    for execution in executions:
        row, known = of_code(execution), by_id.get(execution.workflow_id)
        by_id[row.id] = row if known is None else merged(row, known)
    return sorted(by_id.values(), key=lambda row: row.place, reverse=True)


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


def _fits(row: WorkflowRow, search: Search) -> bool:
    actor = search.of("actor")
    return (
        all(word in row.id or word in row.name for word in search.words)
        and (actor is None or row.actor == actor)
        and (search.since is None or row.updated_at >= search.since)
    )


def _cursor(row: WorkflowRow) -> str:
    return "~".join(row.place)
