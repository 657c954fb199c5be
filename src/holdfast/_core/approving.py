"""How a question moves: who may answer it, what an answer comes to, and what time does to it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from holdfast._core.approval import (
    OPEN,
    Approval,
    ApprovalState,
    Edit,
    HandOver,
    Vote,
)
from holdfast._core.approval_text import digest_of, shown_digest
from holdfast._core.chain import Stage
from holdfast._core.people import Directory, Principal, Standing, is_fit, proved, standings

_REASON_LENGTH: Final = 2000


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody's answer does not count. Nothing changed.

    Attributes:
        code: See :class:`holdfast.errors.DecisionRefused`.
        why: For people, without any payload.
    """

    code: str
    why: str


def may_decide(
    approval: Approval,
    principal: Principal,
    now: datetime,
    *,
    directory: Directory | None,
    digest: str,
    approves: bool = True,
) -> Standing | Refusal:
    """Say in whose name *principal* may answer the question as it stands, or why not.

    Args:
        digest: The fingerprint of what they saw.
        approves: A no needs no limit that covers it, nor to have signed in anew.
    """
    if approval.state is not ApprovalState.PENDING:
        return Refusal("ended", _ended(approval))
    if now >= approval.expires_at:
        return Refusal("expired", "nobody answered in time, so the answer was no")
    if digest != approval.digest:
        return Refusal("stale", "this is not what was shown: the question has changed, look at it again")
    stage = approval.stage
    return standing_of(approval, principal, now, directory=directory, stage=stage, approves=approves)


def standing_of(  # noqa: C901 - one line per reason
    approval: Approval,
    principal: Principal,
    now: datetime,
    *,
    directory: Directory | None,
    stage: int,
    approves: bool = True,
    acts_for: str | None = None,
) -> Standing | Refusal:
    """Say in whose name *principal* may answer in a stage, whatever state the question is in.

    Args:
        acts_for: In this one's place (empty: in their own) or not at all; ``None``: in anybody's.
    """
    asked, barred = approval.chain.stages[stage], _barred(approval, directory)
    taken = {vote.acts_for for vote in approval.votes} | {vote.person for vote in approval.votes}
    if not principal.is_human:
        return Refusal("not_allowed", "a program's answer is no person's")
    if approves and approval.chain.risk == "high" and not principal.sees_all:
        return Refusal("step_up", "the risk is high: decide where the whole of it can be read")
    if approves and not proved(asked.step_up, principal, now):
        return Refusal("step_up", "sign in again, as this question needs it")
    if principal.id in taken:
        return Refusal("voted", f"{principal.id} has answered already, and everybody has one vote")
    if principal.id in barred:
        return Refusal("not_allowed", f"{principal.id} has asked for it, and nobody decides on their own")
    handed = [one.frm for one in approval.handed if one.to == principal.id]
    found = standings(principal, directory, now, handed)
    if not found:
        return Refusal("not_allowed", f"{principal.id} is nobody who may decide")
    free = [s for s in found if s.acts_for not in barred and not (s.acts_for and s.acts_for in taken)]
    if acts_for is not None:
        free = [s for s in free if s.acts_for == acts_for]
    called = [s for s in free if _is_called(approval, asked, s)]
    for standing in called:
        if not approves or not asked.limited or standing.covers(approval.amount):
            return standing
    if called:
        return Refusal("not_allowed", f"what is at stake is more than {principal.id} may decide on")
    return Refusal("not_allowed", f"this takes the role {asked.role!r}, which {principal.id} has not")


def _is_called(approval: Approval, asked: Stage, standing: Standing) -> bool:
    if not asked.role or asked.role in standing.roles:
        return True
    return approval.is_escalated and asked.escalate in standing.roles


def _barred(approval: Approval, directory: Directory | None) -> set[str]:
    """Return whoever must not decide: who asked, for whom, whose agent it is, and whom the chain names."""
    initiators = {approval.actor, str(approval.binding.get("on_behalf_of") or "")} - {""}
    barred = initiators | set(approval.chain.apart)
    if directory is not None:
        for person in directory.people():
            theirs = {person.id, *person.agents, *person.accounts.values()}
            if theirs & (initiators | set(approval.chain.apart)):  # by whichever name they are left out
                barred.add(person.id)
    return barred


