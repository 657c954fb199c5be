"""CMP-01: no fantasy rollback: what cannot be undone, or not in this way, is found out when it is declared."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Dependency, Ledger, SyncLedger, ToolCall, Undone
from holdfast.errors import InvalidCall, InvalidTool
from promises.ledgers import Book
from promises.shop import ORDER, Shop


def takes_undone(undone: Undone) -> None: ...


def takes_nothing() -> None: ...


def takes_more(undone: Undone, amount: int) -> None: ...


async def takes_undone_async(undone: Undone) -> None: ...


REFUSED = {
    "irreversible-and-undone": ({"reversal": "irreversible", "compensate": takes_undone}, "is irreversible"),
    "reversible-but-how": ({"reversal": "reversible"}, "nothing says how"),
    "compensable-but-how": ({"reversal": "compensable"}, "nothing says how"),
    "unknown-word": ({"reversal": "undoable", "compensate": takes_undone}, "reversal='undoable'"),
    "a-read": ({"safety": "read", "compensate": takes_undone}, "a read changes nothing"),
    "no-function": ({"compensate": "refund"}, "compensate is str"),
    "takes-nothing": ({"compensate": takes_nothing}, "does not take the effect that it undoes"),
    "takes-more": ({"compensate": takes_more}, "wants amount as well"),
}


@pytest.mark.parametrize(("options", "why"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("face", [Ledger, SyncLedger])
def test_a_tool_that_promises_an_undo_that_cannot_be_is_refused(face: Any, options: Any, why: str) -> None:
    """CMP-01: no fantasy rollback; found out when it is declared, not when it is needed."""
    ledger = face("memory://")

    with pytest.raises(InvalidTool, match=why):
        ledger.tool(name="charge", **options)(takes_nothing)


def test_a_compensation_that_is_declared_on_another_ledger_is_refused() -> None:
    """CMP-01: also when this ledger has a tool of the same name, which is not the one that was meant."""
    here, there = SyncLedger("memory://"), SyncLedger("memory://")
    refund = there.tool(name="refund")(takes_undone)

    with pytest.raises(InvalidTool, match="another ledger"):
        here.tool(name="charge", compensate=refund)(takes_nothing)
    here.tool(name="refund")(lambda undone: None)
    with pytest.raises(InvalidTool, match="another ledger"):
        here.tool(name="charge", compensate=refund)(takes_nothing)


def test_a_read_cannot_compensate() -> None:
    """CMP-01: it changes nothing, so it cannot undo anything."""
    ledger = SyncLedger("memory://")
    look = ledger.tool(name="look", safety="read")(takes_undone)

    with pytest.raises(InvalidTool, match="is a read"):
        ledger.tool(name="charge", compensate=look)(takes_nothing)


def test_a_coroutine_cannot_compensate_on_a_blocking_ledger() -> None:
    """CMP-01, INT-06: found out when it is declared, not when it is needed."""
    ledger = SyncLedger("memory://")

    with pytest.raises(InvalidTool, match="is async"):
        ledger.tool(name="charge", compensate=takes_undone_async)(takes_nothing)


def test_a_compensation_along_with_one_call_is_refused_since_nobody_would_remember_it() -> None:
    """CMP-01: nothing is ignored that was declared."""
    with SyncLedger("memory://") as ledger:
        call = ToolCall(workflow_id=ORDER, tool="charge")

        with pytest.raises(InvalidTool, match="compensate"):
            ledger.run(call, takes_nothing, compensate=takes_undone)

        assert ledger.effects() == []


@pytest.mark.kinds("memory", "sync-memory")
async def test_a_compensation_is_not_called_without_an_effect_to_undo(book: Book) -> None:
    """CMP-03: as a tool of its own it would be given nothing."""
    shop = Shop()
    refund = book.tool(shop.undoes("charge"), name="refund")

    with pytest.raises(InvalidCall, match="refund"):
        await refund(ORDER)

    assert shop.happened == []


def test_tools_of_one_system_agree_on_its_limits_whichever_is_declared_first() -> None:
    """RET-16: a system that is only named is the one that is declared in full."""
    strict = Dependency("stripe", failure_rate=0.1)
    with SyncLedger("memory://") as ledger:
        ledger.tool("look", dependency="stripe", safety="read")(lambda: None)
        ledger.tool("charge", dependency=strict)(lambda: None)
        ledger.tool("refund", dependency="stripe")(lambda: None)

        limits = {known.contract.dependency for known in ledger._engine.shared.tools.values()}
        with pytest.raises(
            InvalidTool, match=r"'look' and 'payout' declare different limits for .* 'stripe'"
        ):
            ledger.tool("payout", dependency=Dependency("stripe", breaker=False))(lambda: None)

    assert limits == {strict}
