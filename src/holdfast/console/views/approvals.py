"""The inbox: what people are asked, the visitor's own questions first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from holdfast._core.approval import Approval, ApprovalState
from holdfast.console.access import Visitor
from holdfast.console.ledgers import looked
from holdfast.console.people import refusal
from holdfast.console.text import iso
from holdfast.console.views.workflows import place_of
from holdfast.console.waiting import Queue, Waiting
from holdfast.errors import PayloadSealed
from holdfast.ledger import Ledger

PAGE: Final = 50
LOOK: Final = 100
"""So many questions about one effect, or of one workflow, are told of."""
FAR: Final = 300
STEPS: Final = 3
"""A narrowed list of what has ended looks at *STEPS* times *FAR*, and says so."""


@dataclass(frozen=True, slots=True)
class AskedRow:
    """One question, in a list.

    Attributes:
        needed: So many have to approve in this stage; *given* have.
        by: Who has answered last; empty for nobody.
        is_mine: The visitor may decide on it.
    """

    id: str
    tool: str
    actor: str
    workflow_id: str
    key: str
    state: str
    reason: str
    summary: str
    risk: str
    needed: int
    given: int
    stage: int
    stages: int
    by: str
    ended: str
    expires_at: datetime
    created_at: datetime
    is_mine: bool


@dataclass(frozen=True, slots=True)
class Inbox:
    """One page of questions.

    Attributes:
        counts: How many there are in each state, all of them.
        mine: Those that wait on which the visitor may decide, by when they end: the first of *mine_count*.
        rows: Questions by when they end, whoever may decide; those that have ended newest first.
        found: How many there are in all of what is listed; ``None`` for what has ended and is narrowed.
        after: Where the next page begins; ``None`` when this is the last.
        agents: By whom the questions were asked, and how many by each: of all that wait, or of those
            *looked_at*.
        looked_at: How many of those that have ended were looked at; 0 for those that wait, which all are.
        beyond: How many wait that are too many to be looked at.
    """

    state: str
    counts: Mapping[str, int]
    mine: tuple[AskedRow, ...]
    mine_count: int
    rows: tuple[AskedRow, ...]
    found: int | None
    after: str | None
    agents: tuple[tuple[str, int], ...]
    looked_at: int
    beyond: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the questions is to be listed.

    Attributes:
        view: ``mine`` for those that the visitor may decide on; else all.
        agent: Asked by this agent; empty for any. *without* leaves one out.
        after: The place to go on after.
    """

    state: ApprovalState = ApprovalState.PENDING
    view: str = ""
    agent: str = ""
    without: str = ""
    after: str = ""

    @property
    def is_narrow(self) -> bool:
        """Whether most of the questions may be none that is wanted."""
        return bool(self.view or self.agent or self.without)


@dataclass(frozen=True, slots=True)
class _Place:
    """A question's place in its list, which is all of it that a next page begins at."""

    expires_at: datetime
    created_at: datetime
    id: str


async def inbox(ledger: Ledger, visitor: Visitor, wanted: Wanted, queue: Queue, now: datetime) -> Inbox:
    """Say what people are asked: fifty to a page, and of everything that is not on it how much that is.

    Args:
        queue: What waits, as of this moment.

    Raises:
        Misread: What is wanted begins at no place in a list.
    """
    place = place_of(wanted.after)
    counts = await ledger.approval_counts()
    told = {str(state): counts[state] for state in ApprovalState if counts.get(state)}
    if wanted.state is not ApprovalState.PENDING:
        return await _ended(ledger, visitor, wanted, told, place, now)
    everything = queue.all()
    mine = queue.whose(lambda one: is_mine(ledger, visitor, one, now), now)
    among = mine if wanted.view == "mine" else everything
    by_agent = bool(wanted.agent or wanted.without)
    found = [one for one in among if _fits(one.actor, wanted)] if by_agent else among
    rest = found if place is None else [one for one in found if (one.expires_at, one.id) > place]
    page, first = rest[:PAGE], [] if wanted.is_narrow or place is not None else mine[:PAGE]
    rows = await _rows(ledger, visitor, [*page, *first], now)
    last = page[-1] if len(rest) > PAGE else None
    return Inbox(
        state=wanted.state,
        counts=told,
        mine=tuple(rows[one.id] for one in first if one.id in rows),
        mine_count=len(mine),
        rows=tuple(rows[one.id] for one in page if one.id in rows),
        found=len(found),
        after=None if last is None else f"{iso(last.expires_at)}~{last.id}",
        agents=tuple(queue.by_agent().items()),
        looked_at=0,
        beyond=max(counts.get(ApprovalState.PENDING, 0) - len(everything), 0),
    )


