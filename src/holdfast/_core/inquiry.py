"""People who may decide ask for more, and the agent answers, within the same question. Pure.

While an answer is owed the question stays what it is: nobody's vote is touched, its time runs on, and only
reminders rest, for it is the agent's turn. The answer is shown to people, so with it the fingerprint moves,
and votes on what was shown before fall away, as they do after an edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from holdfast._core.approval import Approval, InfoRequest
from holdfast._core.approval_text import digest_of, shown_digest
from holdfast._core.approving import Refusal

LONGEST_QUESTION: Final = 2000
SHOWN: Final = "answers"
"""Under this name people are shown what the agent answered."""


def may_request(approval: Approval, most: int) -> Refusal | None:
    """Say why nobody may ask for more about a question now, whoever they are; ``None`` when they may.

    Args:
        most: So many requests at most are made about one question.
    """
    if approval.owed is not None:
        return Refusal("owed", f"{approval.owed.by} has asked already, and the agent owes the answer")
    if len(approval.requests) >= most:
        return Refusal("spent", f"the agent was asked {most} times: approve it, or deny it")
    return None


def requested(approval: Approval, request: InfoRequest) -> Approval:
    """Return it with an answer owed; what people answer to is as it was."""
    return replace(approval, requests=(*approval.requests, request)).noticed("questioned")


def may_answer(approval: Approval, by: str, to: str) -> Refusal | None:
    """Say why an answer does not count; ``None`` when it does.

    Args:
        by: Who answers: only whoever wants the call made has words of theirs shown to people.
        to: The name of what is answered; empty for whatever is owed.
    """
    if by != approval.actor:
        return Refusal("not_allowed", f"{by} has not asked for it, so it is not theirs to answer")
    if approval.owed is None:
        return Refusal("unasked", "nobody waits for an answer")
    if to and to != approval.name_of(approval.owed):
        return Refusal("stale", "that is not what is asked now: look at it again")
    return None


def answered(approval: Approval, answer: str, now: datetime) -> Approval:
    """Return it with what is owed answered: people are shown more, so nobody has voted on that yet."""
    owed = approval.owed
    if owed is None:
        msg = "nothing is owed"
        raise ValueError(msg)
    requests = (*approval.requests[:-1], replace(owed, answer=answer, answered_at=now))
    shown = {**approval.shown, SHOWN: shown_answers(requests)}
    binding = {**approval.binding, "shown": shown_digest(shown)}
    since, is_back = approval.since + (now - owed.at), approval.stage > 0
    after = replace(
        approval,
        requests=requests,
        shown=shown,
        binding=binding,
        digest=digest_of(binding),
        votes=(),
        stage=0,
        since=now if is_back else since,  # reminders go on where they rested; the end stays where it was
        reminded=0 if is_back else approval.reminded,
        is_escalated=approval.is_escalated and not is_back,
    )
    return after.noticed("asked")  # whoever has voted has to hear of it


def shown_answers(requests: Sequence[InfoRequest]) -> list[dict[str, Any]]:
    """Return what people see of requests that were answered."""
    return [
        {"number": one.number, "by": one.by, "question": one.question, "answer": one.answer}
        for one in requests
        if one.answer
    ]
