"""Before a write is repeated, the world is asked; what the outside tells counts, in whatever order it comes."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from desk import Desk
from holdfast import Done, NotDone, RetryPolicy, State, StillUnknown
from holdfast._runtime.drive import run_sync
from holdfast.errors import InvalidCall, LeaseLost, NotResolvable, OutcomeUnknown
from retry.world import CALL, Service, answer, ask, end_of, lost, meanwhile

FOUND = {"id": "ch_9"}


class Witness:
    """Says what it is told to, and counts how often it is asked."""

    def __init__(self, *words: Any) -> None:
        self.asked = 0
        self._words = words

    def __call__(self, effect: Any) -> Any:
        word = self._words[min(self.asked, len(self._words) - 1)]
        self.asked += 1
        if isinstance(word, Exception) and not isinstance(word, NotDone):
            raise word
        return word


def test_a_probe_that_says_already_done_saves_the_second_attempt(desk: Desk) -> None:
    """RET-12, IDE-15: the answer was lost; the world has it; nothing is sent again."""
    service, probe = Service(desk, lost()), Witness(Done(FOUND))

    result = end_of(desk, service, probe=probe)

    assert result == FOUND
    assert (len(service.at), probe.asked) == (1, 1)
    assert desk.effect.state is State.SUCCEEDED


def test_a_probe_is_asked_before_attempt_two_even_when_the_first_was_refused(desk: Desk) -> None:
    """RET-12: nothing was done by us, but perhaps by somebody: a freshness check before a non-idempotent action."""
    service, probe = Service(desk, answer(429, retry_after="2")), Witness(Done(FOUND))

    result = end_of(desk, service, probe=probe)

    assert result == FOUND
    assert (len(service.at), probe.asked) == (1, 1)


def test_a_probe_that_finds_nothing_lets_the_write_be_tried_again(desk: Desk) -> None:
    """RET-10, RET-12: one attempt, unless it is probed. "Not done" counts once the first attempt cannot act any more."""
    service, probe = Service(desk, lost()), Witness(NotDone())

    result = end_of(desk, service, probe=probe)

    assert result == {"id": "ch_1"}
    assert len(service.at) == 2
    assert service.delays[0] >= 5
    assert len(set(service.keys)) == 1


@pytest.mark.parametrize("word", [StillUnknown("away"), OSError("away")], ids=["unknown", "raises"])
def test_a_probe_that_cannot_tell_leaves_it_to_a_person(desk: Desk, word: Any) -> None:
    """RET-14, IDE-16: no attempt without evidence, and no claim of success."""
    service, probe = Service(desk, lost()), Witness(word)

    end_of(desk, service, probe=probe)
    again = end_of(desk, service, probe=probe)

    assert len(service.at) == 1
    assert isinstance(again, OutcomeUnknown)
    assert desk.effect.state is State.UNKNOWN


def test_the_reconciler_is_asked_when_the_probe_cannot_tell(desk: Desk) -> None:
    """IDE-15: the order is the same key, then the probe, then the reconciler, then a person."""
    service = Service(desk, lost())
    probe, reconciler = Witness(StillUnknown()), Witness(Done(FOUND))

    assert end_of(desk, service, probe=probe, reconcile=reconciler) == FOUND
    assert (probe.asked, reconciler.asked, len(service.at)) == (1, 1, 1)


def test_an_idempotent_write_asks_nobody(desk: Desk) -> None:
    """IDE-24: the same key may be sent again, so no probe is needed."""
    service, probe = Service(desk, lost()), Witness(Done(FOUND))

    assert end_of(desk, service, probe=probe, safety="idempotent") == {"id": "ch_1"}
    assert (len(service.at), probe.asked) == (2, 0)


def test_a_probed_write_has_a_budget_of_attempts_as_well(desk: Desk) -> None:
    """RET-11: evidence of "not done" is no licence to try for ever."""
    service, probe = Service(desk, *[lost() for _ in range(20)]), Witness(NotDone())

    for _ in range(8):
        end_of(desk, service, probe=probe, retry=RetryPolicy(initial_interval=1, maximum_attempts=3))
        desk.clock.advance(600)

    assert len(service.at) == 3


def pending(desk: Desk) -> str:
    """Claim the effect, and die; return its key."""
    desk.die_holding(CALL, Service(desk))
    return str(desk.effect.key)


def test_a_webhook_that_comes_before_the_answer_settles_what_the_crash_left(desk: Desk) -> None:
    """IDE-27: it names the effect by its idempotency key; then a late "processing" comes, and moves nothing."""
    key = pending(desk)
    idem_key = key.removeprefix("v1:")

    early = ask(desk, lambda ledger: ledger.observe(idem_key, Done(FOUND), signal_id="evt_2"))
    desk.clock.advance(60)
    service = Service(desk)
    result = end_of(desk, service)
    ask(desk, lambda ledger: ledger.observe(idem_key, StillUnknown("processing"), signal_id="evt_1"))

    assert early.effect.state is State.PENDING
    assert result == FOUND
    assert service.at == []
    assert (desk.effect.state, desk.effect.result) == (State.SUCCEEDED, FOUND)


def test_a_repeated_signal_is_the_same_signal(desk: Desk) -> None:
    """IDE-27: the second delivery changes nothing, not even the trail."""
    key = pending(desk)
    ask(desk, lambda ledger: ledger.observe(key, "done", evidence={"n": 1}, signal_id="evt_1"))
    before = desk.story

    again = ask(desk, lambda ledger: ledger.observe(key, "done", evidence={"n": 1}, signal_id="evt_1"))

    assert not again.is_new
    assert desk.story == before


def test_signals_without_an_id_are_told_apart_by_what_they_say(desk: Desk) -> None:
    """IDE-27: the same words twice are one signal, other words another."""
    key = pending(desk)

    news = [
        ask(desk, lambda ledger, n=n: ledger.observe(key, StillUnknown(), evidence={"n": n})).is_new
        for n in (1, 1, 2)
    ]

    assert news == [True, False, True]


@pytest.mark.parametrize("late", [NotDone(), StillUnknown("processing")], ids=["not-done", "processing"])
def test_a_late_signal_never_moves_a_finished_effect(desk: Desk, late: Any) -> None:
    """IDE-27: done stays done; what came late is in the trail."""
    end_of(desk, Service(desk))
    key = desk.effect.key

    seen = ask(desk, lambda ledger: ledger.observe(key, late, signal_id="evt_9"))

    assert seen.effect.state is State.SUCCEEDED
    assert desk.events == ["claim", "succeed", "note"]
    assert desk.story[-1].details["signal"] == "evt_9"


def test_a_signal_settles_doubt_at_once(desk: Desk) -> None:
    """IDE-15: nobody has to call again."""
    end_of(desk, Service(desk, lost()))
    key = desk.effect.key

    seen = ask(desk, lambda ledger: ledger.observe(key, Done(FOUND), evidence={"event": "charge.succeeded"}))

    assert (seen.effect.state, seen.effect.result) == (State.SUCCEEDED, FOUND)
    assert desk.story[-1].details["source"] == "signal"


def test_not_done_from_outside_counts_once_the_attempt_cannot_act_any_more(desk: Desk) -> None:
    """IDE-15: too early it is kept, and believed later."""
    end_of(desk, Service(desk, lost()))
    key = desk.effect.key
    desk.clock.advance(1)

    early = ask(desk, lambda ledger: ledger.observe(key, NotDone(), signal_id="evt_1"))
    desk.clock.advance(60)
    service = Service(desk)
    result = end_of(desk, service)

    assert early.effect.state is State.UNKNOWN
    assert result == {"id": "ch_1"}
    assert len(service.at) == 1


def test_an_effect_is_found_by_what_the_outside_calls_it(desk: Desk) -> None:
    """IDE-27: the tool says where its result has the name."""
    end_of(desk, Service(desk), external_id="id")

    seen = ask(desk, lambda ledger: ledger.observe("ch_1", StillUnknown("processing")))
    unheard = ask(desk, lambda ledger: ledger.observe("ch_other", Done()))

    assert seen.effect.key == desk.effect.key
    assert desk.effect.external_id == "ch_1"
    assert (unheard.effect, unheard.is_new) == (None, True)


def test_a_name_that_two_effects_share_settles_neither(desk: Desk) -> None:
    """IDE-27: matched by identity, or not at all."""
    for n in range(2):
        call = CALL.__class__(workflow_id=f"order-{n}", tool="t", args={"amount": 1})
        end_of(desk, Service(desk), call, external_id="id")

    with pytest.raises(InvalidCall, match="2 effects are called 'ch_1'"):
        ask(desk, lambda ledger: ledger.observe("ch_1", Done()))


def test_done_outweighs_not_done_whatever_came_last(desk: Desk) -> None:
    """IDE-27: out of order, a proof is a proof."""
    key = pending(desk)
    ask(desk, lambda ledger: ledger.observe(key, Done(FOUND), signal_id="evt_2"))
    ask(desk, lambda ledger: ledger.observe(key, NotDone(), signal_id="evt_1"))
    desk.clock.advance(60)

    assert end_of(desk, Service(desk)) == FOUND


def test_the_sweeper_settles_doubt_without_another_call_and_with_patience(desk: Desk) -> None:
    """IDE-15, RET-14: it asks the tool's own sources, later and later, and stops when there is an answer."""
    witness = Witness(StillUnknown("not yet"), StillUnknown("not yet"), StillUnknown("not yet"), Done(FOUND))
    end_of(desk, Service(desk, lost()))
    ledger = desk.ledger()
    ledger.tool(CALL.tool, reconcile=witness)(lambda amount: None)
    asked_at: list[float] = []
    for _ in range(400):
        before = witness.asked
        ask_sweep(ledger)
        if witness.asked > before:
            asked_at.append(desk.clock.monotonic())
        desk.clock.advance(1)

    assert (desk.effect.state, desk.effect.result) == (State.SUCCEEDED, FOUND)
    pauses = [later - sooner for sooner, later in itertools.pairwise(asked_at)]
    assert pauses == [30, 60, 120]


