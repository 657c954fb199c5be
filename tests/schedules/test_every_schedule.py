"""I1, I3, I6, I7 in every order of two and three callers: one winner, one record, one answer for all."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import pytest

from holdfast import Done, NotDone, Permanent, State, StillUnknown, ToolCall
from holdfast._runtime.drive import run_sync
from holdfast.errors import EffectFailed, LeaseLost, OutcomeUnknown
from holdfast.testing import every_schedule, random_schedules, switch, time_passes

CALL = ToolCall(workflow_id="order-123", tool="charge", args={"amount": 100})
LEASE_OVER_S = 11


def charging(stage: Any, *, ends: Any = None, lets_others_go: bool = True) -> Any:
    """A handler that may let others go on in its middle, counts, and brings a result of its own."""

    async def charge(amount: int) -> Any:
        if lets_others_go:
            await switch("handler")
        stage.executed["charge"] += 1
        if ends is not None:
            raise ends
        return {"id": f"charge-{stage.executed['charge']}"}

    return charge


def callers(stage: Any, count: int, handler: Any, *, shared: bool = False, **options: Any) -> list[Any]:
    """Callers of one effect, each in a process of its own or all on one ledger."""
    ledgers = [stage.process()] * count if shared else [stage.process() for _ in range(count)]
    return [ledger.run(CALL, handler, **options) for ledger in ledgers]


def orders(stage: Any, count: int, check: Callable[[list[Any]], None], **options: Any) -> int:
    """Try every order of *count* callers."""
    ends = options.pop("ends", None)

    def make() -> list[Any]:
        stage.clear()
        # With three callers, what happens in the middle of a handler would make 38,000 orders of 200.
        return callers(stage, count, charging(stage, ends=ends, lets_others_go=count == 2), **options)

    return every_schedule(make, check)


@pytest.mark.parametrize(
    ("safety", "shared"),
    [("unsafe", False), ("unsafe", True), ("idempotent", False)],
    ids=["unsafe", "unsafe-on-one-ledger", "idempotent"],
)
@pytest.mark.parametrize("count", [2, 3])
def test_i1_one_of_many_callers_executes_and_all_get_its_result(
    stage: Any, count: int, safety: str, shared: bool
) -> None:
    """C9, C10, IDE-04, IDE-18, I7: whoever claims first, the others join and receive its outcome."""

    def check(ends: list[Any]) -> None:
        assert stage.executed == {"charge": 1}
        assert ends == [{"id": "charge-1"}] * count
        assert (stage.effect.state, stage.effect.result) == (State.SUCCEEDED, {"id": "charge-1"})
        assert stage.events == ["claim", "succeed"]

    assert orders(stage, count, check, safety=safety, shared=shared) == {2: 24, 3: 198}[count]


def test_i1_nor_can_four_callers(stage: Any) -> None:
    """Drawn orders: four are too many to try all."""

    def make() -> list[Any]:
        stage.clear()
        return callers(stage, 4, charging(stage))

    def check(ends: list[Any]) -> None:
        assert stage.executed == {"charge": 1}
        assert ends == [{"id": "charge-1"}] * 4

    random_schedules(make, check, count=100, seed=1)


@pytest.mark.parametrize(
    ("safety", "error", "joiners_get", "state"),
    [
        ("unsafe", NotDone, EffectFailed, State.RETRYABLE),
        ("unsafe", Permanent, EffectFailed, State.FAILED),
        ("unsafe", RuntimeError, OutcomeUnknown, State.UNKNOWN),
        ("idempotent", RuntimeError, EffectFailed, State.RETRYABLE),
    ],
    ids=["not-done", "permanent", "odd", "odd-idempotent"],
)
def test_i1_joiners_receive_the_owners_error_and_never_execute_in_its_wake(
    stage: Any, safety: str, error: type[Exception], joiners_get: type[Exception], state: State
) -> None:
    """C8, C10: one that waited gets the owner's outcome; only one that came later may try again."""
    waited_and_ran: list[Any] = []

    def check(ends: list[Any]) -> None:
        assert stage.effect.state is state
        ran = stage.executed["charge"]
        assert [type(end) for end in ends].count(error) == ran
        assert all(isinstance(end, error | joiners_get) for end in ends)
        if state is not State.RETRYABLE:
            assert ran == 1
        waited_and_ran.append(ran)

    orders(stage, 2, check, safety=safety, ends=error)

    assert 1 in waited_and_ran
    assert (2 in waited_and_ran) == (state is State.RETRYABLE)


def test_reads_meet_without_waiting_for_each_other(stage: Any) -> None:
    """I6, I7: each is executed and recorded, and the trail tells of each."""

    def check(ends: list[Any]) -> None:
        assert stage.executed == {"charge": 2}
        assert sorted(end["id"] for end in ends) == ["charge-1", "charge-2"]
        assert stage.events == ["observe", "observe"]
        assert stage.effect.result in ends

    assert orders(stage, 2, check, safety="read", dependency=False) == 6


