"""CMP-01 to CMP-03: what was done is undone by other effects, newest first, once; and what was not is said."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any
from urllib.error import HTTPError

import pytest

from holdfast import NotDone, Permanent, RetryPolicy, State, ToolCall, Undone
from holdfast.errors import (
    ApprovalRequired,
    EffectCancelled,
    InvalidCall,
    WorkflowStopped,
)
from holdfast.ledger.urls import open_store
from promises.ledgers import HASTY, Book, Gate, Place
from promises.shop import ORDER, STEPS, Shop

NEWEST_FIRST = ["ship", "charge", "reserve"]


async def test_effects_are_undone_newest_first_and_each_once_however_often_that_is_asked_for(
    book: Book,
) -> None:
    """CMP-02, CMP-03."""
    shop = Shop()
    await shop.sells(book)

    report = await book.compensate(ORDER, reason="the customer changed her mind")
    again = await book.compensate(ORDER, reason="to be sure")

    assert shop.happened == [*STEPS, "undo ship", "undo charge", "undo reserve"]
    assert [fate.tool for fate in report.undone] == NEWEST_FIRST
    assert again == report
    assert not report.needs_review
    originals = [await book.effect(fate.key) for fate in report.effects]
    assert [effect.state for effect in originals] == [State.COMPENSATED] * 3
    assert (await book.verify()).ok


async def test_what_was_undone_is_not_done_again_by_the_same_call(book: Book) -> None:
    """CMP-03: it is answered from the record, which says that it was undone."""
    shop = Shop()
    await shop.sells(book, "charge")
    await book.compensate(ORDER, reason="sold out")

    call = ToolCall(workflow_id=ORDER, tool="charge", args={"item": "book"})
    receipt = await book.call(call)

    assert (receipt.replayed, receipt.state) == (True, State.COMPENSATED)
    assert shop.happened == ["charge", "undo charge"]


async def test_effects_are_undone_in_the_order_in_which_they_ended_not_in_which_they_are_on_record(
    place: Place,
) -> None:
    """CMP-02: a step that had to be tried again counts from its success, one in doubt not from its settling."""
    shop, book = Shop(), place.open(settings=HASTY)
    tries = [NotDone("sold out"), None]

    def reserve(item: str) -> None:
        if error := tries.pop(0):
            raise error

    async def doubtful() -> None:
        with pytest.raises(RuntimeError):
            await charge(ORDER, item="book")

    first = book.tool(reserve, name="reserve", compensate=book.handler(shop.undoes("reserve")))
    charge = book.tool(
        shop.does("charge", raises=RuntimeError("odd")),
        name="charge",
        compensate=book.handler(shop.undoes("charge")),
    )
    with pytest.raises(NotDone):
        await first(ORDER, item="book")
    await doubtful()
    await shop.opens(book, "ship")["ship"](ORDER, item="book")
    await first(ORDER, item="book")
    [doubt] = await book.effects(state="unknown")
    await book.observe(doubt.key, "done")

    report = await book.compensate(ORDER, reason="the customer changed her mind")

    assert [fate.tool for fate in report.undone] == ["reserve", "ship", "charge"]
    assert shop.happened[2:] == ["undo reserve", "undo ship", "undo charge"]


async def test_a_compensation_is_told_all_that_is_known_of_what_it_undoes(book: Book) -> None:
    """CMP-04: enough to refer to it: arguments, result, the outside's name for it, the key that was sent along."""
    shop = Shop()
    charge = book.tool(
        shop.does("charge"),
        name="charge",
        intent="take_money",
        external_id="id",
        compensate=book.handler(shop.undoes("charge")),
    )
    await charge(ORDER, item="book")

    report = await book.compensate(ORDER, reason="sold out")

    [fate] = report.undone
    assert shop.told == [
        Undone(
            key=fate.key,
            idem_key=fate.key.removeprefix("v1:"),
            workflow_id=ORDER,
            tool="charge",
            intent="take_money",
            args={"item": "book"},
            result={"id": "charge-1", "item": "book"},
            external_id="charge-1",
        )
    ]
    assert (fate.intent, fate.reversal, fate.external_id) == ("take_money", "compensable", "charge-1")