def ask_sweep(ledger: Any) -> Any:
    from holdfast._runtime.drive import run_sync

    return run_sync(ledger.sweep())


def test_the_sweeper_ends_dead_claims_as_a_caller_would(desk: Desk) -> None:
    """I2: an unsafe one becomes doubt, an idempotent one may be claimed again."""
    for n, safety in enumerate(["unsafe", "idempotent"]):
        call = CALL.__class__(workflow_id=f"order-{n}", tool=safety, args={"amount": 1})
        desk.die_holding(call, Service(desk), safety=safety)
    early = ask_sweep(desk.ledger())
    desk.clock.advance(60)

    report = ask_sweep(desk.ledger())

    assert early.buried == ()
    states = {effect.tool: effect.state for effect in ask(desk, lambda ledger: ledger.effects())}
    assert states == {"unsafe": State.UNKNOWN, "idempotent": State.RETRYABLE}
    assert len(report.buried) == 2
    assert len(report.unattended) == 1


def test_the_model_is_told_that_nobody_knows(desk: Desk) -> None:
    """PLN-07: status unknown, in words; not an empty result, and nothing that looks like success."""
    service = Service(desk, lost())
    ledger = desk.ledger()

    def charge(amount: int) -> Any:
        return service(amount, _NO_EFFECT)

    [receipt] = ask_turn(ledger, [CALL], {CALL.tool: charge})
    said = json.loads(receipt.for_model())

    assert said["status"] == "unknown"
    assert "may or may not have happened" in said["meaning"]
    assert "result" not in said


