"""A signal is believed for what it says, of the attempt that it can speak for, and never forgotten."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from desk import Desk
from holdfast import Done, NotDone, Permanent, State, StillUnknown, SyncLedger, Undone
from holdfast._runtime.drive import run_sync
from holdfast.errors import OutcomeUnknown
from holdfast.ports import Signal
from holdfast.stores.memory import MemoryStore
from holdfast.testing import FaultyStore
from holdfast.testing.faults import Faults
from retry.world import CALL, Service, answer, ask, end_of, lost, told

FOUND = {"id": "ch_9"}


def hears(desk: Desk, outcome: Any, signal_id: str = "evt_1") -> Any:
    """Let the outside tell of the only effect."""
    key = desk.effect.key
    return ask(desk, lambda ledger: ledger.observe(key, outcome, signal_id=signal_id)).effect


def test_not_done_that_is_delivered_again_is_no_leave_for_another_attempt(desk: Desk) -> None:
    """I1, IDE-27: it was told of attempt 1; attempt 2 is in doubt when it comes once more."""
    service = Service(desk, lost(), lost())
    end_of(desk, service)
    desk.clock.advance(60)
    assert hears(desk, NotDone()).state is State.RETRYABLE
    end_of(desk, service)
    desk.clock.advance(60)

    again = hears(desk, NotDone())

    assert again.state is State.UNKNOWN
    assert isinstance(end_of(desk, service), OutcomeUnknown)
    assert len(service.at) == 2


def test_not_done_that_comes_late_is_no_word_on_the_attempt_that_followed(desk: Desk) -> None:
    """I1, IDE-27: attempt 1 was refused, attempt 2 got lost, and only then comes the news of attempt 1."""
    service = Service(desk, answer(429, retry_after="1"), lost())
    end_of(desk, service)
    desk.clock.advance(60)

    late = hears(desk, NotDone())
    end_of(desk, service)

    assert late.state is State.UNKNOWN
    assert "which one is not said" in desk.story[-1].details["why"]
    assert len(service.at) == 2


def test_a_signal_is_dated_by_the_clock_that_attempts_end_by(desk: Desk) -> None:
    """I1: it came while the attempt was under way, to a receiver whose own clock is ahead."""
    desk.die_holding(CALL, Service(desk))
    ledger = desk.ledger()
    runtime, key = desk.runtimes[-1], desk.effect.key
    right = runtime.now
    runtime.now = lambda: right() + timedelta(minutes=2)  # type: ignore[method-assign]
    run_sync(ledger.observe(key, NotDone(), signal_id="evt_1"))
    desk.clock.advance(600)
    service = Service(desk)

    assert isinstance(end_of(desk, service), OutcomeUnknown)
    assert service.at == []


@pytest.mark.parametrize(
    "word",
    [answer(422), answer(429), NotDone("refused"), Permanent("refused"), lost()],
    ids=["422", "429", "not-done", "permanent", "lost"],
)
@pytest.mark.parametrize("safety", ["unsafe", "idempotent"])
def test_what_the_outside_told_is_done_is_done_whatever_the_worker_says(
    desk: Desk, word: Exception, safety: Any
) -> None:
    """I1, IDE-27: the webhook is faster than the answer, and the answer is no proof against it."""
    ran: list[int] = []

    def pay(amount: int) -> None:
        ran.append(amount)
        hears(desk, Done(FOUND))
        raise word

    result = end_of(desk, pay, safety=safety)

    assert result == FOUND
    assert (desk.effect.state, ran) == (State.SUCCEEDED, [100])


def test_an_earlier_attempt_that_was_done_after_all_is_undone(desk: Desk) -> None:
    """CMP-01, IDE-27: attempt 2 was refused for good; what the outside told of attempt 1 stays true."""
    ledger, undone = desk.ledger(), []

    def give_back(undoing: Undone) -> None:
        undone.append(undoing.result)

    def charge(amount: int) -> None:
        if desk.effect.attempt == 1:
            raise NotDone("taken for not done")
        hears(desk, Done(FOUND))
        raise answer(422)

    tool = ledger.tool(name="charge", compensate=give_back)
    pay = tool(charge)
    with pytest.raises(NotDone):
        run_sync(pay.run("order-1", amount=1))
    assert run_sync(pay.run("order-1", amount=1)) == FOUND

    report = run_sync(ledger.compensate("order-1", reason="sold out"))

    assert [fate.fate for fate in report.effects] == ["undone"]
    assert undone == [FOUND]


@pytest.mark.parametrize("is_late", [False, True], ids=["while its lease lives", "after it"])
def test_a_dead_worker_s_effect_that_is_told_done_is_not_executed_again(desk: Desk, *, is_late: bool) -> None:
    """IDE-24, IDE-27: idempotent or not: providers forget keys, and signals do not."""
    desk.die_holding(CALL, Service(desk), safety="idempotent")
    if is_late:
        desk.clock.advance(3600)
    hears(desk, Done(FOUND))
    desk.clock.advance(86400)
    service = Service(desk)

    assert end_of(desk, service, safety="idempotent") == FOUND
    assert service.at == []


def test_a_signal_that_comes_as_the_refusal_is_recorded_is_heard(desk: Desk) -> None:
    """I1, IDE-27: looked for before the record, told between the look and the record."""

    class LateNews(FaultyStore):
        told = False

        async def commit(self, change: Any) -> Any:
            if any(getattr(op, "to", None) is State.FAILED for op in change.ops) and not self.told:
                self.told = True
                hears(desk, Done(FOUND))
            return await super().commit(change)

    ledger = desk.ledger(lambda store: LateNews(store, Faults()))

    assert end_of(desk, Service(desk, answer(422)), ledger=ledger) == FOUND
    assert desk.effect.state is State.SUCCEEDED


def test_permanent_after_a_doubtful_attempt_is_doubt(desk: Desk) -> None:
    """I1, CMP-07: it speaks for its own attempt; the one before may have gone through."""
    service = Service(desk, lost(), Permanent("the card was reported stolen"))

    end = end_of(desk, service, safety="idempotent")

    assert isinstance(end, Permanent)
    assert desk.effect.state is State.UNKNOWN


def test_one_name_for_two_outcomes_hides_neither(desk: Desk) -> None:
    """IDE-27: named after the payment instead of the event: "processing", then "done", are two signals."""
    desk.die_holding(CALL, Service(desk))
    key = desk.effect.key
    words = ["still_unknown", Done(FOUND), Done(FOUND)]

    news = [
        ask(desk, lambda ledger, word=word: ledger.observe(key, word, signal_id="pi_1")).is_new
        for word in words
    ]
    desk.clock.advance(60)

    assert news == [True, True, False]
    assert end_of(desk, Service(desk)) == FOUND


@pytest.mark.parametrize(
    ("end", "state"), [(Permanent("no"), State.FAILED), (NotDone("no"), State.CANCELLED)]
)
def test_proof_about_what_is_closed_as_not_done_is_told_to_people(
    desk: Desk, end: Exception, state: State
) -> None:
    """CMP-07, IDE-27: nothing leaves such a state, so the workflow waits for somebody; told once."""
    ledger = desk.ledger()
    alerts = told(desk, ledger)

    def refuse(amount: int) -> None:
        raise end

    pay = ledger.tool(name="charge", retry=False, compensate=lambda undone: None)(refuse)
    with pytest.raises(type(end)):
        run_sync(pay.run("order-1", amount=1))
    run_sync(ledger.compensate("order-1", reason="sold out"))
    assert desk.effect.state is state

    for _ in range(2):
        run_sync(ledger.observe(desk.effect.key, Done(FOUND), signal_id="evt_1"))

    assert [(alert.code, alert.workflow_id) for alert in alerts] == [("done_after_all", "order-1")]
    [workflow] = run_sync(ledger.workflows(status="needs_review"))
    assert "charge is done" in workflow.stopped
    assert run_sync(ledger.compensate("order-1", reason="again")).needs_review
    assert desk.events[-1] == "note"


def test_evidence_from_outside_gives_an_effect_its_name_as_a_result_does(desk: Desk) -> None:
    """IDE-27, CMP-04: told by a signal or by a person, and passed on to what undoes it."""
    ledger, seen = desk.ledger(), []

    def undo(undone: Undone) -> None:
        seen.append(undone.external_id)

    def lose(amount: int) -> None:
        raise lost()

    charge = ledger.tool(name="charge", external_id="id", compensate=undo)(lose)
    for n in range(2):
        with pytest.raises(type(lost())):
            run_sync(charge.run("order-1", amount=n))
    first, second = run_sync(ledger.effects())

    run_sync(ledger.observe(first.key, Done({"id": "ch_1"}), signal_id="evt_1"))
    run_sync(ledger.resolve(second.key, Done({"id": "ch_2"}), by="ops", reason="seen"))
    run_sync(ledger.compensate("order-1", reason="sold out"))

    assert sorted(seen) == ["ch_1", "ch_2"]


@pytest.mark.parametrize("safety", ["unsafe", "idempotent"])
def test_done_that_comes_between_the_look_and_the_claim_is_heard_before_anything_is_started(
    desk: Desk, safety: Any
) -> None:
    """I1, IDE-27: it is on record before the second claim is; no order of the two executes it again."""
    service = Service(desk, NotDone("refused, said a proxy"))
    end_of(desk, service, safety=safety)
    ledger = desk.ledger()
    store = ledger._engine.parts.store
    commit, key = store.commit, desk.effect.key

    async def late(change: Any) -> Any:
        store.commit = commit
        other = desk.ledger()
        await other._engine.parts.store.put_signal(done_signal(key, desk))
        return await commit(change)

    async def looked(tenant: str, subject: str) -> Any:
        found = await type(store).signals(store, tenant, subject)
        store.commit = late
        return found

    store.signals = looked

    result = end_of(desk, service, safety=safety, ledger=ledger)

    assert result == FOUND
    assert len(service.at) == 1
    assert desk.effect.state is State.SUCCEEDED


def done_signal(key: Any, desk: Desk) -> Signal:
    """What the outside tells, kept by a process that has not settled anything yet."""
    return Signal(
        tenant="default",
        subject=key,
        id="evt_1",
        outcome="done",
        body=json.dumps({"result": FOUND}),
        received_at=desk.clock(),
    )


def test_done_whose_receiver_died_half_way_is_put_to_the_effect_when_it_is_delivered_again(
    desk: Desk,
) -> None:
    """IDE-27: kept, but not in the trail, where a worker that has looked already would find it; then no more."""
    desk.begin(CALL)
    key = desk.effect.key
    run_sync(desk.ledger()._engine.parts.store.put_signal(done_signal(key, desk)))

    news = [
        ask(desk, lambda ledger: ledger.observe(key, Done(FOUND), signal_id="evt_1")).is_new for _ in "ab"
    ]

    assert news == [False, False]
    assert desk.events == ["claim", "note"]


def test_done_that_meets_a_persons_not_done_is_done_all_the_same(desk: Desk) -> None:
    """IDE-27: the effect moves while the signal is being applied."""
    end_of(desk, Service(desk, lost()))
    ledger, key = desk.ledger(), desk.effect.key
    store = ledger._engine.parts.store
    put = store.put_signal

    async def slow(signal: Any) -> bool:
        is_new = await put(signal)
        other = desk.ledger()
        await other.resolve(key, NotDone(), by="ops", reason="not in the log")
        return is_new

    store.put_signal = slow

    told = run_sync(ledger.observe(key, Done(FOUND), signal_id="evt_1"))

    assert told.effect.state is State.SUCCEEDED


def key_of_call() -> str:
    """The key that the call has in any ledger."""
    with SyncLedger(MemoryStore(is_test=True)) as elsewhere:
        return elsewhere.call(CALL, lambda amount: None).key


@pytest.mark.parametrize("way", ["run", "begin"])
@pytest.mark.parametrize("safety", ["unsafe", "idempotent"])
def test_what_is_told_done_before_its_first_call_is_not_executed(desk: Desk, safety: Any, way: str) -> None:
    """I1, IDE-27: by a ledger that was lost, or that has forgotten it since; the trail says why nothing ran."""
    ask(desk, lambda ledger: ledger.observe(key_of_call(), Done(FOUND), signal_id="evt_1"))
    service = Service(desk)

    if way == "run":
        result = end_of(desk, service, safety=safety)
    else:
        result = desk.begin(CALL, safety=safety).claim.result

    assert result == FOUND
    assert service.at == []
    assert desk.events == ["claim", "doubt", "resolve_done"]
    assert "the outside told that it is done" in desk.story[1].details["why"]


@pytest.mark.parametrize("word", [NotDone(), StillUnknown("processing")], ids=["not-done", "processing"])
def test_what_else_is_told_before_the_first_call_keeps_nobody_from_it(desk: Desk, word: Any) -> None:
    """IDE-27: it speaks of no attempt of this ledger's."""
    ask(desk, lambda ledger: ledger.observe(key_of_call(), word, signal_id="evt_1"))

    assert end_of(desk, Service(desk)) == {"id": "ch_1"}
    assert desk.events == ["claim", "succeed"]


