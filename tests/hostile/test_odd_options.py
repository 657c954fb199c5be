"""Options out of every range are told as such, whatever the database would make of them."""

from __future__ import annotations

import pytest

from holdfast import Settings, SyncLedger, ToolCall
from holdfast.errors import InvalidCall, InvalidTool

CALL = ToolCall(workflow_id="order-1", tool="charge", args={"amount": 100})


def charge(amount: int) -> int:
    return amount


@pytest.mark.parametrize(
    ("do", "error", "says"),
    [
        (lambda ledger: ledger.effects(limit=2**63), InvalidCall, "from 1 to"),
        (lambda ledger: ledger.run(CALL, charge, wait=10**400), InvalidTool, "at most 100 years"),
        (lambda ledger: ledger.run(CALL, charge, timeout=10**400), InvalidTool, "at most 100 years"),
        (lambda ledger: ledger.workflow_state("\ud800"), InvalidCall, "printable"),
        (lambda ledger: ledger.workflow_state(object()), InvalidCall, "printable"),
        (lambda ledger: ledger.turn([CALL], handlers=[charge]), InvalidCall, "by tool name"),
        (lambda _: Settings(audit_key="\ud800" * 20), InvalidTool, "surrogate"),
    ],
    ids=["limit", "wait", "timeout", "workflow", "workflow-object", "handlers", "audit-key"],
)
def test_it_is_refused_by_name_and_nothing_runs(do, error, says: str) -> None:
    with SyncLedger("sqlite:///:memory:") as ledger:
        with pytest.raises(error, match=says):
            do(ledger)
        assert ledger.effects() == []
