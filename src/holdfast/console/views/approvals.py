"""The inbox: what people are asked, the visitor's own questions first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from holdfast._core.approval import Approval, ApprovalState
from holdfast.console.access import Visitor
from holdfast.console.people import refusal
from holdfast.console.text import iso
from holdfast.errors import PayloadSealed
from holdfast.ledger import Ledger

PAGE: Final = 50
LOOK: Final = 100
"""So many questions a page looks at to find the visitor's own, and to count by agent."""
FAR: Final = 250
STEPS: Final = 4
"""A narrowed list looks at *STEPS* times *FAR*: what is rare must not take a hundred pages to find."""


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
        mine: Those of the questions looked at on which the visitor may decide, by when they end.
        rows: Questions by when they end, whoever may decide; those that have ended newest first.
        after: Where the next page begins; ``None`` when this is the last.
        agents: By whom the questions were asked that were looked at, and how many by each.
        looked_at: How many that were.
        beyond: On the first page: how many more are in this state than were looked at.
    """

    state: str
    counts: Mapping[str, int]
    mine: tuple[AskedRow, ...]
    rows: tuple[AskedRow, ...]
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


async def inbox(ledger: Ledger, visitor: Visitor, wanted: Wanted, now: datetime) -> Inbox:
    """Say what people are asked: fifty to a page, and of everything that is not on it how much that is."""
    counts = await ledger.approval_counts()
    fits = _narrowed(ledger, visitor, wanted, now)
    seen: list[Approval] = []
    found: list[Approval] = []
    after, is_end = _place(wanted.after), False
    limit = FAR if wanted.is_narrow else LOOK
    for _ in range(STEPS if wanted.is_narrow else 1):
        window = await ledger.approvals(state=wanted.state, after=after, limit=limit)
        seen += window
        found += [one for one in window if fits(one)]
        is_end = len(window) < limit
        if is_end or len(found) > PAGE:
            break
        after = window[-1]
    rows, last = found[:PAGE], None
    if len(found) > PAGE:
        last = rows[-1]
    elif not is_end:
        last = seen[-1]
    return Inbox(
        state=wanted.state,
        counts={str(state): counts[state] for state in ApprovalState if counts.get(state)},
        mine=() if wanted.is_narrow else _mine(ledger, visitor, seen, now),
        rows=tuple(asked_row(ledger, visitor, one, now) for one in rows),
        after=None if last is None else cursor(last, wanted.state),
        agents=tuple(Counter(one.actor for one in seen).most_common()),
        looked_at=len(seen),
        beyond=0 if wanted.after else max(counts.get(wanted.state, 0) - len(seen), 0),
    )


def _narrowed(ledger: Ledger, visitor: Visitor, wanted: Wanted, now: datetime) -> Callable[[Approval], bool]:
    def fits(one: Approval) -> bool:
        return (
            (not wanted.agent or one.actor == wanted.agent)
            and (not wanted.without or one.actor != wanted.without)
            and (wanted.view != "mine" or is_mine(ledger, visitor, one, now))
        )

    return fits


def _mine(ledger: Ledger, visitor: Visitor, seen: Sequence[Approval], now: datetime) -> tuple[AskedRow, ...]:
    return tuple(row for one in seen if (row := asked_row(ledger, visitor, one, now)).is_mine)[:PAGE]


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


def cursor(approval: Approval, state: ApprovalState) -> str:
    """Return a question's place in the list of its state, as a part of an address."""
    at = approval.expires_at if state is ApprovalState.PENDING else approval.created_at
    return f"{iso(at)}~{approval.id}"


def _place(text: str) -> Any:
    """Return the place that :func:`cursor` told of; the beginning for what is none."""
    told, _, name = text.partition("~")
    if not (name.isascii() and name.isalnum()):
        return None
    try:
        at = datetime.fromisoformat(told)
    except ValueError:
        return None
    return cast("Any", _Place(at, at, name)) if at.tzinfo is not None else None
