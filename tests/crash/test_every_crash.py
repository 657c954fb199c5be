"""I1, I2, I6, I7: whatever the moment of death, nothing is done twice and nothing is lost but certainty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from holdfast import Done, Effect, Ledger, NotDone, Permanent, Safety, State, StillUnknown, ToolCall
from holdfast._core.states import Event
from holdfast.errors import EffectFailed, LeaseLost, OutcomeUnknown
from holdfast.testing import CrashReport, Life, World

CALL = ToolCall(workflow_id="order-123", tool="charge", args={"amount": 100, "currency": "usd"})
RESULT = {"id": "ch_1", "lines": [1, None, {"ü": 2**60}]}

CLAIMED = ("before claim", "after claim", "before handler", "after handler")
LOOKS = ("before signals", "after signals")
DOUBTFUL = {"after claim", "before handler", "after handler", "before succeed"}
"""Where nobody can know afterwards: the claim is on record, the outcome is not."""

EveryCrash = Callable[..., CrashReport]


def charging(**options: Any) -> Any:
    """A process that charges, and is told the result."""

    async def scenario(ledger: Ledger, world: World) -> Any:
        return await ledger.run(CALL, world.tool("charge", RESULT), **options)

    return scenario


def events(world: World) -> list[str]:
    """The story of the only effect."""
    [effect] = world.effects()
    return [str(event.event) for event in world.look(lambda ledger: ledger.audit(effect.key))]


def test_i1_i2_no_crash_executes_an_unsafe_effect_twice(every_crash: EveryCrash, store: str) -> None:
    """IDE-02, IDE-05, IDE-13: before the claim nothing happened; after the record all is known; in between, doubt."""

    def check(world: World, life: Life) -> None:
        [effect] = world.effects()
        assert world.executed["charge"] <= 1
        if world.lives[0].died_at in DOUBTFUL:
            assert isinstance(life.end, OutcomeUnknown)
            assert (effect.state, effect.result) == (State.UNKNOWN, None)
        else:
            assert world.executed["charge"] == 1
            assert life.end == effect.result == RESULT
            assert effect.state is State.SUCCEEDED

    report = every_crash(charging(), check, store=store)

    assert report.boundaries == (*CLAIMED, "before succeed", "after succeed")
    assert report.repeated == {}


@pytest.mark.parametrize("safety", [Safety.UNSAFE, Safety.IDEMPOTENT])
def test_i1_i2_nor_does_a_second_death_during_recovery(every_crash: EveryCrash, safety: Safety) -> None:
    def check(world: World, life: Life) -> None:
        if safety is Safety.UNSAFE:
            assert world.executed["charge"] <= 1
            assert life.end == RESULT or isinstance(life.end, OutcomeUnknown)
        else:
            assert life.end == RESULT
            assert world.executed["charge"] <= 3

    report = every_crash(charging(safety=safety), check, store="sqlite", deaths=2)

    assert len(report) == 6
    assert report.worlds == (53 if safety is Safety.UNSAFE else 69)  # a look before what may be repeated is


def test_i2_an_idempotent_effect_is_always_finished_under_one_key(
    every_crash: EveryCrash, store: str
) -> None:
    """IDE-03, IDE-17, IDE-24: the same idem_key on all attempts, in all lives."""
    sent: dict[str, set[str]] = {}

    async def scenario(ledger: Ledger, world: World) -> Any:
        def charge(amount: int, currency: str, effect: Effect) -> Any:
            world.executed["charge"] += 1
            sent.setdefault(world.tenant, set()).add(effect.idem_key)
            return RESULT

        return await ledger.run(CALL, charge, safety="idempotent")

    def check(world: World, life: Life) -> None:
        [effect] = world.effects()
        assert life.end == effect.result == RESULT
        assert 1 <= world.executed["charge"] <= 2
        assert sent[world.tenant] == {effect.key.removeprefix("v1:")}
        assert effect.attempt == (2 if world.lives[0].died_at in DOUBTFUL else 1)

    report = every_crash(scenario, check, store=store)

    assert report.boundaries == (*CLAIMED, "before succeed", "after succeed")
    assert report.repeated == {"charge": 2}


def test_i2_a_read_is_executed_in_every_life_and_holds_no_claim(every_crash: EveryCrash, store: str) -> None:
    def check(world: World, life: Life) -> None:
        [effect] = world.effects()
        assert life.end == effect.result == RESULT
        assert effect.state is State.SUCCEEDED
        assert set(events(world)) == {"observe"}

    report = every_crash(charging(safety="read"), check, store=store)

    looks = ("before dependency", "after dependency")  # at its breaker, once a second at most
    assert report.boundaries == (*looks, "before handler", "after handler", "before observe", "after observe")


@pytest.mark.parametrize("deaths", [1, 2])
def test_i1_i2_a_reconciler_turns_every_doubt_into_exactly_once(
    every_crash: EveryCrash, store: str, deaths: int
) -> None:
    """IDE-15, X2: done is answered with what was found, not done is executed after all."""
    if deaths == 2 and store not in {"memory", "sqlite"}:
        store = "memory"  # two deaths are many lives; the first one is tried on every store

    async def scenario(ledger: Ledger, world: World) -> Any:
        def look(effect: Effect) -> Done | NotDone:
            return Done(RESULT) if world.executed["charge"] else NotDone()

        return await ledger.run(CALL, world.tool("charge", RESULT), reconcile=look)

    def check(world: World, life: Life) -> None:
        [effect] = world.effects()
        assert world.executed["charge"] == 1
        assert life.end == effect.result == RESULT
        assert world.look(lambda ledger: ledger.effects(state="unknown")) == []

    report = every_crash(scenario, check, store=store, deaths=deaths)

    assert len(report) == 6
    assert report.repeated == {}


def test_i2_a_reconciler_that_cannot_tell_leaves_doubt_and_its_reason(
    every_crash: EveryCrash, store: str
) -> None:
    """X2: stays unknown, visible in a list."""

    async def scenario(ledger: Ledger, world: World) -> Any:
        return await ledger.run(
            CALL, world.tool("charge", RESULT), reconcile=lambda effect: StillUnknown("the provider is away")
        )

    def check(world: World, life: Life) -> None:
        if world.lives[0].died_at not in DOUBTFUL:
            assert life.end == RESULT
            return
        assert isinstance(life.end, OutcomeUnknown)
        [doubt] = world.look(lambda ledger: ledger.effects(state="unknown"))
        told = world.look(lambda ledger: ledger.audit(doubt.key))[-1].details
        assert (told["reconciled"], told["why"]) == ("still_unknown", "the provider is away")
        assert world.executed["charge"] <= 1

    assert len(every_crash(scenario, check, store=store)) == 6


@pytest.mark.parametrize(
    ("error", "event", "state"),
    [
        (NotDone("declined"), "release", State.RETRYABLE),
        (Permanent("no such card"), "fail", State.FAILED),
        (RuntimeError("reset"), "doubt", State.UNKNOWN),
    ],
    ids=["not-done", "permanent", "odd"],
)
def test_i2_an_error_survives_every_crash_as_what_it_proves(
    every_crash: EveryCrash, store: str, error: Exception, event: str, state: State
) -> None:
    """IDE-21: not done is tried again, permanent is final, anything else is doubt."""

    async def scenario(ledger: Ledger, world: World) -> Any:
        return await ledger.run(CALL, world.tool("charge", raises=error))

    def check(world: World, life: Life) -> None:
        [effect] = world.effects()
        interrupted = world.lives[0].died_at in {*DOUBTFUL, *LOOKS, f"before {event}"} - {"before claim"}
        assert effect.state is (State.UNKNOWN if interrupted else state)
        assert isinstance(life.end, (OutcomeUnknown, EffectFailed, type(error)))
        if interrupted or state is not State.RETRYABLE:
            assert world.executed["charge"] <= 1
        else:
            assert life.end is error

    report = every_crash(scenario, check, store=store)

    record = (f"before {event}", f"after {event}")  # "not done" is recorded if nobody told the contrary
    assert report.boundaries == (*CLAIMED, *((*record, *LOOKS) if event == "doubt" else (*LOOKS, *record)))


STORIES = {
    None: ["claim", "succeed"],
    "before claim": ["claim", "succeed"],
    "after claim": ["claim", "doubt"],
    "before handler": ["claim", "doubt"],
    "after handler": ["claim", "doubt"],
    "before succeed": ["claim", "doubt"],
    "after succeed": ["claim", "succeed"],
}


def test_i6_every_transition_is_in_the_trail_of_every_history(every_crash: EveryCrash, store: str) -> None:
    """OBS-03: no entry without its transition, no transition without its entry; and the chains verify."""

    def check(world: World, life: Life) -> None:
        assert events(world) == STORIES[world.lives[0].died_at]
        report = world.verify()
        assert report.ok
        assert (report.chains, report.entries) == (1, 2)

    every_crash(charging(), check, store=store)


def test_i7_what_is_replayed_is_what_was_recorded(every_crash: EveryCrash, store: str) -> None:
    """IDE-04, IDE-26: the same result, the same proof, and nothing runs."""

    async def scenario(ledger: Ledger, world: World) -> Any:
        first = await ledger.call(CALL, world.tool("charge", RESULT), safety="idempotent")
        ran = world.executed["charge"]
        again = await ledger.call(CALL, world.tool("charge", "another"), safety="idempotent")
        assert world.executed["charge"] == ran
        return first, again

    def check(world: World, life: Life) -> None:
        assert isinstance(life.end, tuple)
        first, again = life.end
        [effect] = world.effects()
        assert first.result == again.result == effect.result == RESULT
        assert again.replayed
        assert first.audit_hash == again.audit_hash
        assert first.observed_at == again.observed_at == effect.observed_at

    every_crash(scenario, check, store=store)


def test_i3_a_dead_or_living_zombie_never_overwrites_its_successor(
    every_crash: EveryCrash, store: str
) -> None:
    """IDE-19, X3: the lease runs out while the handler runs; a successor executes and records meanwhile."""

    async def succeed(ledger: Ledger, world: World) -> Any:
        return await ledger.run(CALL, world.tool("successor", "new"), safety="idempotent")

    async def scenario(ledger: Ledger, world: World) -> Any:
        def stalls(amount: int, currency: str) -> str:
            world.executed["zombie"] += 1
            world.recover()
            assert world.live(succeed).end == "new"
            return "old"

        return await ledger.run(CALL, stalls, safety="idempotent")

    def check(world: World, life: Life) -> None:
        [effect] = world.effects()
        assert life.end == "new" or isinstance(life.end, LeaseLost)
        assert effect.result == "new"
        assert world.executed == {"zombie": 1, "successor": 1}
        told = world.look(lambda ledger: ledger.audit(effect.key))
        assert [event.event for event in told].count(Event.SUCCEED) == 1
        assert [event.details["late_result"] for event in told if event.event is Event.NOTE] in ([], ["old"])

    report = every_crash(scenario, check, store=store)

    assert report.boundaries == (*CLAIMED, "before succeed", "after succeed", "before note", "after note")
