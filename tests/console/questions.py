"""A refund desk: what its agents ask, and the people who decide."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from holdfast import CallContext, Chain, Directory, Person, Stage, SyncLedger, ToolCall
from holdfast._core.people import Principal
from holdfast.console import Role, Visitor
from holdfast.errors import ApprovalRequired
from holdfast.ledger import Approval
from holdfast.ports import Ask

PEOPLE = Directory(
    [
        Person(id="ana", roles={"finance"}, limits={"eur": 100_000}),
        Person(id="ben", roles={"finance"}, limits={"eur": 20_000}),
        Person(id="olga", roles={"owner"}, agents={"refund-desk"}),
    ]
)
ANA = Visitor("ana", frozenset({Role.APPROVER}), method="test")
BEN = Visitor("ben", frozenset({Role.APPROVER, Role.VIEWER}), method="test")
OLGA = Visitor("olga", frozenset({Role.APPROVER}), method="test")

WHY = CallContext(
    belief="The parcel came back damaged.",
    confidence=0.8,
    uncertainty="Nobody has seen the photos.",
    on_decline="I tell the customer that a colleague will call.",
    inferred={"amount": "the sum of both receipts"},
)
FINANCE = Chain(name="finance", stages=(Stage(role="finance"),))
BOTH = Chain(name="both", stages=(Stage(role="finance", quorum=2),))
HIGH = Chain(name="high", stages=(Stage(role="finance"),), risk="high")


def refund(**args: Any) -> dict[str, Any]:
    """What would be done."""
    return {"id": "re_1", "amount": args.get("amount")}


def call_of(
    args: dict[str, Any], workflow_id: str = "order-1", context: CallContext | None = WHY
) -> ToolCall:
    return ToolCall(workflow_id=workflow_id, tool="stripe.refund", args=args, context=context)


def options(chain: Chain = FINANCE, reason: str = "more than 100.00 EUR") -> dict[str, Any]:
    return {
        "requires_approval": lambda _: Ask(reason, rule="amount_over_100", chain=chain),
        "summary": lambda call: f"Refund {call.args.get('amount')} to {call.args.get('customer')}",
    }


def ask(
    ledger: SyncLedger,
    *,
    chain: Chain = FINANCE,
    reason: str = "more than 100.00 EUR",
    workflow_id: str = "order-1",
    actor: str = "refund-desk",
    context: CallContext | None = WHY,
    **args: Any,
) -> Approval:
    """Ask people about a refund; return the question."""
    call = call_of(args or {"customer": "cus_9", "amount": 12_000}, workflow_id, context)
    with suppress(ApprovalRequired):
        ledger.scoped(actor=actor).run(call, refund, **options(chain, reason))
    return ledger.approvals(state="pending", workflow_id=workflow_id, limit=1000)[-1]


def used(ledger: SyncLedger, workflow_id: str = "order-0", **args: Any) -> Approval:
    """Have a refund asked about, approved and made."""
    question = ask(ledger, workflow_id=workflow_id, **args)
    ledger.approve(question.id, by=Principal(id="ana"), digest=question.digest)
    call = call_of(args or {"customer": "cus_9", "amount": 12_000}, workflow_id)
    ledger.scoped(actor="refund-desk").run(call, refund, **options())
    return ledger.approval(question.id)
