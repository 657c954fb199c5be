"""CMP-07, CMP-08: what cannot be undone, or be known, is never swallowed: it waits for a person, who is told."""

from __future__ import annotations

import asyncio
import inspect
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast import Alert, Done, NotDone, Permanent, State, StillUnknown, ToolCall
from holdfast.codecs import AesGcmCodec
from holdfast.errors import OutcomeUnknown, StoreUnavailable, WorkflowStopped
from holdfast.ledger.urls import open_store
from promises.ledgers import DEAD_SOON, HASTY, PATIENCE_S, Book, Gate, Place
from promises.shop import ORDER, STEPS, Shop

CLOSED = Permanent("the account is closed")


class Alerted:
    """A ledger's listener."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def __call__(self, alert: Alert) -> None:
        self.alerts.append(alert)

    @property
    def codes(self) -> list[str]:
        return [alert.code for alert in self.alerts]


async def test_a_compensation_that_fails_for_good_escalates_and_the_others_go_on(place: Place) -> None:
    """CMP-08: needs_review with the reason, one alert, nothing new until a person says so."""
    shop, told = Shop(), Alerted()
    book = place.open(on_alert=told)
    await shop.sells(book, charge=shop.undoes("charge", CLOSED))

    report = await book.compensate(ORDER, reason="sold out")

    assert [(fate.tool, fate.fate) for fate in report.effects] == [
        ("ship", "undone"),
        ("charge", "failed"),
        ("reserve", "undone"),
    ]
    [failed] = report.of("failed")
    assert (report.needs_review, report.stands) == (True, (failed,))
    assert failed.why == "charge:compensate is failed (Permanent)"
    tried = await book.effect(failed.by)
    assert (tried.undoes, tried.state, tried.error.message) == (
        failed.key,
        State.FAILED,
        "the account is closed",
    )
    assert (await book.effect(failed.key)).state is State.SUCCEEDED
    [alert] = told.alerts
    assert (alert.code, alert.workflow_id, alert.subject) == ("compensation_failed", ORDER, failed.key)
    [queued] = await book.workflows(status="needs_review")
    assert (queued.workflow_id, queued.stopped) == (ORDER, "could not be undone wholly: charge failed")
    with pytest.raises(WorkflowStopped, match="could not be undone wholly"):
        await book.run(ToolCall(workflow_id=ORDER, tool="gift"), handler=book.handler(lambda: None))


async def test_a_person_lets_a_stopped_workflow_go_on(place: Place) -> None:
    """CMP-07, CMP-08: by the API, in another process; who said so, and why, is on record."""
    shop, book = Shop(), place.open()
    await shop.sells(book, "charge", charge=shop.undoes("charge", CLOSED))
    report = await book.compensate(ORDER, reason="sold out")
    other = place.open()

    after = await other.resume(ORDER, by="ops@shop.example", reason="refunded by bank transfer")

    assert (after.status, after.stopped) == ("running", None)
    assert await other.workflows(status="needs_review") == []
    told = (await other.audit(report.effects[0].key))[-1]
    assert (told.event, told.details["by"], told.details["reason"]) == (
        "note",
        "ops@shop.example",
        "refunded by bank transfer",
    )
    gift = ToolCall(workflow_id=ORDER, tool="gift")
    assert await book.run(gift, handler=book.handler(lambda: "sent")) == "sent"
    assert (await other.verify()).ok


async def test_a_compensation_in_doubt_is_not_repeated_and_goes_on_once_a_person_has_settled_it(
    place: Place,
) -> None:
    """CMP-03, CMP-07: twice would hurt; her word is enough, and the same call goes on."""
    shop, told = Shop(), Alerted()
    book = place.open(on_alert=told)
    await shop.sells(
        book, "charge", charge=shop.undoes("charge", ConnectionResetError("the answer was lost"))
    )
    first = await book.compensate(ORDER, reason="sold out")
    second = await book.compensate(ORDER, reason="once more")
    [doubt] = await book.effects(state="unknown")

    await book.resolve(doubt.key, Done("refunded"), by="ops@shop.example", reason="seen in the dashboard")
    report = await book.compensate(ORDER, reason="settled")

    assert [fate.why for fate in first.stands] == ["charge:compensate is unknown (ConnectionResetError)"]
    assert first == second
    assert {fate.by for fate in first.effects} == {doubt.key}
    assert [(fate.fate, fate.by) for fate in report.effects] == [("undone", doubt.key)]
    assert shop.counts["undo charge"] == 1
    assert await book.workflows(status="needs_review") == []
    assert set(told.codes) == {"compensation_failed"}


async def test_a_compensation_that_was_not_done_by_a_persons_word_is_tried_again(place: Place) -> None:
    """CMP-07."""
    shop, book = Shop(), place.open()
    undo = shop.undoes("charge", ConnectionResetError("the answer was lost"), "refunded")
    await shop.sells(book, "charge", charge=undo)
    await book.compensate(ORDER, reason="sold out")
    [doubt] = await book.effects(state="unknown")

    await book.resolve(doubt.key, NotDone(), by="ops@shop.example", reason="no such refund")
    report = await book.compensate(ORDER, reason="settled")

    assert [fate.fate for fate in report.effects] == ["undone"]
    assert shop.counts["undo charge"] == 2
    assert await book.workflows(status="needs_review") == []


FOUND = {
    "done": (lambda effect: Done({"id": "found"}), "undone", State.COMPENSATED),
    "not-done": (lambda effect: NotDone(), "called_off", State.CANCELLED),
    "cannot-tell": (lambda effect: StillUnknown("their search is down"), "unknown", State.UNKNOWN),
    "raises": (lambda effect: (_ for _ in ()).throw(RuntimeError("broken")), "unknown", State.UNKNOWN),
}


@pytest.mark.parametrize(("look", "fate", "state"), FOUND.values(), ids=FOUND.keys())
async def test_an_effect_in_doubt_is_reconciled_first(
    place: Place, look: Any, fate: str, state: State
) -> None:
    """CMP-07, IDE-15: undone if it happened, called off if it did not, a person's if nobody can tell."""
    shop, told = Shop(), Alerted()
    agent, book = place.open(settings=HASTY), place.open(settings=HASTY, on_alert=told)
    lost = shop.does("charge", raises=ConnectionResetError("the answer was lost"))
    with pytest.raises(ConnectionResetError):
        await agent.run(
            ToolCall(workflow_id=ORDER, tool="charge", args={"item": "book"}), handler=agent.handler(lost)
        )
    book.tool(lost, name="charge", reconcile=look, compensate=book.handler(shop.undoes("charge")))

    report = await book.compensate(ORDER, reason="sold out")

    [found] = report.effects
    assert (found.fate, (await book.effect(found.key)).state) == (fate, state)
    assert shop.counts["undo charge"] == (fate == "undone")
    assert shop.counts["charge"] == 1
    assert report.needs_review == (fate == "unknown") == (told.codes == ["compensation_failed"])
    if fate == "undone":
        assert shop.told[0].result == {"id": "found"}