async def test_the_ledger_links_what_was_undone_with_what_undid_it(book: Book) -> None:
    """CMP-03, CMP-05: two effects on record, each names the other, in trails that verify."""
    await Shop().sells(book, "charge")

    report = await book.compensate(ORDER, reason="sold out")

    [fate] = report.undone
    undoing, undone = await book.effect(fate.by), await book.effect(fate.key)
    assert (undoing.tool, undoing.undoes, undoing.state) == ("charge:compensate", undone.key, State.SUCCEEDED)
    assert undoing.workflow_id == undone.workflow_id == ORDER
    assert undoing.result == {"undone": "charge"}
    claimed = (await book.audit(undoing.key))[0]
    assert (claimed.event, claimed.details["undoes"]) == ("claim", undone.key)
    told = await book.audit(undone.key)
    assert [event.event for event in told] == ["claim", "succeed", "note", "compensate", "note"]
    assert told[2].details["why"] == "being undone: sold out"
    assert told[3].details["by_effect"] == undoing.key
    assert (await book.verify()).ok


async def test_the_report_says_what_stands_what_was_undone_and_what_never_was(book: Book) -> None:
    """CMP-01, CMP-02: with the ids to find it by; no effect of the workflow is left out."""
    shop = Shop()
    shop_tools = shop.opens(book, "reserve")
    mail = book.tool(shop.does("mail"), name="mail", external_id="id")
    ship = book.tool(shop.does("ship", raises=Permanent("no such address")), name="ship")
    gift = book.tool(shop.does("gift", raises=NotDone("closed")), name="gift")
    look = book.tool(shop.does("look"), name="look", safety="read")
    await look(ORDER, item="book")
    await shop_tools["reserve"](ORDER, item="book")
    await mail(ORDER, item="book")
    for run, error in ((ship, Permanent), (gift, NotDone)):
        with pytest.raises(error):
            await run(ORDER, item="book")

    report = await book.compensate(ORDER, reason="cannot be sent")

    found = {fate.tool: (fate.fate, fate.reversal, fate.external_id) for fate in report.effects}
    assert found == {
        "gift": ("called_off", "irreversible", None),
        "ship": ("never_happened", "irreversible", None),
        "mail": ("stands", "irreversible", "mail-1"),
        "reserve": ("undone", "compensable", None),
    }
    on_record = {effect.tool: effect.key for effect in await book.effects(workflow_id=ORDER)}
    assert {fate.tool: fate.key for fate in report.effects}.items() <= on_record.items()
    assert [(fate.tool, fate.why) for fate in report.stands] == [
        ("mail", "its tool declares no compensation")
    ]
    assert not report.needs_review


async def test_what_is_not_declared_here_stands_for_that_reason_until_a_person_has_seen_to_it(
    place: Place,
) -> None:
    """CMP-01, CMP-08: another process knew how; this one does not claim that it cannot be undone, and asks."""
    shop, alerts = Shop(), []
    knowing, book = place.open(), place.open(on_alert=alerts.append)
    await shop.sells(knowing, "charge")

    report = await book.compensate(ORDER, reason="sold out")
    [queued] = await book.workflows(status="needs_review")
    undone = await knowing.compensate(ORDER, reason="where it is declared")

    [fate] = report.stands
    assert (fate.fate, fate.why) == ("stands", "its tool is not declared on this ledger")
    assert report.needs_review
    assert queued.stopped == "could not be undone wholly: charge stands"
    assert [(alert.code, alert.subject) for alert in alerts] == [("compensation_failed", fate.key)]
    assert ([fate.fate for fate in undone.effects], undone.needs_review) == (["undone"], False)
    assert await book.workflows(status="needs_review") == []


@pytest.mark.parametrize("state", [State.RETRYABLE, State.WAITING])
async def test_what_waits_for_another_attempt_or_for_a_person_is_called_off_for_good(
    book: Book, state: State
) -> None:
    """CMP-02: it is not executed behind the back of those who undo."""
    shop = Shop()
    error = NotDone("closed") if state is State.RETRYABLE else None
    gift = book.tool(
        shop.does("gift", raises=error), name="gift", requires_approval=error is None, retry=False
    )
    with pytest.raises(NotDone if error else ApprovalRequired):
        await gift(ORDER, item="book")
    tried = len(shop.happened)

    report = await book.compensate(ORDER, reason="sold out")

    with pytest.raises(EffectCancelled):
        await gift(ORDER, item="book")
    assert [fate.fate for fate in report.effects] == ["called_off"]
    assert len(shop.happened) == tried
    [effect] = await book.effects()
    assert (effect.state, report.needs_review) == (State.CANCELLED, False)


