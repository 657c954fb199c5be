"""Whether people decide, or merely click: what their answers come to, and what looks wrong about them. Pure.

Automation bias is what oversight dies of: the hundredth question is answered without being read. It shows in
how quickly answers follow each other, in streaks of yes, and in what becomes of questions to be denied.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from holdfast._core.approval import Approval, ApprovalState, Vote
from holdfast._core.reviews import ReviewVerdict

_DECIDED: Final = frozenset({ApprovalState.APPROVED, ApprovalState.CONSUMED, ApprovalState.DENIED})
_APPROVED: Final = frozenset({ApprovalState.APPROVED, ApprovalState.CONSUMED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Vigilance:
    """From when on answers look like clicks.

    Attributes:
        fast_s: An answer that comes sooner after the one before it, or after the question, was not read.
        streak: So many fast answers in a row are a finding.
        yes_streak: So is a row of so many times yes, however slow.
    """

    fast_s: float = 2.0
    streak: int = 10
    yes_streak: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewer:
    """How one person answers.

    Attributes:
        median_s: Of the times that their answers took; ``None`` without any.
        fast: How many took less than a person needs to read.
        longest_fast: The longest row of those.
        longest_yes: The longest row of yes.
        canaries: How many planted questions they were given an answer to, and *caught* of these they denied.
    """

    person: str
    answers: int
    approved: int
    denied: int
    edited: int
    median_s: float | None
    fast: int
    longest_fast: int
    longest_yes: int
    canaries: int
    caught: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """Something about the way in which people decide that should be looked at.

    Attributes:
        code: ``fast_streak``, ``yes_streak`` or ``canary_approved``.
        person: Whose answers.
        message: For people.
    """

    code: str
    person: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OversightReport:
    """What people were asked in a while, and how they answered.

    Attributes:
        calls: How many effects there were in all: what was asked is a part of them.
        asked: How many questions; canaries do not count, here and below.
        escalated: In how many of them further people were called in.
        asked_back: In how many of them somebody asked the agent for more.
        approved: What people said yes to; *edited* of these after they had changed the arguments.
        overridden: What they denied or changed, before or afterwards: where they knew better than the agent.
        reviewed: Of the calls that rules let pass, how many people have looked at afterwards; *wrong* of
            these ought not to have passed.
        pending: What waits now; *oldest_s* for how long at most.
        p50_s: Of the times from question to decision; ``None`` without any. So is *p95_s*.
    """

    since: datetime
    until: datetime
    calls: int
    asked: int
    escalated: int
    asked_back: int
    approved: int
    denied: int
    edited: int
    expired: int
    withdrawn: int
    pending: int
    oldest_s: float | None
    p50_s: float | None
    p95_s: float | None
    reviewers: tuple[Reviewer, ...]
    concerns: tuple[Concern, ...]
    reviewed: int = 0
    wrong: int = 0

    @property
    def escalation_rate(self) -> float | None:
        """The share of calls that people were asked about."""
        return self.asked / self.calls if self.calls else None

    @property
    def ask_back_rate(self) -> float | None:
        """The share of questions in which somebody asked the agent for more."""
        return self.asked_back / self.asked if self.asked else None

    @property
    def approval_rate(self) -> float | None:
        """The share of decisions that were a yes."""
        decided = self.approved + self.denied
        return self.approved / decided if decided else None

    @property
    def overridden(self) -> int:
        """What people denied or changed, and what they found wrong afterwards."""
        return self.denied + self.edited + self.wrong

    @property
    def override_rate(self) -> float | None:
        """The share of decisions, reviews among them, in which people knew better than the agent."""
        decided = self.approved + self.denied + self.reviewed
        return self.overridden / decided if decided else None


def report(
    approvals: Iterable[Approval],
    *,
    calls: int,
    since: datetime,
    until: datetime,
    vigilance: Vigilance,
    reviews: Sequence[ReviewVerdict] = (),
) -> OversightReport:
    """Return what *approvals*, all that were asked between *since* and *until*, come to.

    Args:
        reviews: What people say of the calls of that time that they have looked at afterwards.
    """
    everything = tuple(approvals)
    real = [one for one in everything if not one.is_canary]
    times = sorted(_took_s(one) for one in real if one.state in _DECIDED and one.decided_at is not None)
    waiting = [(until - one.created_at).total_seconds() for one in real if one.state is ApprovalState.PENDING]
    reviewers = _reviewers(everything, vigilance)
    return OversightReport(
        since=since,
        until=until,
        calls=calls,
        asked=len(real),
        escalated=sum(one.is_escalated for one in real),
        asked_back=sum(bool(one.requests) for one in real),
        approved=sum(one.state in _APPROVED for one in real),
        denied=sum(one.state is ApprovalState.DENIED for one in real),
        edited=sum(bool(one.edits) and one.state in _APPROVED for one in real),
        expired=sum(one.state is ApprovalState.EXPIRED for one in real),
        withdrawn=sum(one.state is ApprovalState.WITHDRAWN for one in real),
        pending=len(waiting),
        oldest_s=max(waiting, default=None),
        p50_s=percentile(times, 0.5),
        p95_s=percentile(times, 0.95),
        reviewers=reviewers,
        concerns=tuple(_concerns(everything, reviewers, vigilance)),
        reviewed=len(reviews),
        wrong=sum(one == "wrong" for one in reviews),
    )


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the value that *share* of *ordered* do not exceed (nearest rank); ``None`` without any."""
    if not ordered:
        return None
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def _took_s(approval: Approval) -> float:
    decided_at = approval.decided_at or approval.updated_at
    return (decided_at - approval.created_at).total_seconds()


