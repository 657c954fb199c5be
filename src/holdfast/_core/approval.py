"""A question to people, bound to the one call that it is about: what it is, and what is written of it.

What people approve is a *binding*: everything that, being other, would make it another call. Its digest is
what they answer to and what a claim is compared with, so an approval fits one call or none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from holdfast._core.chain import Amount, Chain, Stage
from holdfast._core.model import JSON, EffectKey
from holdfast._core.value import value

_SHORT: Final = 12


class ApprovalState(StrEnum):
    """Life of an approval."""

    PENDING = "pending"  #: people are asked
    APPROVED = "approved"  #: everybody said yes; the call has not been made yet
    CONSUMED = "consumed"  #: it was used, for its one effect
    DENIED = "denied"  #: somebody said no
    EXPIRED = "expired"  #: nobody answered in time, or nobody made the call in time
    WITHDRAWN = "withdrawn"  #: the call is another one now, or will not be made


OPEN: Final = frozenset({ApprovalState.PENDING, ApprovalState.APPROVED})
"""States in which it may still come to something."""

MOVES: Final[Mapping[ApprovalState, frozenset[ApprovalState]]] = {
    ApprovalState.PENDING: frozenset(ApprovalState) - {ApprovalState.CONSUMED},
    ApprovalState.APPROVED: frozenset(
        {ApprovalState.CONSUMED, ApprovalState.EXPIRED, ApprovalState.WITHDRAWN}
    ),
    ApprovalState.CONSUMED: frozenset({ApprovalState.CONSUMED}),
    ApprovalState.DENIED: frozenset(),
    ApprovalState.EXPIRED: frozenset(),
    ApprovalState.WITHDRAWN: frozenset(),
}
"""Which state may follow which. A consumed one serves further attempts of the effect it was consumed for."""


@value
class ApprovalRecord:
    """An approval as a store has it.

    Attributes:
        id: Names it: made of the effect and the number.
        key: The effect that it is about.
        number: How many questions there were about that effect, this one included.
        version: 1, and one more with every write.
        digest: SHA-256 (hex) of the binding: what was approved.
        binding: JSON text, possibly in a codec's envelope. So is *body*: the rest of it.
        expires_at: After this it is no good (aware, UTC).
        due_at: When somebody should look at it: to remind, to escalate, to end it. ``None`` for never.
        notices: How many of its notices are still to be sent.
    """

    tenant: str
    id: str
    key: EffectKey
    workflow_id: str
    tool: str
    number: int
    state: ApprovalState
    version: int
    digest: str
    binding: str
    body: str
    expires_at: datetime
    due_at: datetime | None
    notices: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One decision of one person.

    Attributes:
        approves: Yes or no.
        stage: In which stage, from 0.
        acts_for: In whose place; empty for their own.
        digest: The fingerprint of what they saw and answered.
        method: How they proved who they are.
        signature: Of the control plane that took it; empty where there is none.
    """

    person: str
    approves: bool
    stage: int
    at: datetime
    digest: str
    reason: str = ""
    acts_for: str = ""
    method: str = "code"
    proved_at: datetime | None = None
    mfa: bool = False
    signature: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """Somebody who was asked lets another decide in their place."""

    frm: str
    to: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Somebody changed the arguments before they approved them.

    Attributes:
        digest: Of the binding before the change; *args* are its arguments, as exact text.
    """

    by: str
    at: datetime
    digest: str
    args: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoRequest:
    """Somebody who may decide asks for more before they do. It is no vote, and takes none away.

    Attributes:
        number: 1, 2, … within the approval.
        digest: The fingerprint of what they saw.
        question: Their words.
        answer: The agent's words; empty while it owes them.
    """

    number: int
    by: str
    at: datetime
    digest: str
    question: str
    acts_for: str = ""
    method: str = "code"
    answer: str = ""
    answered_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that people have to hear of.

    Attributes:
        number: 1, 2, … within the approval: told again after a crash it has the same one.
        kind: ``asked``, ``questioned`` (somebody asks for more), ``answered`` (one of several said yes),
            ``reminded``, ``escalated`` or ``ended``.
        stage: Of which stage.
    """

    number: int
    kind: str
    stage: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A question, the answers to it so far, and what became of it.

    Attributes:
        binding: All that was asked about, as plain JSON; ``args`` in it is the exact text of the arguments.
        reason: Why people are asked.
        rule: Which rule asks.
        chain: Whom.
        amount: What is at stake, if anything says so.
        shown: The blocks that people see; their hash is in the binding.
        stage: Which stage of the chain is being asked, from 0.
        since: When that stage began.
        ended: Why it ended, for people.
        untold: Notices that are still to be sent.
        requests: What people asked for besides, and what the agent answered.
        is_canary: It was planted to see whether people read. Nobody makes the call, and yes is wrong.
        trace: The W3C ``traceparent`` of the code that asked; empty when nobody traced it.
    """

    tenant: str
    id: str
    key: EffectKey
    workflow_id: str
    tool: str
    number: int
    state: ApprovalState
    version: int
    digest: str
    binding: Mapping[str, Any]
    reason: str
    rule: str
    chain: Chain
    amount: Amount | None
    shown: Mapping[str, Any]
    since: datetime
    expires_at: datetime
    created_at: datetime
    updated_at: datetime
    stage: int = 0
    votes: tuple[Vote, ...] = ()
    handed: tuple[HandOver, ...] = ()
    edits: tuple[Edit, ...] = ()
    reminded: int = 0
    is_escalated: bool = False
    ended: str = ""
    decided_at: datetime | None = None
    told: int = 0
    untold: tuple[Notice, ...] = ()
    is_canary: bool = False
    trace: str = ""
    requests: tuple[InfoRequest, ...] = ()

    @property
    def owed(self) -> InfoRequest | None:
        """What the agent has to answer, if anything. Whoever asked and then decides needs no answer."""
        last = self.requests[-1] if self.requests and self.state is ApprovalState.PENDING else None
        if last is None or last.answer or any(vote.person == last.by for vote in self.votes):
            return None
        return last

    def name_of(self, request: InfoRequest) -> str:
        """Name a request among all approvals: what an answer to it says that it answers."""
        return f"{self.id[:_SHORT]}-{request.number}"

    @property
    def asks(self) -> Stage:
        """The stage that is being asked."""
        return self.chain.stages[self.stage]

    @property
    def args(self) -> Mapping[str, JSON]:
        """The arguments that would be used."""
        found: dict[str, JSON] = json.loads(self.binding["args"])
        return found

    @property
    def actor(self) -> str:
        """Who asks."""
        return str(self.binding["actor"])

    def noticed(self, kind: str) -> Approval:
        """Return it with one more notice to be sent."""
        notice = Notice(number=self.told + len(self.untold) + 1, kind=kind, stage=self.stage)
        return replace(self, untold=(*self.untold, notice))