class _NoEffect:
    idem_key = "x"


_NO_EFFECT: Any = _NoEffect()


def ask_turn(ledger: Any, calls: Any, handlers: Any) -> Any:
    from holdfast._runtime.drive import run_sync

    return run_sync(ledger.turn(calls, handlers=handlers))


@pytest.mark.parametrize("way", ["reconcile", "resolve"])
def test_done_is_not_lost_to_a_not_done_that_was_written_first(desk: Desk, way: str) -> None:
    """I1, IDE-15: two who look at once, one of them at an index that is behind: nothing is executed again."""
    service = Service(desk, lost())
    end_of(desk, service)
    key, ledger, other = desk.effect.key, desk.ledger(), desk.ledger()
    desk.clock.advance(600)
    meanwhile(ledger, lambda: other.resolve(key, NotDone(), by="bob", reason="not in the index"))

    if way == "reconcile":
        told = run_sync(ledger.reconcile(key, lambda effect: Done(FOUND)))
    else:
        told = run_sync(ledger.resolve(key, Done(FOUND), by="ann", reason="in the books"))

    assert told.state is State.SUCCEEDED
    assert end_of(desk, service) == FOUND
    assert len(service.at) == 1


def test_a_persons_not_done_that_comes_second_is_refused_and_not_swallowed(desk: Desk) -> None:
    """IDE-15: whoever gave it must learn that it counts for nothing."""
    end_of(desk, Service(desk, lost()))
    key, ledger, other = desk.effect.key, desk.ledger(), desk.ledger()
    meanwhile(ledger, lambda: other.resolve(key, Done(FOUND), by="ann", reason="in the books"))

    with pytest.raises(NotResolvable):
        run_sync(ledger.resolve(key, NotDone(), by="bob", reason="not in the index"))

    assert desk.effect.state is State.SUCCEEDED


