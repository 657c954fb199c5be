"""The question page's values: what is asked, exactly what would be sent, and how the question stands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from holdfast._core.approval import Approval, ApprovalState, Edit, HandOver, InfoRequest, Vote
from holdfast._core.inquiry import SHOWN
from holdfast._core.model import JSON
from holdfast._core.question_text import MOST_LINES, at_stake, difference, pretty, warnings
from holdfast.console.access import Visitor
from holdfast.console.people import refusal
from holdfast.console.views.approvals import LOOK
from holdfast.console.views.payloads import MOST
from holdfast.ledger import Ledger

EXACT_IN_JAVASCRIPT: Final = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Against:
    """What the arguments are compared with.

    Attributes:
        name: ``last``, ``first`` or ``nothing``; *names* are those there are.
        what: In words; empty when there is nothing to compare with.
        lines: How they differ, each with its mark; none when they are equal.
        is_too_long: They are too long to be compared.
    """

    name: str
    names: tuple[str, ...]
    what: str
    lines: tuple[str, ...]
    is_too_long: bool


@dataclass(frozen=True, slots=True)
class Live:
    """How a question stands.

    Attributes:
        role: Who may decide; empty for everybody known.
        answers: Of one stage or another, in their order.
        requests: What the agent was asked for; *is_owed*: it has not answered the last of them.
    """

    state: str
    ended: str
    expires_at: datetime
    decided_at: datetime | None
    stage: int
    stages: int
    chain: str
    role: str
    limited: bool
    quorum: int
    given: int
    is_escalated: bool
    answers: tuple[Vote, ...]
    handed: tuple[HandOver, ...]
    edits: tuple[Mapping[str, Any], ...]
    requests: tuple[InfoRequest, ...]
    is_owed: bool


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. Nobody's hand is under this when it changes: it is drawn once.

    Attributes:
        text: The arguments as JSON, keys in order; the start of it where it is not on the page whole.
        length: Of the whole text, in characters; *bytes* and *sha256* are those of the exact text that is
            sent, ``args_text``.
        args: As JavaScript reads them without rounding: integers beyond 2^53 are texts.
        answers: What the agent said when it was asked for more: ``by``, ``question`` and ``answer``.
        why_not_yes: Why the visitor's yes would not count; so is *why_not_no*. Empty when it would.
    """

    id: str
    digest: str
    number: int
    tool: str
    tool_version: str
    key: str
    workflow_id: str
    actor: str
    on_behalf_of: str
    reason: str
    rule: str
    policy: str
    risk: str
    amount: str
    reversal: str
    summary: str
    args: Any
    args_text: str
    text: str
    length: int
    lines: int
    bytes: int
    sha256: str
    warnings: tuple[str, ...]
    context: Mapping[str, Any]
    answers: tuple[Mapping[str, Any], ...]
    called: tuple[Mapping[str, Any], ...]
    resources: Any
    why_not_yes: str
    why_not_no: str

    @property
    def is_whole(self) -> bool:
        """Whether all that would be sent is on the page."""
        return len(self.text) == self.length


def live_of(approval: Approval) -> Live:
    """Return how a question stands."""
    asks, votes = approval.asks, approval.votes
    return Live(
        state=approval.state,
        ended=approval.ended,
        expires_at=approval.expires_at,
        decided_at=approval.decided_at,
        stage=approval.stage + 1,
        stages=len(approval.chain.stages),
        chain=approval.chain.name,
        role=asks.role,
        limited=asks.limited,
        quorum=asks.quorum,
        given=sum(vote.stage == approval.stage and vote.approves for vote in votes),
        is_escalated=approval.is_escalated,
        answers=votes,
        handed=approval.handed,
        edits=tuple(_edit(one) for one in approval.edits),
        requests=approval.requests,
        is_owed=approval.owed is not None,
    )


def _edit(edit: Edit) -> Mapping[str, Any]:
    told = asdict(edit)
    del told["args"]
    return told