@pytest.mark.parametrize("safety", ["unsafe", "idempotent"])
def test_i3_a_lease_that_ends_at_any_moment_leaves_one_record(stage: Any, safety: str) -> None:
    """X3, IDE-19: the owner may be frozen anywhere; zombies keep their evidence and overwrite nothing."""

    def make() -> list[Any]:
        stage.clear()
        return [
            *callers(stage, 2, charging(stage), safety=safety),
            time_passes(stage.clock, LEASE_OVER_S),
        ]

    def check(ends: list[Any]) -> None:
        effect, events = stage.effect, stage.events
        assert effect.state is State.SUCCEEDED
        assert events.count("succeed") + events.count("resolve_done") == 1
        for end in ends[:2]:
            assert end == effect.result or isinstance(end, LeaseLost | OutcomeUnknown)
        if safety == "unsafe":
            assert stage.executed["charge"] == 1  # I1
            assert events in (["claim", "succeed"], ["claim", "doubt", "resolve_done"])
        else:
            # A successor that hears of the owner's success before it starts leaves it at that; whoever is told
            # that the claim was lost finds what he did in the trail.
            withdrawn = events.count("doubt")
            assert events.count("take_over") - withdrawn == stage.executed["charge"] - 1
            assert events.count("note") == sum(isinstance(end, LeaseLost) for end in ends[:2])

    assert every_schedule(make, check) > 300


@pytest.mark.parametrize("safety", ["unsafe", "idempotent", "local"])
@pytest.mark.parametrize("count", [2, 3])
def test_i3_successors_of_a_dead_worker_agree_in_every_order(stage: Any, count: int, safety: str) -> None:
    """I1, I2: one of them ends the dead claim; the others see what became of it."""

    def make() -> list[Any]:
        stage.clear()
        stage.die_holding(CALL, _forbidden, safety=safety)
        handler = charging(stage, lets_others_go=count == 2 and safety != "local")
        return callers(stage, count, handler, safety=safety)

    def check(ends: list[Any]) -> None:
        if safety == "unsafe":
            assert stage.executed == {}
            assert [type(end) for end in ends] == [OutcomeUnknown] * count
            assert stage.events == ["claim", "doubt"]
        else:
            assert stage.executed == {"charge": 1}
            assert ends == [{"id": "charge-1"}] * count
            assert stage.events == ["claim", "take_over", "succeed"]

    if count == 2:
        assert every_schedule(make, check) > 10
    else:  # thousands of orders: some of them
        random_schedules(make, check, count=100, seed=1)


@pytest.mark.parametrize(
    ("evidence", "executed"), [(Done({"id": "found"}), 0), (NotDone(), 1), (StillUnknown("no"), 0)]
)
def test_i1_reconcilers_that_meet_settle_doubt_once(stage: Any, evidence: Any, executed: int) -> None:
    """IDE-15, X2: two at once are harmless: the second to write looks again."""

    async def look(effect: Any) -> Any:
        await switch("reconciler")
        return evidence

    def make() -> list[Any]:
        stage.clear()
        stage.die_holding(CALL, _forbidden)
        return callers(stage, 2, charging(stage), reconcile=look)

    def check(ends: list[Any]) -> None:
        assert stage.executed["charge"] == executed
        events = stage.events
        assert events.count("resolve_done") + events.count("resolve_not_done") <= 1
        if isinstance(evidence, StillUnknown):
            assert [type(end) for end in ends] == [OutcomeUnknown] * 2
        else:
            wanted = {"id": "found"} if isinstance(evidence, Done) else {"id": "charge-1"}
            assert wanted in ends
            assert all(end == wanted or isinstance(end, EffectFailed) for end in ends)

    if stage.is_quick and not isinstance(evidence, NotDone):
        assert every_schedule(make, check) > 10
    else:  # thousands of orders: some of them
        random_schedules(make, check, count=100, seed=1)


def test_i3_a_person_and_a_late_worker_settle_doubt_once(stage: Any) -> None:
    """I3: the frozen worker's result and a person's word race; the first stands, the other is told."""

    def make() -> list[Any]:
        stage.clear()
        ledger = stage.process()

        async def stalls(amount: int) -> Any:
            stage.clock.advance(LEASE_OVER_S)
            stage.executed["charge"] += 1
            assert isinstance(_in_a_process_of_its_own(stage.look().run(CALL, _forbidden)), OutcomeUnknown)
            return {"id": "late"}

        async def person() -> Any:
            while not stage.executed["charge"]:
                await switch("person waits")
            key = stage.effect.key
            return await ledger.resolve(key, Done({"id": "seen"}), by="ops", reason="seen in the dashboard")

        return [stage.process().run(CALL, stalls), person()]

    def check(ends: list[Any]) -> None:
        assert stage.effect.result in ({"id": "late"}, {"id": "seen"})
        assert stage.events.count("resolve_done") == 1
        late_won = stage.effect.result == {"id": "late"}
        assert (ends[0] == {"id": "late"}) == late_won
        assert isinstance(ends[0], LeaseLost) != late_won

    random_schedules(make, check, count=60, seed=1)


@pytest.mark.parametrize("stage", ["memory"], indirect=True)
def test_leaving_out_swapped_reads_loses_no_outcome(stage: Any) -> None:
    """The explorer's own promise: what any drawn order shows, one of its orders shows."""
    seen: list[Any] = []

    def make() -> list[Any]:
        stage.clear()
        return [
            *callers(stage, 2, charging(stage), safety="idempotent"),
            time_passes(stage.clock, LEASE_OVER_S),
        ]

    def check(ends: list[Any]) -> None:
        seen.append((*map(_shape, ends), *stage.events))

    every_schedule(make, check)
    explored = set(seen)
    seen.clear()
    random_schedules(make, check, count=300, seed=7)

    assert set(seen) <= explored


def _shape(end: Any) -> str:
    return type(end).__name__ if isinstance(end, Exception) else str(end)


def _forbidden(amount: int) -> Any:
    raise AssertionError


def _in_a_process_of_its_own(coro: Any) -> Any:
    try:
        return contextvars.Context().run(run_sync, coro)
    except OutcomeUnknown as error:
        return error