async def _rows(
    ledger: Ledger, visitor: Visitor, ones: Sequence[Waiting], now: datetime
) -> Mapping[str, AskedRow]:
    ids = list(dict.fromkeys(one.id for one in ones))
    if not ids:
        return {}
    found = await looked(ledger, lambda engine: engine.pages.questions(ids))
    return {one.id: asked_row(ledger, visitor, one, now) for one in found}


async def _ended(
    ledger: Ledger,
    visitor: Visitor,
    wanted: Wanted,
    counts: Mapping[str, int],
    place: tuple[datetime, str] | None,
    now: datetime,
) -> Inbox:
    """Return a page of what waits no more, newest first; a narrowed one is looked for in what is near."""
    seen: list[Approval] = []
    found: list[Approval] = []
    after: Any = None if place is None else _Place(place[0], place[0], place[1])
    is_end, limit = False, FAR if wanted.is_narrow else PAGE + 1
    for _ in range(STEPS if wanted.is_narrow else 1):
        window = await ledger.approvals(state=wanted.state, after=after, limit=limit)
        seen += window
        found += [one for one in window if not wanted.view and _fits(one.actor, wanted)]
        is_end = len(window) < limit
        if is_end or len(found) > PAGE:
            break
        after = window[-1]
    rows = found[:PAGE]
    last = rows[-1] if len(found) > PAGE else None if is_end else seen[-1]
    return Inbox(
        state=wanted.state,
        counts=counts,
        mine=(),
        mine_count=0,
        rows=tuple(asked_row(ledger, visitor, one, now) for one in rows),
        found=None if wanted.is_narrow else counts.get(wanted.state, 0),
        after=None if last is None else f"{iso(last.created_at)}~{last.id}",
        agents=tuple(Counter(one.actor for one in seen).most_common()),
        looked_at=len(seen),
        beyond=0,
    )


def _fits(actor: str, wanted: Wanted) -> bool:
    return (not wanted.agent or actor == wanted.agent) and (not wanted.without or actor != wanted.without)


def is_mine(ledger: Ledger, visitor: Visitor, approval: Approval, now: datetime) -> bool:
    """Whether the visitor may decide on it, be it after they have signed in anew."""
    found = refusal(ledger, visitor, approval, now)
    return found is None or found.code == "step_up"


def asked_row(ledger: Ledger, visitor: Visitor, approval: Approval, now: datetime) -> AskedRow:
    """Return a question as it stands in a list."""
    votes = approval.votes
    return AskedRow(
        id=approval.id,
        tool=approval.tool,
        actor=approval.actor,
        workflow_id=approval.workflow_id,
        key=str(approval.key),
        state=approval.state,
        reason=approval.reason,
        summary=str(approval.shown.get("summary") or ""),
        risk=approval.chain.risk,
        needed=approval.asks.quorum,
        given=sum(vote.stage == approval.stage and vote.approves for vote in votes),
        stage=approval.stage + 1,
        stages=len(approval.chain.stages),
        by=votes[-1].person if votes else "",
        ended=approval.ended,
        expires_at=approval.expires_at,
        created_at=approval.created_at,
        is_mine=is_mine(ledger, visitor, approval, now),
    )


async def asked_about(
    ledger: Ledger, visitor: Visitor, now: datetime, *, key: str | None = None, workflow_id: str | None = None
) -> tuple[AskedRow, ...]:
    """Return the questions about an effect, or of a workflow, newest first."""
    try:
        found = await ledger.approvals(state=None, key=key, workflow_id=workflow_id, limit=LOOK)
    except PayloadSealed:
        return ()  # what they say cannot be opened here; that they were asked, the effect's story tells
    return tuple(asked_row(ledger, visitor, one, now) for one in found)