def voted(approval: Approval, vote: Vote, now: datetime) -> Approval:
    """Return what a counted vote comes to: the next stage, an end, or one vote more."""
    after = replace(approval, votes=(*approval.votes, vote))
    if not vote.approves:
        return ended(after, ApprovalState.DENIED, vote.reason or f"{vote.person} said no", now)
    given = sum(one.stage == approval.stage and one.approves for one in after.votes)
    if given < approval.asks.quorum:
        return after
    if approval.stage + 1 < len(approval.chain.stages):
        return begun(replace(after, stage=approval.stage + 1), now).noticed("asked")
    expires_at = now + timedelta(seconds=approval.chain.valid_s)
    approved = replace(after, state=ApprovalState.APPROVED, decided_at=now, expires_at=expires_at)
    return approved.noticed("ended")


def begun(approval: Approval, now: datetime) -> Approval:
    """Return it at the begin of its present stage."""
    expires_at = now + timedelta(seconds=approval.asks.timeout_s)
    return replace(approval, since=now, expires_at=expires_at, reminded=0, is_escalated=False)


def ended(approval: Approval, state: ApprovalState, why: str, now: datetime) -> Approval:
    """Return it ended, for people to hear of: who has heard of a yes hears that nothing comes of it."""
    after = replace(approval, state=state, ended=why[:_REASON_LENGTH])
    if approval.state is ApprovalState.PENDING:
        after = replace(after, decided_at=now)
    return after.noticed("ended")


def handed_over(approval: Approval, frm: str, to: str, now: datetime) -> Approval:
    """Return it with *to* deciding in the place of *frm*."""
    return replace(approval, handed=(*approval.handed, HandOver(frm=frm, to=to, at=now)))


def edited(approval: Approval, args_text: str, by: str, now: datetime) -> Approval:
    """Return it as a question about other arguments: nobody has answered that one yet."""
    shown = {**approval.shown, "args": args_text, "edited_by": by}
    binding = {**approval.binding, "args": args_text, "shown": shown_digest(shown)}
    edit = Edit(by=by, at=now, digest=approval.digest, args=approval.binding["args"])
    after = replace(
        approval,
        binding=binding,
        digest=digest_of(binding),
        shown=shown,
        votes=(),
        stage=0,
        edits=(*approval.edits, edit),
    )
    return begun(after, now)


def due_at(approval: Approval) -> datetime | None:
    """Return when time changes something about it; ``None`` once nothing will."""
    if approval.state not in OPEN:
        return None
    if approval.state is ApprovalState.APPROVED:
        return approval.expires_at
    if approval.owed is not None:  # it is the agent's turn, and no person's
        return approval.expires_at
    stage, moments = approval.asks, [approval.expires_at]
    if approval.reminded < len(stage.remind_s):
        moments.append(approval.since + timedelta(seconds=sorted(stage.remind_s)[approval.reminded]))
    if stage.escalate_s is not None and not approval.is_escalated:
        moments.append(approval.since + timedelta(seconds=stage.escalate_s))
    return min(moments)


def lapsed(approval: Approval, now: datetime) -> Approval | None:
    """Return what time has made of it by *now*, one thing at a time; ``None`` when nothing is due."""
    at = due_at(approval)
    if at is None or now < at:
        return None
    if now >= approval.expires_at:
        if approval.state is ApprovalState.APPROVED:
            return ended(
                approval, ApprovalState.EXPIRED, "it was approved, and the call was not made in time", now
            )
        return ended(approval, ApprovalState.EXPIRED, "nobody answered in time, so the answer is no", now)
    stage = approval.asks
    escalates = stage.escalate_s is not None and not approval.is_escalated
    if escalates and now >= approval.since + timedelta(seconds=stage.escalate_s or 0.0):
        return replace(approval, is_escalated=True).noticed("escalated")
    return replace(approval, reminded=approval.reminded + 1).noticed("reminded")


def still_counts(approval: Approval, now: datetime, directory: Directory | None) -> str:
    """Say why votes that were counted would not be any more, looked up anew; empty when all would.

    A role that was taken away, a limit that was lowered, somebody who has left: it is asked again.
    """
    if directory is None:
        return ""
    alone = replace(approval, votes=(), is_escalated=True)
    for vote in approval.votes:
        person = directory.find(vote.person)
        if person is None or not is_fit(person, now):
            return f"{vote.person} may not decide any more"
        principal = Principal(
            id=vote.person, method=vote.method, at=vote.proved_at, mfa=vote.mfa, sees_all=True
        )
        found = standing_of(
            alone, principal, vote.at, directory=directory, stage=vote.stage, acts_for=vote.acts_for
        )
        if isinstance(found, Refusal):
            return f"{vote.person} may not decide on it any more"
    return ""


def _ended(approval: Approval) -> str:
    who = approval.votes[-1].person if approval.votes else ""
    by = f" by {who}" if who and approval.state is not ApprovalState.EXPIRED else ""
    return f"already {approval.state}{by}"