def test_done_that_meets_the_next_attempt_is_kept_and_weighed(desk: Desk) -> None:
    """IDE-15: it cannot stop what was started, but what that says of itself is not all there is to it."""
    end_of(desk, Service(desk, lost()))
    key, ledger = desk.effect.key, desk.ledger()
    begun: list[Any] = []

    async def goes_on() -> None:
        await desk.ledger().resolve(key, NotDone(), by="bob", reason="not in the index")
        begun.append(desk.begin(CALL))

    meanwhile(ledger, goes_on)
    run_sync(ledger.reconcile(key, lambda effect: Done(FOUND)))

    begun[0].fail_with(NotDone("refused"))

    assert desk.effect.state in {State.UNKNOWN, State.SUCCEEDED}
    assert end_of(desk, Service(desk)) == FOUND


@pytest.mark.parametrize("end", [NotDone("refused"), lost()], ids=["refused", "lost"])
@pytest.mark.parametrize("safety", ["unsafe", "idempotent"])
def test_a_late_success_that_finds_a_successor_at_work_is_heard_when_that_has_ended(
    desk: Desk, safety: Any, end: Any
) -> None:
    """I1, I3: whatever the second attempt comes to, the first one was done."""
    first = desk.begin(CALL, safety=safety)
    desk.clock.advance(600)
    if safety == "unsafe":
        key = desk.effect.key
        ask(desk, lambda ledger: ledger.resolve(key, NotDone(), by="bob", reason="not in the index"))
    second = desk.begin(CALL, safety=safety)

    with pytest.raises(LeaseLost):
        first.succeed(FOUND)
    second.fail_with(end)
    service = Service(desk)

    assert end_of(desk, service, safety=safety) == FOUND
    assert service.at == []


def test_not_done_is_dated_by_when_it_came_and_not_by_when_it_was_written(desk: Desk) -> None:
    """I1, IDE-27: the database was slow to take it; meanwhile the attempt ended."""
    end_of(desk, Service(desk, lost()), timeout=5)
    key, ledger = desk.effect.key, desk.ledger()
    store = ledger._engine.parts.store
    put = store.put_signal

    async def slow(signal: Any) -> bool:
        is_new = await put(signal)
        desk.clock.advance(600)
        return is_new

    store.put_signal = slow
    told = run_sync(ledger.observe(key, NotDone(), signal_id="evt_1"))

    assert told.effect.state is State.UNKNOWN
    assert "has to be told again" in desk.story[-1].details["why"]