async def test_nothing_new_starts_in_a_workflow_while_it_is_undone_and_anything_may_afterwards(
    place: Place,
) -> None:
    """CMP-02: in whatever process; what is on record is answered all the while."""
    shop, gate = Shop(), Gate()
    undo = shop.undoes("reserve", gate=gate)
    book, other = place.open(), place.open()
    reserve = book.tool(shop.does("reserve"), name="reserve", compensate=undo)
    await reserve(ORDER, item="book")
    agents = shop.opens(other, "charge", "reserve")

    undoing = asyncio.ensure_future(book.compensate(ORDER, reason="sold out"))
    await gate.reached()
    with pytest.raises(WorkflowStopped, match="being undone: sold out"):
        await agents["charge"](ORDER, item="book")
    replayed = await agents["reserve"](ORDER, item="book")
    elsewhere = await agents["charge"]("order-124", item="book")
    [during] = await other.workflows(status="needs_review")
    gate.open()
    await undoing

    assert during.stopped == "being undone: sold out"
    assert (replayed["id"], elsewhere["id"]) == ("reserve-1", "charge-1")
    assert shop.happened == ["reserve", "charge", "undo reserve"]
    assert (await agents["charge"](ORDER, item="book"))["id"] == "charge-1"
    assert await other.workflows(status="needs_review") == []


class Meanwhile:
    """The store of *place*; before it tells of a workflow for the first time, somebody else acts."""

    def __init__(self, place: Place) -> None:
        self._real = open_store(place.where, HASTY, blocking=place.is_sync, migrate=True)
        self.act: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def workflow(self, tenant: str, workflow_id: str) -> Any:
        act, self.act = self.act, None
        if act is not None:
            done = act()
            _ = await done if inspect.isawaitable(done) else done
        return await self._real.workflow(tenant, workflow_id)


async def test_what_was_done_at_the_last_moment_is_undone_as_well(place: Place) -> None:
    """CMP-02: between the look at the workflow and its stop."""
    shop, store = Shop(), Meanwhile(place)
    book, agent = place.open(store), place.open()
    await shop.sells(book, "reserve")
    shop.opens(book, "charge")
    late = agent.ledger.tool(name="charge")(agent.handler(shop.does("charge")))
    store.act = lambda: late.run(ORDER, item="book")

    report = await book.compensate(ORDER, reason="sold out")

    assert [(fate.tool, fate.fate) for fate in report.effects] == [
        ("charge", "undone"),
        ("reserve", "undone"),
    ]
    assert shop.happened == ["reserve", "charge", "undo charge", "undo reserve"]


async def test_processes_that_undo_the_same_at_once_undo_it_once(place: Place) -> None:
    """CMP-03, IDE-18."""
    shop, gate = Shop(), Gate()
    undo = shop.undoes("ship", gate=gate)
    first, *others = [place.open() for _ in range(4)]
    for book in (first, *others):
        for name in STEPS:
            how = undo if name == "ship" else shop.undoes(name)
            run = book.tool(shop.does(name), name=name, compensate=how)
            await run(ORDER, item="book")

    undoing = [asyncio.ensure_future(first.compensate(ORDER, reason="sold out"))]
    await gate.reached()
    undoing += [asyncio.ensure_future(book.compensate(ORDER, reason="sold out")) for book in others]
    gate.open()
    reports = await asyncio.gather(*undoing)

    assert shop.happened == [*STEPS, "undo ship", "undo charge", "undo reserve"]
    assert reports == [reports[0]] * 4
    assert [fate.fate for fate in reports[0].effects] == ["undone"] * 3
    assert (await first.verify()).ok