@pytest.mark.parametrize(("word", "fate"), [(Done({"id": "seen"}), "undone"), (NotDone(), "called_off")])
async def test_doubt_that_nothing_can_settle_waits_for_a_person_with_all_that_is_known(
    place: Place, word: Any, fate: str
) -> None:
    """CMP-07: in the queue with the reason and the ledger's extract; settled and resumed by the API."""
    shop, told = Shop(), Alerted()
    book = place.open(on_alert=told)
    charge = book.tool(
        shop.does("charge", raises=ConnectionResetError("the answer was lost")),
        name="charge",
        compensate=book.handler(shop.undoes("charge")),
    )
    with pytest.raises(ConnectionResetError):
        await charge(ORDER, item="book")

    report = await book.compensate(ORDER, reason="sold out")
    [queued] = await book.workflows(status="needs_review")
    [extract] = await book.effects(workflow_id=ORDER, state="unknown")
    await book.resolve(extract.key, word, by="ops@shop.example", reason="asked the bank")
    settled = await book.compensate(ORDER, reason="settled")

    [unknown] = report.of("unknown")
    assert (report.needs_review, unknown.key, unknown.why) == (
        True,
        extract.key,
        "nobody knows whether it happened",
    )
    assert (queued.workflow_id, queued.stopped) == (ORDER, "could not be undone wholly: charge unknown")
    assert (queued.stopped_by, queued.open_reviews) == (extract.key, 1)
    assert (extract.args, extract.error.type) == ({"item": "book"}, "ConnectionResetError")
    assert told.codes == ["compensation_failed"]
    assert [fate.fate for fate in settled.effects] == [fate]
    assert shop.counts["undo charge"] == (fate == "undone")
    assert await book.workflows(status="needs_review") == []
    assert (await book.verify()).ok


