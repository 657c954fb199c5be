"""What becomes of a call that people have to decide on, and of an answer that does not count."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final

from holdfast.errors.base import HoldfastError


class ApprovalRequired(HoldfastError):
    """A person has to decide first. Recorded as ``waiting``; nothing ran.

    Attributes:
        key: The effect's key.
        reason: Why a decision is needed.
        approval: Names the question, for ``holdfast approve``; empty when none is on record.
        expires_at: When the answer will be no unless somebody gives another (aware, UTC).
    """

    code = "approval-required"

    def __init__(self, key: str, reason: str, approval: str = "", expires_at: datetime | None = None) -> None:
        super().__init__(key, reason, approval, expires_at)
        self.key = key
        self.reason = reason
        self.approval = approval
        self.expires_at = expires_at

    def __str__(self) -> str:
        told = f"effect {self.key!r} waits for approval ({self.reason}); nothing ran. Call again once decided"
        return f"{told}: `holdfast approvals show {self.approval}`" if self.approval else told


ANSWER: Final = "holdfast_answer"
"""The argument under which a model answers: it is no argument of the tool, and never part of the call."""


class InformationRequested(ApprovalRequired):
    """Somebody who has to decide asks for more first. The call waits on, and nothing ran.

    Make the same call again with ``CallContext(answer=InfoAnswer(to=error.to, text=...))``, or answer with
    ``ledger.answer_info``. Unanswered, people may still decide.

    Attributes:
        question: What they ask, in their words.
        by: Who asks.
        to: Names what is asked, for the answer.
    """

    code = "information-requested"

    def __init__(
        self,
        key: str,
        reason: str,
        approval: str,
        expires_at: datetime | None,
        question: str,
        by: str,
        to: str,
    ) -> None:
        super().__init__(key, reason, approval, expires_at)
        self.args = (key, reason, approval, expires_at, question, by, to)
        self.question = question
        self.by = by
        self.to = to

    def __str__(self) -> str:
        return (
            f"effect {self.key!r} waits for approval, and {self.by} asks first: {self.question!r}. "
            f"Nothing ran. Answer {self.to!r} with ledger.answer_info, or with the same call: "
            f"`holdfast approvals show {self.approval}`"
        )

    def for_model(self) -> str:
        """Return what a model has to do: in words that leave nothing to guess."""
        shape = json.dumps({"to": self.to, "text": "..."})
        return (
            "Nothing ran, and nothing is refused: somebody who has to decide on this call asks you first. "
            f'Make the same call again, with the very same arguments and "{ANSWER}": {shape} among them, '
            "your answer as the text. Say what you know, and what you do not."
        )


class ApprovalDenied(HoldfastError):
    """A person decided against it. Nothing ran.

    Attributes:
        key: The effect's key.
        reason: The reason that was given.
    """

    code = "approval-denied"

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return f"effect {self.key!r} was denied ({self.reason}); nothing ran"


class ApprovalExpired(ApprovalDenied):
    """Nobody decided in time, so the answer is no. Nothing ran.

    Attributes:
        key: The effect's key.
        reason: What ran out.
    """

    code = "approval-expired"

    def __str__(self) -> str:
        return f"effect {self.key!r} was not decided on ({self.reason}), so the answer is no; nothing ran"


class ApprovalVoid(HoldfastError):
    """What was approved is not what is on record. The approval was withdrawn, and nothing ran.

    Attributes:
        key: The effect's key.
        why: What does not fit.
    """

    code = "approval-void"

    def __init__(self, key: str, why: str) -> None:
        super().__init__(key, why)
        self.key = key
        self.why = why

    def __str__(self) -> str:
        return (
            f"the approval of effect {self.key!r} does not hold: {self.why}; it was withdrawn, nothing ran. "
            f"Look at `holdfast show {self.key}` and at `holdfast audit verify` before you ask again"
        )


class ApprovalNotFound(HoldfastError, LookupError):
    """There is no such approval, for this tenant. Nothing changed.

    Attributes:
        approval: The id that was asked for.
    """

    code = "approval-not-found"

    def __init__(self, approval: str) -> None:
        super().__init__(approval)
        self.approval = approval

    def __str__(self) -> str:
        return f"there is no approval {self.approval!r} for this tenant; `holdfast approvals` lists them"


class DecisionRefused(HoldfastError):
    """Somebody's answer to a question does not count. It is on record that they gave it; that is all.

    Attributes:
        approval: The question's id; of a review the effect's key.
        kind: ``ended``, ``expired``, ``stale``, ``voted``, ``not_allowed`` or ``step_up``; when somebody asks
            for more, ``owed`` or ``spent``; when an agent answers, ``unasked``.
        why: For people.
    """

    code = "decision-refused"

    def __init__(self, approval: str, kind: str, why: str) -> None:
        super().__init__(approval, kind, why)
        self.approval = approval
        self.kind = kind
        self.why = why

    def __str__(self) -> str:
        where = "holdfast show" if self.approval.startswith("v1:") else "holdfast approvals show"
        told = f"the answer to {self.approval!r} does not count: {self.why}"
        return f"{told}. How it stands: `{where} {self.approval}`"