def question_of(
    ledger: Ledger, visitor: Visitor, approval: Approval, now: datetime, *, whole: bool
) -> Question:
    """Return what is asked; of very long arguments the start, unless the whole is wanted."""
    shown, binding = approval.shown, approval.binding
    exact = str(binding["args"])
    encoded = exact.encode("utf-8", "surrogatepass")
    text = pretty(approval.args)
    yes = refusal(ledger, visitor, approval, now)
    no = refusal(ledger, visitor, approval, now, approves=False)
    return Question(
        id=approval.id,
        digest=approval.digest,
        number=approval.number,
        tool=approval.tool,
        tool_version=str(binding.get("tool_version") or ""),
        key=str(approval.key),
        workflow_id=approval.workflow_id,
        actor=approval.actor,
        on_behalf_of=str(binding.get("on_behalf_of") or ""),
        reason=approval.reason,
        rule=approval.rule,
        policy=str(binding.get("policy") or ""),
        risk=approval.chain.risk,
        amount=at_stake(shown),
        reversal=str(shown.get("reversal") or ""),
        summary=str(shown.get("summary") or ""),
        args=unrounded(approval.args),
        args_text=exact,
        text=text if whole else text[:MOST],
        length=len(text),
        lines=text.count("\n") + 1,
        bytes=len(encoded),
        sha256=hashlib.sha256(encoded).hexdigest(),
        warnings=tuple(warnings(approval.args)),
        context=dict(shown.get("context") or {}),
        answers=tuple(shown.get(SHOWN) or ()),
        called=tuple(shown.get("called") or ()),
        resources=unrounded(shown.get("resources") or {}),
        why_not_yes="" if yes is None else yes.why,
        why_not_no="" if no is None else no.why,
    )


def against(approval: Approval, used: Sequence[Approval], wanted: str) -> Against:
    """Compare what is asked with the last approved call of this tool, or with what was asked first.

    Args:
        used: What was approved and used, newest first.
    """
    same = (one for one in used if one.tool == approval.tool and one.id != approval.id)
    last = next(same, None)
    names = [name for name, there in (("last", last), ("first", approval.edits)) if there]
    default = "first" if approval.edits else "last"
    name = wanted if wanted in {*names, "nothing"} else default if default in names else "nothing"
    others = (*names, "nothing")
    if name == "nothing":
        return Against(name, others, "", (), is_too_long=False)
    before: Mapping[str, JSON]
    if name == "last" and last is not None:
        before, what = last.args, f"the last approved of this tool, {last.id[:8]}"
    else:
        before, what = json.loads(approval.edits[0].args), "what the agent asked first"
    lines = compared(before, approval.args)
    return Against(name, others, what, tuple(lines or ()), is_too_long=lines is None)


def compared(before: Mapping[str, Any], after: Mapping[str, Any]) -> Sequence[str] | None:
    """Return how two sets of arguments differ; ``None`` when they are too long to be compared."""
    texts = pretty(before), pretty(after)
    if any(len(text) > MOST or text.count("\n") > MOST_LINES for text in texts):
        return None
    return difference(before, after)


async def approved_lately(ledger: Ledger) -> Sequence[Approval]:
    """Return what was approved and used, newest first."""
    return await ledger.approvals(state=ApprovalState.CONSUMED, limit=LOOK)


def unrounded(value: Any) -> Any:
    """Return a JSON value in which no integer is one that JavaScript would round."""
    match value:
        case bool() | str() | None:
            return value
        case int():
            return value if abs(value) <= EXACT_IN_JAVASCRIPT else str(value)
        case Mapping():
            members: Mapping[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
            return {name: unrounded(item) for name, item in members.items()}
        case Sequence():
            items: Sequence[Any] = value  # pyright: ignore[reportUnknownVariableType]
            return [unrounded(item) for item in items]
        case _:
            return value