async def test_what_may_be_sent_again_but_may_have_happened_is_doubt_as_well(book: Book) -> None:
    """CMP-07: an idempotent effect that was not finished is neither called off nor undone on a guess."""
    shop = Shop()
    charge = book.tool(
        shop.does("charge", raises=ConnectionResetError("the answer was lost")),
        name="charge",
        safety="idempotent",
        retry=False,
        compensate=book.handler(shop.undoes("charge")),
    )
    with pytest.raises(ConnectionResetError):
        await charge(ORDER, item="book")

    report = await book.compensate(ORDER, reason="sold out")

    assert [fate.fate for fate in report.effects] == ["unknown"]
    assert shop.counts == {"charge": 1}
    with pytest.raises(OutcomeUnknown):  # and it is not sent again
        await charge(ORDER, item="book")
    assert shop.counts == {"charge": 1}


@pytest.mark.parametrize(
    ("look", "fate"), [(None, "unknown"), (lambda effect: Done({"id": "found"}), "undone")]
)
async def test_what_a_dead_worker_left_is_doubt_once_its_lease_is_over(
    place: Place, look: Any, fate: str
) -> None:
    """CMP-02, CMP-07, X1: killed in step four, undone by the next process without waiting for a sweeper."""
    shop, book = Shop(), place.open(settings=DEAD_SOON)
    call = ToolCall(workflow_id=ORDER, tool="charge", args={"item": "book"})
    key = await place.open(settings=DEAD_SOON).die_holding(call)
    book.tool(
        shop.does("charge"), name="charge", reconcile=look, compensate=book.handler(shop.undoes("charge"))
    )

    report = await book.compensate(ORDER, reason="sold out")

    assert [(found.key, found.fate) for found in report.effects] == [(key, fate)]
    assert shop.happened == (["undo charge"] if look else [])
    assert report.needs_review == (look is None)


async def test_what_a_living_worker_is_at_is_waited_for_and_then_undone(place: Place) -> None:
    """CMP-02: else it would happen behind the back of those who undo."""
    shop, gate, told = Shop(), Gate(), Alerted()
    agent, book = place.open(settings=HASTY), place.open(settings=HASTY, on_alert=told)
    for one in (agent, book):
        run = one.ledger.tool(name="charge", compensate=one.handler(shop.undoes("charge")))(
            shop.does("charge", gate=gate)
        )
        if one is agent:
            working = asyncio.ensure_future(one.do(run.run, ORDER, item="book"))
            await gate.reached()

    undoing = asyncio.ensure_future(book.compensate(ORDER, reason="sold out"))
    await stopped(book, "being undone: sold out")
    gate.open()
    report = await undoing

    assert (await working)["id"] == "charge-1"
    assert [fate.fate for fate in report.effects] == ["undone"]
    assert shop.happened == ["charge", "undo charge"]
    assert told.codes == []


async def stopped(book: Book, reason: str) -> None:
    """Return once the workflow is stopped for this reason."""
    async with asyncio.timeout(PATIENCE_S):
        while [workflow.stopped for workflow in await book.workflows(status="needs_review")] != [reason]:
            await asyncio.sleep(0.005)