async def test_a_declared_tool_compensates_under_its_own_name_and_contract(book: Book) -> None:
    """CMP-03: an ordinary effect, found like any other."""
    shop = Shop()
    refund = book.ledger.tool(name="stripe.refund", intent="give_back", safety="idempotent")(
        book.handler(shop.undoes("charge"))
    )
    charge = book.tool(shop.does("charge"), name="stripe.charge", compensate=refund, reversal="reversible")
    await charge(ORDER, item="book")

    report = await book.compensate(ORDER, reason="sold out")

    [effect] = await book.effects(intent="give_back")
    assert (effect.tool, effect.safety, effect.state) == ("stripe.refund", "idempotent", State.SUCCEEDED)
    assert [(fate.by, fate.reversal) for fate in report.undone] == [(effect.key, "reversible")]


def busy() -> HTTPError:
    return HTTPError("https://api.example/refunds", 503, "busy", None, None)  # type: ignore[arg-type]


async def test_a_compensation_is_tried_again_under_its_policy(book: Book) -> None:
    """CMP-03: a 503 and then an answer is an answer; every attempt is on record."""
    shop = Shop()
    patience = RetryPolicy(initial_interval=0.001, maximum_attempts=3)
    refund = book.ledger.tool(name="refund", safety="idempotent", retry=patience)(
        book.handler(shop.undoes("charge", busy(), busy(), "refunded"))
    )
    charge = book.tool(shop.does("charge"), name="charge", compensate=refund)
    await charge(ORDER, item="book")

    report = await book.compensate(ORDER, reason="sold out")

    [fate] = report.undone
    assert shop.counts["undo charge"] == 3
    assert (await book.effect(fate.by)).attempt == 3
    told = await book.audit(fate.by)
    assert [event.details.get("fault") for event in told if event.event == "release"] == [
        "ambiguous (503)"
    ] * 2


@pytest.mark.kinds("memory", "sqlite", "postgres")
async def test_a_compensation_may_be_a_plain_function_or_a_coroutine(place: Place) -> None:
    """INT-06."""
    shop, book = Shop(), place.open()
    plain = shop.undoes("charge")

    async def coroutine(undone: Undone) -> Any:
        await asyncio.sleep(0)
        return plain(undone)

    for name, how in (("one", plain), ("two", coroutine)):
        await book.tool(shop.does(name), name=name, compensate=how)(ORDER, item="book")

    report = await book.compensate(ORDER, reason="sold out")

    assert [fate.tool for fate in report.undone] == ["two", "one"]
    assert [undone.tool for undone in shop.told] == ["two", "one"]


async def test_a_compensation_whose_result_cannot_be_kept_has_happened_all_the_same(book: Book) -> None:
    """CMP-03: what an SDK returns need not be JSON; the original is undone, and that is on record."""
    shop = Shop()
    await shop.sells(book, "charge", charge=shop.undoes("charge", {"a", "set"}))

    report = await book.compensate(ORDER, reason="sold out")
    again = await book.compensate(ORDER, reason="sold out")

    [fate] = report.undone
    assert (shop.counts["undo charge"], report.needs_review) == (1, False)
    assert again == report
    assert (await book.effect(fate.by)).result_gap is not None
    assert (await book.effect(fate.key)).state is State.COMPENSATED


async def test_tenants_cannot_undo_what_is_not_theirs(book: Book) -> None:
    """IDE-11."""
    shop = Shop()
    await shop.sells(book, "charge")

    with pytest.raises(InvalidCall, match="has no effects"):
        await book.scoped(tenant="another").compensate(ORDER, reason="sold out")

    assert shop.happened == ["charge"]


@pytest.mark.kinds("memory")
@pytest.mark.parametrize(
    ("workflow_id", "reason"),
    [("order-124", "sold out"), ("", "sold out"), (ORDER, ""), (ORDER, "a\nb"), (ORDER, None)],
)
async def test_a_compensation_of_nothing_or_for_no_reason_is_refused(
    book: Book, workflow_id: str, reason: Any
) -> None:
    shop = Shop()
    await shop.sells(book, "charge")

    with pytest.raises(InvalidCall):
        await book.compensate(workflow_id, reason=reason)

    assert shop.happened == ["charge"]
    assert await book.workflows() == []