def test_a_signal_that_is_kept_as_its_effect_is_claimed_is_put_to_it(desk: Desk) -> None:
    """IDE-27: the claim looked before it was there; its sender looked before the claim was."""
    key, ledger = key_of_call(), desk.ledger()
    store = ledger._engine.parts.store
    put, begun = store.put_signal, list[Any]()

    async def slow(signal: Any) -> bool:
        begun.append(desk.begin(CALL))
        return await put(signal)

    store.put_signal = slow
    told = run_sync(ledger.observe(key, Done(FOUND), signal_id="evt_1"))
    begun[0].fail_with(Permanent("refused"))

    assert told.effect.state is State.PENDING
    assert desk.events[:2] == ["claim", "note"]
    assert end_of(desk, Service(desk)) == FOUND


def test_a_signal_by_idempotency_key_may_come_before_its_effect(desk: Desk) -> None:
    """IDE-27: under whichever of its names."""
    end_of(desk, Service(desk, lost()))
    key = desk.effect.key
    ledger = desk.ledger()
    told = run_sync(
        ledger.scoped(tenant="replica").observe(key.removeprefix("v1:"), Done(FOUND), signal_id="e")
    )
    [kept] = run_sync(ledger._engine.parts.store.signals("replica", key))

    assert (told.effect, told.is_new, kept.outcome) == (None, True, "done")


@pytest.mark.parametrize("why", [None, 5, ValueError("x"), b"", "x" * 5000])
def test_an_odd_reason_for_knowing_nothing_is_no_evidence_and_no_error(desk: Desk, why: Any) -> None:
    """IDE-15: of a reconciler, of a signal, of a person; it is cut, too."""
    end_of(desk, Service(desk, lost()), reconcile=lambda effect: StillUnknown(why))
    hears(desk, StillUnknown(why))
    key = desk.effect.key

    ask(desk, lambda ledger: ledger.resolve(key, StillUnknown(why), by="ops", reason="looked"))

    assert desk.effect.state is State.UNKNOWN
    assert all(len(str(event.details)) < 3000 for event in desk.story)