async def test_an_effect_whose_own_handler_undoes_its_workflow_is_not_waited_for(place: Place) -> None:
    """CMP-07: it cannot be known yet, and waiting for oneself would never end."""
    shop, book = Shop(), place.open()
    reports: list[Any] = []

    def give_up(item: str) -> None:
        reports.append(book.ledger.compensate(ORDER, reason="sold out"))

    async def give_up_async(item: str) -> None:
        reports.append(await book.ledger.compensate(ORDER, reason="sold out"))

    await shop.sells(book, "charge")
    ship = book.ledger.tool(name="ship")(give_up if book.is_sync else give_up_async)

    await book.do(ship.run, ORDER, item="book")

    [report] = reports
    assert [(fate.tool, fate.fate) for fate in report.effects] == [("ship", "unknown"), ("charge", "undone")]
    assert report.of("unknown")[0].why == "a worker is at it still"


async def test_several_things_that_cannot_be_undone_are_one_alert_that_names_them(place: Place) -> None:
    """CMP-08."""
    shop, told = Shop(), Alerted()
    book = place.open(on_alert=told)
    await shop.sells(book, **{name: shop.undoes(name, CLOSED) for name in STEPS})

    report = await book.compensate(ORDER, reason="sold out")

    assert [fate.fate for fate in report.effects] == ["failed"] * 3
    [alert] = told.alerts
    assert all(f"{name}:compensate is failed (Permanent)" in alert.message for name in STEPS)
    assert "holdfast resume order-123" in alert.message


async def test_processes_that_fail_to_undo_the_same_at_once_alert_once(place: Place) -> None:
    """CMP-08: whoever notes it tells it."""
    shop, gate, told = Shop(), Gate(), Alerted()
    books = [place.open(on_alert=told) for _ in range(3)]
    undo = shop.undoes("charge", CLOSED, gate=gate)
    for book in books:
        await book.tool(shop.does("charge"), name="charge", compensate=undo)(ORDER, item="book")

    undoing = []
    for number, book in enumerate(books):
        undoing.append(asyncio.ensure_future(book.compensate(ORDER, reason=f"sold out {number}")))
        await stopped(book, f"being undone: sold out {number}")
    await gate.reached()
    gate.open()
    reports = await asyncio.gather(*undoing)

    assert [report.needs_review for report in reports] == [True] * 3
    assert shop.counts["undo charge"] == 1
    assert told.codes == ["compensation_failed"]


async def test_a_listener_that_raises_changes_nothing(place: Place) -> None:
    """CMP-08."""

    def broken(alert: Alert) -> None:
        raise RuntimeError

    shop, book = Shop(), place.open(on_alert=broken)
    await shop.sells(book, "charge", charge=shop.undoes("charge", CLOSED))

    report = await book.compensate(ORDER, reason="sold out")

    assert report.needs_review
    assert [w.workflow_id for w in await book.workflows(status="needs_review")] == [ORDER]


async def test_what_this_ledger_cannot_open_is_not_undone_blindly_and_the_rest_is(place: Place) -> None:
    """CMP-03, STA-19: it waits for a ledger that has the key."""
    shop, codec = Shop(), AesGcmCodec({"2026": AesGcmCodec.generate_key()})
    keyed, keyless = place.open(codec=codec), place.open()
    await shop.sells(keyed, "charge")
    shop.opens(keyed, "reserve")
    await shop.sells(keyless, "reserve")
    shop.opens(keyless, "charge")

    first = await keyless.compensate(ORDER, reason="sold out")
    second = await keyed.compensate(ORDER, reason="sold out")
    third = await keyless.compensate(ORDER, reason="sold out")

    assert {fate.tool: (fate.fate, fate.why) for fate in first.effects} == {
        "charge": ("failed", "charge:compensate was not tried (PayloadSealed)"),
        "reserve": ("undone", ""),
    }
    assert [fate.fate for fate in (*second.effects, *third.effects)] == ["undone"] * 4
    assert not second.needs_review
    assert shop.counts == {"charge": 1, "reserve": 1, "undo charge": 1, "undo reserve": 1}


class Refused(Exception):
    """An SDK's error for a key that is not valid any more."""

    status_code = 401


