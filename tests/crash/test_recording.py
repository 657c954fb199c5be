"""The record is retried, the handler never: the store goes away, answers get lost, others write in between."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from holdfast import Done, Effect, NotDone, Permanent, State, ToolCall
from holdfast._runtime.drive import run_sync
from holdfast.errors import OutcomeUnknown, StoreUnavailable
from holdfast.testing import FaultyStore

CALL = ToolCall(workflow_id="order-123", tool="charge", args={"amount": 100})
FOR_EVER = 10**6


class Troubles:
    """The database is away before a transaction, or its answer is lost after it, so many times."""

    def __init__(self, **times: int) -> None:
        self.left = {name.replace("_", " "): count for name, count in times.items()}
        self.meanwhile: dict[str, Any] = {}

    async def reach(self, name: str) -> None:
        if self.left.get(name, 0):
            self.left[name] -= 1
            self.meanwhile.pop(name, lambda: None)()
            raise StoreUnavailable("commit a change", "connection reset by peer")

    def ledger(self, desk: Any, **options: Any) -> Any:
        return desk.ledger(lambda store: FaultyStore(store, self), **options)


class Charges:
    """A handler that counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, amount: int) -> Any:
        self.count += 1
        return {"id": f"ch_{self.count}"}


@pytest.mark.parametrize("safety", ["unsafe", "idempotent"])
def test_the_record_is_retried_while_the_store_is_away(desk: Any, safety: str) -> None:
    """X6, C18: a database that comes back before the lease is over costs nothing but time."""
    charge = Charges()
    ledger = Troubles(before_succeed=5).ledger(desk)

    assert run_sync(ledger.run(CALL, charge, safety=safety)) == {"id": "ch_1"}

    assert 0 < desk.clock.monotonic() < 10
    assert (charge.count, desk.events) == (1, ["claim", "succeed"])


@pytest.mark.parametrize("safety", ["unsafe", "idempotent"])
def test_a_store_that_stays_away_leaves_doubt_that_carries_the_result(desk: Any, safety: str) -> None:
    """X6, I2: it happened, its own caller has the result, and the ledger will never call it failed."""
    charge = Charges()
    ledger = Troubles(before_succeed=FOR_EVER).ledger(desk)

    with pytest.raises(OutcomeUnknown) as caught:
        run_sync(ledger.run(CALL, charge, safety=safety))

    assert caught.value.result == {"id": "ch_1"}
    assert isinstance(caught.value.__cause__, StoreUnavailable)
    assert desk.clock.monotonic() == pytest.approx(10, abs=0.1)  # as long as the claim was ours
    assert desk.effect.state is State.PENDING
    if safety == "unsafe":
        with pytest.raises(OutcomeUnknown):
            desk.run(CALL, charge)
        assert (charge.count, desk.effect.state) == (1, State.UNKNOWN)
    else:
        assert desk.run(CALL, charge, safety=safety) == {"id": "ch_2"}  # under the same idem_key


def test_the_doubt_of_a_lost_record_is_reconciled_by_the_next_call(desk: Any) -> None:
    """IDE-15."""
    charge = Charges()
    with pytest.raises(OutcomeUnknown):
        run_sync(Troubles(before_succeed=FOR_EVER).ledger(desk).run(CALL, charge))

    found = desk.run(CALL, charge, reconcile=lambda effect: Done({"id": "ch_1"}))

    assert (found, charge.count) == ({"id": "ch_1"}, 1)
    assert desk.events == ["claim", "doubt", "resolve_done"]


def test_the_record_is_retried_for_as_long_as_the_heartbeat_keeps_the_claim(desk: Any) -> None:
    """X3: the writing connection is broken for a minute, the heartbeat's is not."""
    charge = Charges()
    troubles = Troubles(before_succeed=70)
    ledger = troubles.ledger(desk)
    heartbeat, renewer = ledger._engine.parts.heartbeat, ledger._engine.parts.store.renewer()
    reach = troubles.reach

    async def beating(name: str) -> None:
        heartbeat.beat(renewer)
        await reach(name)

    troubles.reach = beating  # type: ignore[method-assign]

    assert run_sync(ledger.run(CALL, charge)) == {"id": "ch_1"}

    assert desk.clock.monotonic() > 3 * 10
    assert (charge.count, desk.events) == (1, ["claim", "succeed"])
    renewer.close()


def test_a_claim_that_cannot_be_committed_runs_nothing(desk: Any) -> None:
    charge = Charges()

    with pytest.raises(StoreUnavailable):
        run_sync(Troubles(before_claim=FOR_EVER).ledger(desk, store_patience=2).run(CALL, charge))

    assert desk.clock.monotonic() == pytest.approx(2, abs=0.1)
    assert charge.count == 0
    assert run_sync(desk.ledger().effects()) == []


@pytest.mark.parametrize("safety", ["unsafe", "idempotent", "local", "read"])
@pytest.mark.parametrize("times", [1, 3])
def test_lost_answers_are_recognised_as_our_own(desk: Any, safety: str, times: int) -> None:
    """C16, I1: the commit went through, its answer did not: the row in the way is ours."""
    charge = Charges()
    troubles = Troubles(
        after_claim=times, after_succeed=times, after_observe=times, after_local_succeed=times
    )

    assert run_sync(troubles.ledger(desk).run(CALL, charge, safety=safety)) == {"id": "ch_1"}

    assert charge.count == 1
    assert desk.events == (["observe"] if safety == "read" else ["claim", "succeed"])
    if safety != "read":
        assert desk.run(CALL, charge, safety=safety) == {"id": "ch_1"}
        assert charge.count == 1