def _reviewers(approvals: Iterable[Approval], vigilance: Vigilance) -> tuple[Reviewer, ...]:
    answers: dict[str, list[tuple[Vote, Approval]]] = defaultdict(list)
    for approval in approvals:
        for vote in approval.votes:
            answers[vote.person].append((vote, approval))
    return tuple(_reviewer(person, answers[person], vigilance) for person in sorted(answers))


def _reviewer(person: str, answers: list[tuple[Vote, Approval]], vigilance: Vigilance) -> Reviewer:
    answers.sort(key=lambda one: one[0].at)
    times: list[float] = []
    before: datetime | None = None
    for vote, approval in answers:
        asked = (vote.at - approval.created_at).total_seconds()
        times.append(asked if before is None else min(asked, (vote.at - before).total_seconds()))
        before = vote.at
    is_fast = [took < vigilance.fast_s for took in times]
    planted = [(vote, approval) for vote, approval in answers if approval.is_canary]
    return Reviewer(
        person=person,
        answers=len(answers),
        approved=sum(vote.approves for vote, _ in answers),
        denied=sum(not vote.approves for vote, _ in answers),
        edited=sum(any(edit.by == person for edit in approval.edits) for _, approval in answers),
        median_s=percentile(sorted(times), 0.5),
        fast=sum(is_fast),
        longest_fast=longest(is_fast),
        longest_yes=longest([vote.approves for vote, _ in answers]),
        canaries=len(planted),
        caught=sum(not vote.approves for vote, _ in planted),
    )


def longest(row: Sequence[bool]) -> int:
    """Return the length of the longest run of truth in *row*."""
    best = here = 0
    for true in row:
        here = here + 1 if true else 0
        best = max(best, here)
    return best


def _concerns(
    approvals: Iterable[Approval], reviewers: Iterable[Reviewer], vigilance: Vigilance
) -> Iterable[Concern]:
    for one in reviewers:
        if one.longest_fast >= vigilance.streak:
            message = f"{one.longest_fast} answers in a row, each in less than {vigilance.fast_s:g} s"
            yield Concern(code="fast_streak", person=one.person, message=message)
        if one.longest_yes >= vigilance.yes_streak:
            message = f"{one.longest_yes} times yes in a row"
            yield Concern(code="yes_streak", person=one.person, message=message)
    for approval in approvals:
        if approval.is_canary:
            for vote in approval.votes:
                if vote.approves:
                    message = f"said yes to the planted question {approval.id}"
                    yield Concern(code="canary_approved", person=vote.person, message=message)


def golden_case(approval: Approval) -> Mapping[str, Any] | None:
    """Return a decision in which people knew better than the agent, as a case to test agents with.

    Shape: ``id``, ``input`` (tool, args, context, called before), ``expected`` (``decision``: ``deny`` or
    ``edit``, and the args after an edit), ``reason``, ``by``, ``at`` and ``rule``.

    Returns:
        ``None`` where they did not.
    """
    is_edited = bool(approval.edits) and approval.state in _APPROVED
    if approval.is_canary or not (approval.state is ApprovalState.DENIED or is_edited):
        return None
    vote = next((vote for vote in reversed(approval.votes) if vote.approves is is_edited), None)
    if vote is None:
        return None
    first = approval.edits[0].args if approval.edits else approval.binding["args"]
    expected: dict[str, Any] = {"decision": "edit" if is_edited else "deny"}
    if is_edited:
        expected["args"] = approval.args
    return {
        "id": approval.id,
        "input": {
            "tool": approval.tool,
            "args": _plain(first),
            "context": approval.shown.get("context"),
            "called": approval.shown.get("called"),
        },
        "expected": expected,
        "reason": vote.reason,
        "by": vote.person,
        "at": vote.at.isoformat(),
        "rule": approval.rule,
    }


def _plain(text: str) -> Any:
    return json.loads(text)
