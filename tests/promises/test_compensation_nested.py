"""CMP-02, CMP-03: whose a call inside a compensation is, and what a compensation is by any other name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import Done, NotDone, Permanent, State, ToolCall, Undone
from holdfast.errors import InvalidCall, InvalidTool
from promises.ledgers import Book, Gate, Place
from promises.shop import ORDER, Shop


def calling(book: Book, notify: Any, shop: Shop) -> Any:
    """A compensation that calls another guarded tool of its workflow, in the way of this kind of ledger."""

    def plain(undone: Undone) -> None:
        notify(item=f"{undone.args['item']} is off")
        shop.happened.append("undo ship")

    async def coroutine(undone: Undone) -> None:
        await notify(item=f"{undone.args['item']} is off")
        shop.happened.append("undo ship")

    return plain if book.is_sync else coroutine


async def test_a_compensation_may_call_other_tools_and_what_they_do_is_not_undone(place: Place) -> None:
    """CMP-03: they belong to the undoing, also when it has to be gone on with."""
    shop, book = Shop(), place.open()
    notify = book.ledger.tool(name="notify", compensate=book.handler(shop.undoes("notify")))(
        book.handler(shop.does("notify"))
    )
    ship = book.tool(shop.does("ship"), name="ship", compensate=calling(book, notify, shop))
    await ship(ORDER, item="book")

    await book.compensate(ORDER, reason="sold out")
    again = await book.compensate(ORDER, reason="gone on with")

    assert shop.happened == ["ship", "notify", "undo ship"]
    assert [(fate.tool, fate.fate) for fate in again.effects] == [("ship", "undone")]


async def test_a_compensation_that_called_another_tool_and_then_failed_is_not_taken_for_done(
    place: Place,
) -> None:
    """CMP-03: the tool that it called has succeeded; that proves nothing of the undoing itself."""
    shop, book = Shop(), place.open()
    down = [NotDone("refunds are down")]
    notify = book.ledger.tool(name="notify")(book.handler(shop.does("notify")))

    def refunds(undone: Undone) -> None:
        if down:
            raise down.pop()
        shop.happened.append("undo charge")

    def plain(undone: Undone) -> None:
        notify(item="book")
        refunds(undone)

    async def coroutine(undone: Undone) -> None:
        await notify(item="book")
        refunds(undone)

    refund = book.ledger.tool(name="refund", safety="idempotent", retry=False)(
        plain if book.is_sync else coroutine
    )
    await book.tool(shop.does("charge"), name="charge", compensate=refund)(ORDER, item="book")

    first = await book.compensate(ORDER, reason="sold out")
    again = await book.compensate(ORDER, reason="gone on with")

    assert [fate.fate for fate in first.effects] == ["failed"]
    assert shop.happened == ["charge", "notify", "undo charge"]
    [fate] = again.undone
    assert (await book.effect(fate.by)).tool == "refund"


def rebooking(book: Book, pay: Any) -> Any:
    """A compensation that does something in a workflow of its own, in the way of this kind of ledger."""

    def plain(undone: Undone) -> None:
        pay.run("order-124", item="another book")

    async def coroutine(undone: Undone) -> None:
        await pay.run("order-124", item="another book")

    return plain if book.is_sync else coroutine


async def test_what_a_compensation_does_in_another_workflow_is_that_ones_own_and_can_be_undone(
    place: Place,
) -> None:
    """CMP-02: only what it does in the workflow that is undone belongs to the undoing."""
    shop, book = Shop(), place.open()
    pay = book.ledger.tool(name="pay", compensate=book.handler(shop.undoes("pay")))(
        book.handler(shop.does("pay"))
    )
    ship = book.tool(shop.does("ship"), name="ship", compensate=rebooking(book, pay))
    await ship(ORDER, item="book")

    await book.compensate(ORDER, reason="sold out")
    [paid] = await book.effects(workflow_id="order-124")
    report = await book.compensate("order-124", reason="changed her mind")

    assert paid.undoes is None
    assert [(fate.tool, fate.fate) for fate in report.effects] == [("pay", "undone")]
    assert shop.happened == ["ship", "pay", "undo pay"]


async def test_a_compensation_obeys_the_stop_of_another_workflow(place: Place) -> None:
    """CMP-08: a person looks after that one; being undone here is no pass there."""
    shop, book = Shop(), place.open()
    pay = book.ledger.tool(name="pay")(book.handler(shop.does("pay")))
    ship = book.tool(shop.does("ship"), name="ship", compensate=rebooking(book, pay))
    await ship(ORDER, item="book")
    gift = book.tool(
        shop.does("gift"),
        name="gift",
        compensate=book.handler(shop.undoes("gift", Permanent("it is gone"))),
    )
    await gift("order-124", item="book")
    await book.compensate("order-124", reason="sold out")
    report = await book.compensate(ORDER, reason="sold out")

    assert [fate.fate for fate in report.effects] == ["failed"]
    assert "pay" not in shop.happened


async def test_a_compensation_that_was_renamed_meanwhile_is_still_the_same(place: Place) -> None:
    """CMP-03: undoing twice would be worse than not being sure; the name under which it began still counts."""
    shop = Shop()

    def opens(name: str) -> tuple[Book, Any]:
        """Return a ledger of a release in which what gives the money back is called *name*, and its charge."""
        book = place.open()
        refund = book.ledger.tool(name=name)(
            book.handler(shop.undoes("charge", ConnectionResetError("the answer was lost")))
        )
        return book, book.tool(shop.does("charge"), name="charge", compensate=refund)

    (old, charge), (new, _) = opens("refund"), opens("refund.v2")
    await charge(ORDER, item="book")
    await old.compensate(ORDER, reason="sold out")
    [doubt] = await old.effects(state="unknown")

    unsure = await new.compensate(ORDER, reason="after the release")
    await new.resolve(doubt.key, Done("refunded"), by="ops@shop.example", reason="seen in the dashboard")
    settled = await new.compensate(ORDER, reason="settled")

    assert [(fate.fate, fate.by) for fate in unsure.effects] == [("failed", doubt.key)]
    assert "refund is unknown" in unsure.effects[0].why
    assert [(fate.fate, fate.by) for fate in settled.effects] == [("undone", doubt.key)]
    assert shop.counts["undo charge"] == 1


async def test_a_compensation_is_the_same_under_its_new_name_even_while_both_releases_undo(
    place: Place,
) -> None:
    """CMP-03: a rolling release; what the old one begins in the midst of the new one's pass counts as well."""
    shop, gate = Shop(), Gate()

    def opens(name: str, **undoing: Any) -> tuple[Book, Any, Any]:
        book = place.open()
        refund = book.ledger.tool(name=name)(
            book.handler(shop.undoes("charge", ConnectionResetError("the answer was lost")))
        )
        charge = book.tool(shop.does("charge"), name="charge", compensate=refund)
        ship = book.tool(shop.does("ship"), name="ship", compensate=shop.undoes("ship", **undoing))
        return book, charge, ship

    (new, charge, ship), (old, _, _) = opens("refund.v2", gate=gate), opens("refund")
    await charge(ORDER, item="book")
    await ship(ORDER, item="book")
    [first] = [effect for effect in await old.effects() if effect.tool == "charge"]
    undoing = asyncio.ensure_future(new.compensate(ORDER, reason="sold out"))
    await gate.reached()
    begun = asyncio.ensure_future(old.compensate(ORDER, reason="sold out"))
    gate.open()
    await asyncio.gather(undoing, begun)

    assert shop.counts["undo charge"] == 1
    tries = [effect for effect in await new.effects() if effect.undoes == first.key]
    assert [effect.state for effect in tries] == [State.UNKNOWN]


async def test_nothing_else_goes_by_the_name_of_undoing(place: Place) -> None:
    """CMP-02: a tool of that name could take a compensation's place on record."""
    book = place.open()

    with pytest.raises(InvalidTool, match="is named as what holdfast does itself"):
        book.ledger.tool(name="holdfast:compensate")(book.handler(Shop().does("ship")))
    with pytest.raises(InvalidCall, match="is named as what holdfast does itself"):
        await book.run(
            ToolCall(workflow_id=ORDER, tool="holdfast:compensate", args={}), handler=book.handler(print)
        )

    assert await book.effects() == []
