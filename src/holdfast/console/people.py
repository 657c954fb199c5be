"""Who a visitor is to the approval core. What they may decide, the core says; pages only show it."""

from __future__ import annotations

from datetime import datetime

from holdfast._core.approval import Approval
from holdfast._core.approving import Refusal, may_decide
from holdfast._core.people import Directory, Principal
from holdfast.console.access import Role, Visitor
from holdfast.ledger import Ledger


def principal_of(visitor: Visitor) -> Principal:
    """Return the visitor as somebody who decides, with what they have proved and no roles of their own."""
    return Principal(id=visitor.id, method="console", at=visitor.auth_time, mfa=visitor.mfa)


def directory_of(ledger: Ledger) -> Directory | None:
    """Return the people of a ledger; ``None`` when it has none."""
    return ledger._engine.parts.people  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def refusal(
    ledger: Ledger, visitor: Visitor, approval: Approval, now: datetime, *, approves: bool = True
) -> Refusal | None:
    """Return why the visitor's answer to a question as it stands would not count; ``None`` when it would."""
    if Role.APPROVER not in visitor.roles:
        return Refusal("not_allowed", "you are no approver at this console")
    found = may_decide(
        approval,
        principal_of(visitor),
        now,
        directory=directory_of(ledger),
        digest=approval.digest,
        approves=approves,
    )
    return found if isinstance(found, Refusal) else None