async def test_undoing_does_not_lift_what_else_the_workflow_was_stopped_for(place: Place) -> None:
    """RET-09, CMP-07: the credentials are not mended by a refund; that takes a person's word."""
    shop, book = Shop(), place.open()
    await shop.sells(book, "charge")
    mail = book.tool(shop.does("mail", raises=Refused()), name="mail")
    with pytest.raises(Refused):
        await mail(ORDER, item="book")
    [before] = await book.workflows(status="needs_review")
    [doubt] = await book.effects(state="unknown")
    await book.resolve(doubt.key, NotDone(), by="ops@shop.example", reason="it was refused")

    report = await book.compensate(ORDER, reason="sold out")

    [after] = await book.workflows(status="needs_review")
    assert {fate.tool: fate.fate for fate in report.effects} == {"mail": "called_off", "charge": "undone"}
    assert "authentication failed" in before.stopped
    assert after.stopped == before.stopped
    assert report.needs_review
    await book.resume(ORDER, by="ops@shop.example", reason="the key was renewed")
    assert await book.workflows(status="needs_review") == []


class Away:
    """The store of *place*, until it has been asked to commit so often: then it is away until it is back."""

    def __init__(self, place: Place, settings: Any) -> None:
        self._real = open_store(place.where, settings, blocking=place.is_sync, migrate=True)
        self.left: int | None = None

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return self._while_it_is_there(name, found) if inspect.iscoroutinefunction(found) else found

    def _while_it_is_there(self, name: str, ask: Any) -> Any:
        async def asked(*args: Any) -> Any:
            if self.left is not None:
                self.left -= name == "commit"
            self.check()
            return await ask(*args)

        return asked

    def check(self) -> None:
        if self.left is not None and self.left < 0:
            raise StoreUnavailable("answer", "planted by a test")

    def renewer(self) -> Any:
        real = self._real.renewer()

        def renew(leases: Any, lease_s: float) -> Any:
            self.check()
            return real.renew(leases, lease_s)

        return SimpleNamespace(renew=renew, close=real.close)


@pytest.mark.parametrize("commits", range(8))
async def test_a_store_that_goes_away_in_the_middle_is_told_and_the_same_call_goes_on(
    place: Place, commits: int
) -> None:
    """CMP-03: wherever it goes away, each thing is undone once in the end."""
    shop, store = Shop(), Away(place, HASTY)
    book = place.open(store, settings=HASTY)
    for name in ("reserve", "charge"):
        undo = book.ledger.tool(name=f"undo {name}", safety="idempotent")(book.handler(shop.undoes(name)))
        await book.tool(shop.does(name), name=name, compensate=undo)(ORDER, item="book")

    store.left = commits
    with pytest.raises(StoreUnavailable):
        await book.compensate(ORDER, reason="sold out")
    store.left = None
    report = await book.compensate(ORDER, reason="sold out")

    assert [(fate.tool, fate.fate) for fate in report.effects] == [
        ("charge", "undone"),
        ("reserve", "undone"),
    ]
    assert {undone.key for undone in shop.told} == {fate.key for fate in report.effects}
    attempts = [(await book.effect(fate.by)).attempt for fate in report.effects]
    assert [shop.counts["undo charge"], shop.counts["undo reserve"]] == attempts
    assert await book.workflows(status="needs_review") == []
    assert (await book.verify()).ok


async def test_what_failed_by_the_record_and_is_done_by_the_outside_has_happened_perhaps(
    place: Place,
) -> None:
    """CMP-07: nothing is reported as never happened while somebody says that it was done."""
    shop, book = Shop(), place.open()
    charge = book.tool(
        shop.does("charge", raises=Permanent("declined")),
        name="charge",
        compensate=book.handler(shop.undoes("charge")),
    )
    with pytest.raises(Permanent):
        await charge(ORDER, item="book")
    [effect] = await book.effects()
    await book.observe(effect.key, Done({"id": "ch_1"}), signal_id="evt_1")

    report = await book.compensate(ORDER, reason="sold out")

    [fate] = report.effects
    assert (fate.fate, report.needs_review, report.stands) == ("unknown", True, (fate,))
    assert fate.why == "it is failed, but the outside told that it is done"
    assert shop.happened == ["charge"]