@pytest.mark.parametrize(
    ("error", "event"),
    [(NotDone("no"), "release"), (Permanent("no"), "fail"), (RuntimeError("odd"), "doubt")],
    ids=["release", "fail", "doubt"],
)
def test_a_lost_answer_about_an_error_is_recognised_as_well(desk: Any, error: Exception, event: str) -> None:
    def fails(amount: int) -> Any:
        raise error

    with pytest.raises(type(error)):
        run_sync(Troubles(**{f"after_{event}": 2}).ledger(desk).run(CALL, fails))

    assert desk.events == ["claim", event]


def test_a_lost_answer_of_a_take_over_is_recognised(desk: Any) -> None:
    charge = Charges()
    desk.begin(CALL, safety="idempotent")
    desk.clock.advance(11)

    ledger = Troubles(after_take_over=2).ledger(desk)

    assert run_sync(ledger.run(CALL, charge, safety="idempotent")) == {"id": "ch_1"}
    assert desk.events == ["claim", "take_over", "succeed"]


def note(desk: Any) -> None:
    """A read of the same key in another process notes itself in the effect's trail."""
    desk.run(CALL, lambda amount: "seen", safety="read")


def test_a_note_between_claim_and_record_does_not_lose_the_record(desk: Any) -> None:
    """I3: a note moves nothing; the claim is still ours."""

    def charge(amount: int) -> Any:
        note(desk)
        return {"id": "ch_1"}

    assert desk.run(CALL, charge) == {"id": "ch_1"}

    assert desk.events == ["claim", "note", "succeed"]


@pytest.mark.parametrize("lost", ["after claim", "after succeed"])
def test_a_note_after_a_lost_answer_does_not_make_us_doubt_ourselves(desk: Any, lost: str) -> None:
    charge = Charges()
    troubles = Troubles(**{lost.replace(" ", "_"): 1})
    troubles.meanwhile[lost] = lambda: note(desk)

    assert run_sync(troubles.ledger(desk).run(CALL, charge)) == {"id": "ch_1"}

    assert charge.count == 1
    assert (
        desk.events
        == {
            "after claim": ["claim", "note", "succeed"],
            "after succeed": ["claim", "succeed", "note"],
        }[lost]
    )


def test_a_local_commit_that_fails_rolls_back_and_may_be_tried_again(desk: Any) -> None:
    """IDE-30."""
    charge = Charges()

    with pytest.raises(StoreUnavailable):
        run_sync(Troubles(before_local_succeed=1).ledger(desk).run(CALL, charge, safety="local"))

    assert desk.effect.state is State.RETRYABLE
    assert desk.run(CALL, charge, safety="local") == {"id": "ch_2"}


def test_i7_a_read_never_overwrites_an_effect_of_the_same_key(desk: Any) -> None:
    """IDE-04: whatever state it is in; the read gets its answer, the record keeps its own."""
    assert desk.run(CALL, Charges()) == {"id": "ch_1"}

    assert desk.run(CALL, lambda amount: "seen", safety="read") == "seen"

    assert desk.effect.result == {"id": "ch_1"}
    assert desk.run(CALL, Charges()) == {"id": "ch_1"}
    assert desk.events == ["claim", "succeed", "note"]


def test_i7_nor_does_it_settle_one_that_is_known_not_done(desk: Any) -> None:
    def declined(amount: int) -> Any:
        raise NotDone

    with pytest.raises(NotDone):
        desk.run(CALL, declined)

    assert desk.run(CALL, lambda amount: "seen", safety="read") == "seen"

    assert desk.effect.state is State.RETRYABLE
    assert desk.run(CALL, Charges()) == {"id": "ch_1"}


class Probe:
    """A waiter's bell that looks at the record in the moment when it is rung."""

    def __init__(self, desk: Any, ledger: Any, key: str) -> None:
        self.seen: list[State] = []
        self._look = lambda: run_sync(desk.ledger().effect(key)).state
        self._listening = ledger._engine.parts.bus.listening(key, self)
        self._listening.__enter__()

    def ring(self) -> None:
        self.seen.append(self._look())

    async def heard(self, timeout_s: float) -> bool:
        raise AssertionError


@pytest.mark.parametrize(
    ("safety", "end", "state"),
    [
        ("unsafe", "done", State.SUCCEEDED),
        ("local", "done", State.SUCCEEDED),
        ("unsafe", NotDone("no"), State.RETRYABLE),
        ("unsafe", Permanent("no"), State.FAILED),
        ("unsafe", RuntimeError("odd"), State.UNKNOWN),
        ("idempotent", SystemExit(), State.RETRYABLE),
    ],
    ids=["succeed", "local", "release", "fail", "doubt", "stop"],
)
def test_i6_nobody_is_told_before_the_commit(desk: Any, safety: str, end: Any, state: State) -> None:
    """Events come after commits: whoever is woken finds the outcome on record."""
    ledger = desk.ledger()
    probes: list[Probe] = []

    def handler(amount: int, effect: Effect) -> Any:
        probes.append(Probe(desk, ledger, effect.key))
        if isinstance(end, BaseException):
            raise end
        return end

    with suppress(Exception, SystemExit):
        run_sync(ledger.run(CALL, handler, safety=safety))

    assert probes[0].seen == [state]


def test_i6_nobody_is_told_of_a_commit_that_did_not_happen(desk: Any) -> None:
    ledger = Troubles(before_succeed=FOR_EVER).ledger(desk)
    probes: list[Probe] = []

    def handler(amount: int, effect: Effect) -> Any:
        probes.append(Probe(desk, ledger, effect.key))

    with pytest.raises(OutcomeUnknown):
        run_sync(ledger.run(CALL, handler))

    assert probes[0].seen == []
