"""Attacks on the promises of retries that once went through: each stays here."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from desk import Desk
from holdfast import (
    Cause,
    Dependency,
    Done,
    Fault,
    FaultKind,
    Ledger,
    NotDone,
    RetryPolicy,
    State,
    StillUnknown,
    SyncLedger,
    ToolCall,
)
from holdfast._runtime.drive import run_sync
from holdfast.errors import CircuitOpen, EffectFailed, OutcomeUnknown
from holdfast.stores.memory import MemoryStore
from retry.world import CALL, Service, answer, ask, end_of, lost, refused

FOUND = {"id": "ch_9"}


def test_an_old_not_done_is_no_leave_for_later_attempts(desk: Desk) -> None:
    """I1, IDE-27: it was told of the first attempt; the second one is in doubt, and stays so."""
    service = Service(desk, lost(), lost())
    end_of(desk, service)
    key = desk.effect.key
    desk.clock.advance(60)
    ask(desk, lambda ledger: ledger.observe(key, NotDone(), signal_id="evt_1"))
    end_of(desk, service)
    desk.clock.advance(600)

    again = end_of(desk, service)
    ask(desk, lambda ledger: ledger.sweep())

    assert len(service.at) == 2
    assert isinstance(again, OutcomeUnknown)
    assert desk.effect.state is State.UNKNOWN


def test_what_the_outside_told_is_done_is_not_tried_again(desk: Desk) -> None:
    """I1, IDE-27: the proof of the first attempt comes while the second one is under way, which is then refused."""
    ledger = desk.ledger()

    def refused_meanwhile(amount: int) -> Any:
        if desk.effect.attempt == 1:
            raise NotDone("taken for not done")
        run_sync(desk.ledger().observe(desk.effect.key, Done(FOUND), signal_id="evt_1"))
        raise answer(429, retry_after="1")

    end_of(desk, refused_meanwhile, ledger=ledger)

    assert end_of(desk, refused_meanwhile, ledger=ledger) == FOUND
    assert desk.effect.attempt == 2


def test_evidence_about_the_unfinished_is_not_reaped(desk: Desk) -> None:
    """IDE-20, I2: retention removes what is finished, and nothing that may be the only proof."""
    desk.die_holding(CALL, Service(desk))
    ask(desk, lambda ledger: ledger.observe(desk.effect.key, Done(FOUND), signal_id="evt_1"))
    desk.clock.advance(7 * 86400)

    ask(desk, lambda ledger: ledger.reap(older_than="1d"))

    assert end_of(desk, Service(desk)) == FOUND


def test_what_an_inner_effect_met_says_nothing_of_the_outer_one(desk: Desk) -> None:
    """I1: the inner call ends in doubt between two attempts, and its own refusal comes out of the outer handler."""
    ledger, ran = desk.ledger(), []
    inner = Service(desk, answer(429, retry_after="1"))
    probes = iter([StillUnknown()])

    async def outer(amount: int) -> Any:
        ran.append(amount)
        call = ToolCall(tool="inner", args={"amount": 1})
        return await ledger.run(call, inner, probe=lambda effect: next(probes, StillUnknown()))

    error = end_of(desk, outer, ledger=ledger)
    again = end_of(desk, outer, ledger=ledger)

    assert error.response.status_code == 429
    assert isinstance(again, OutcomeUnknown)
    assert ran == [100]


def test_late_words_of_an_inner_effect_are_not_the_outer_ones() -> None:
    """I1: a blocking handler outlives its timeout and then passes on what another effect's handler raised."""
    goes_on, ran = threading.Event(), []
    with SyncLedger(MemoryStore(is_test=True)) as ledger:

        def inner(amount: int) -> None:
            raise NotDone("inner did nothing")

        def outer(amount: int) -> None:
            ran.append(amount)
            try:
                ledger.run(ToolCall(tool="inner", args={"amount": 1}), inner, wait=60)
            except NotDone:
                goes_on.wait(60)
                raise

        with pytest.raises(OutcomeUnknown):
            ledger.run(CALL, outer, timeout=0.5)
        goes_on.set()
        run_sync(ledger._engine.parts.runtime.close(60))
        [effect] = ledger.effects(tool=CALL.tool)

    assert effect.state is State.UNKNOWN
    assert ran == [100]


def test_a_late_refusal_does_not_make_an_earlier_doubt_certain(desk: Desk) -> None:
    """I2: it speaks for its own attempt; the first one may have gone through all the same."""
    ledger, service = desk.ledger(), Service(desk, lost())

    def handler(amount: int, effect: Any) -> Any:
        if not service.at:
            return service(amount, effect)
        desk.clock.advance(20)
        raise answer(401)

    policy = RetryPolicy(initial_interval=1, maximum_attempts=2)
    end_of(desk, handler, ledger=ledger, safety="idempotent", retry=policy, timeout=5)

    for runtime in desk.runtimes:
        run_sync(runtime.deliver_late())

    assert desk.effect.state is State.UNKNOWN
    assert desk.effect.uncertain


def test_a_block_is_judged_by_what_came_before_it(desk: Desk) -> None:
    """I2, INT-07: the refusal in the block is final for this attempt only."""
    end_of(desk, Service(desk, lost()), safety="idempotent", retry=False)
    ledger = desk.ledger()

    with pytest.raises(type(answer(400))):
        run_sync(refused_in_a_block(ledger, answer(400)))

    assert desk.effect.state is State.UNKNOWN


async def refused_in_a_block(ledger: Any, error: Exception) -> None:
    async with ledger.begin(CALL, safety="idempotent"):
        raise error


def test_blocks_count_against_a_declared_budget_and_tell_of_the_dependency(desk: Desk) -> None:
    """RET-11, RET-16, INT-07: as handlers do."""
    policy = RetryPolicy(maximum_attempts=2)
    began = 0

    async def block(ledger: Any) -> None:
        nonlocal began
        async with ledger.begin(CALL, retry=policy):
            began += 1
            raise refused()

    for _ in range(4):
        with pytest.raises((type(refused()), EffectFailed)):
            run_sync(block(desk.ledger()))

    assert began == 2
    [dependency] = ask(desk, lambda ledger: ledger.dependencies())
    assert dependency.bad == 2


@pytest.mark.parametrize("error", [ValueError("never again"), NotDone("full")], ids=["forbidden", "not-done"])
def test_a_declared_number_of_attempts_holds_however_they_end(desk: Desk, error: Exception) -> None:
    """RET-11: also for errors that are not tried again by themselves."""
    policy = RetryPolicy(maximum_attempts=2, initial_interval=0.01, non_retryable_error_types=[ValueError])
    service = Service(desk, *[error] * 9)

    for _ in range(5):
        end_of(desk, service, retry=policy, safety="idempotent")

    assert len(service.at) == 2


def test_joiners_make_no_retry_that_nobody_paid_for() -> None:
    """RET-15: six callers of one effect, and a budget of none."""
    poor = Dependency("x", retry_burst=0, retries_per_minute=0, retry_ratio=0, minimum_calls=1000)
    options: Any = {"dependency": poor, "retry": RetryPolicy(initial_interval=0.01, maximum_attempts=6)}
    ran: list[int] = []

    async def scenario() -> None:
        async with Ledger(MemoryStore(is_test=True)) as ledger:
            waiting = asyncio.Event()

            async def handler(amount: int) -> None:
                ran.append(amount)
                await waiting.wait()
                raise refused()

            calls = [asyncio.ensure_future(ledger.run(CALL, handler, **options)) for _ in range(6)]
            while not ran:
                await asyncio.sleep(0)
            for _ in range(50):
                await asyncio.sleep(0)
            waiting.set()
            await asyncio.gather(*calls, return_exceptions=True)

    asyncio.run(scenario())

    assert len(ran) == 1


@pytest.mark.parametrize("safety", ["read", "idempotent"])
def test_nobody_retries_for_a_caller_that_left(safety: Any) -> None:
    """RET-13: what is under way ends and is recorded; no other attempt follows."""
    ran: list[int] = []

    async def scenario() -> None:
        async with Ledger(MemoryStore(is_test=True)) as ledger:
            goes_on = asyncio.Event()

            async def handler(amount: int) -> None:
                ran.append(amount)
                await goes_on.wait()
                raise refused("GET")

            policy = RetryPolicy(initial_interval=0.01, maximum_attempts=5)
            call = asyncio.ensure_future(ledger.run(CALL, handler, safety=safety, retry=policy))
            while not ran:
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            goes_on.set()

    asyncio.run(scenario())

    assert len(ran) == 1


def test_a_thread_that_runs_on_is_not_taken_for_not_done() -> None:
    """I1: whatever a classifier says of our own timeout."""
    goes_on, ran = threading.Event(), []
    with SyncLedger(MemoryStore(is_test=True)) as ledger:

        def handler(amount: int) -> None:
            ran.append(amount)
            goes_on.wait(60)

        with pytest.raises(OutcomeUnknown):
            ledger.run(
                CALL,
                handler,
                timeout=0.1,
                classify=lambda _: NotDone,
                retry=RetryPolicy(initial_interval=0.01),
            )
        [effect] = ledger.effects()
        goes_on.set()

    assert effect.state is State.UNKNOWN
    assert ran == [100]


def test_good_outcomes_of_a_worker_that_ends_are_not_lost(tmp_path: Path) -> None:
    """RET-16: many short-lived workers, one fault in twenty: no reason to open."""
    url, dependency = f"sqlite:///{tmp_path}/ledger.db", Dependency("stripe", minimum_calls=4)
    met: list[type] = []
    for n in range(40):
        with SyncLedger(url) as ledger:
            call = ToolCall(workflow_id=f"order-{n}", tool="charge", args={"amount": n})

            def handler(amount: int) -> int:
                if amount % 8 == 0:
                    raise answer(503)
                return amount

            try:
                ledger.run(call, handler, safety="idempotent", retry=False, dependency=dependency)
            except Exception as error:  # noqa: BLE001 - how it ends is what is looked at
                met.append(type(error))

    assert CircuitOpen not in met


def test_a_probe_speaks_for_itself_and_not_for_the_time_before_the_outage(desk: Desk) -> None:
    """RET-16: successes that were not told yet do not close the circuit."""
    stripe: Any = {
        "dependency": Dependency("stripe", minimum_calls=2),
        "safety": "idempotent",
        "retry": False,
    }
    ledger = desk.ledger()
    end_of(
        desk, Service(desk), ToolCall(workflow_id="w", tool="t", args={"amount": 1}), ledger=ledger, **stripe
    )
    for n in range(2):
        call = ToolCall(workflow_id=f"w{n}", tool="t", args={"amount": 1})
        end_of(desk, Service(desk, refused()), call, **stripe)
    desk.clock.advance(31)

    bug = Service(desk, RuntimeError("a bug"))
    end_of(desk, bug, ToolCall(workflow_id="w9", tool="t", args={"amount": 1}), ledger=ledger, **stripe)

    [dependency] = ask(desk, lambda ledger: ledger.dependencies())
    assert len(bug.at) == 1
    assert dependency.state == "open"


def test_a_probe_may_call_the_system_that_it_probes(desk: Desk) -> None:
    """RET-16: a call inside the probe's handler belongs to it; else such a circuit could never close."""
    stripe: Any = {
        "dependency": Dependency("stripe", minimum_calls=2),
        "safety": "idempotent",
        "retry": False,
    }
    ledger, inner = desk.ledger(), Service(desk)
    run_sync(ledger.effects())  # the first to come makes the tables
    for n in range(2):
        call = ToolCall(workflow_id=f"w{n}", tool="t", args={"amount": 1})
        end_of(desk, Service(desk, refused()), call, **stripe)
    desk.clock.advance(31)

    async def outer(amount: int) -> Any:
        return await ledger.run(ToolCall(tool="inner", args={"amount": 1}), inner, **stripe)

    assert end_of(desk, outer, ledger=ledger, **stripe) == {"id": "ch_1"}
    [dependency] = ask(desk, lambda ledger: ledger.dependencies())
    assert dependency.state == "closed"


def test_one_answer_cannot_shut_everybody_out_for_a_day(desk: Desk) -> None:
    """RET-16: what a server asks for is heard up to the longest that the author allows."""
    service = Service(desk, *[answer(429, retry_after="86400") for _ in range(5)])
    for n in range(5):
        call = ToolCall(workflow_id=f"w{n}", tool="t", args={"amount": 1})
        end_of(desk, service, call, dependency="stripe")
    desk.clock.advance(301)

    last = ToolCall(workflow_id="w9", tool="t", args={"amount": 1})
    assert end_of(desk, service, last, dependency="stripe") == {"id": "ch_1"}


@pytest.mark.parametrize("wait", [float("nan"), float("inf"), -1.0, 1e18, True, "soon"])
def test_an_impossible_wait_does_not_keep_the_outcome_from_being_recorded(desk: Desk, wait: Any) -> None:
    """I2: whatever a classifier of the user's makes up."""

    def classify(_: Exception) -> Fault:
        return Fault(
            kind=FaultKind.RATE_LIMITED,
            cause=Cause.THROTTLE,
            retry_after_s=wait,
            may_have_acted=False,
            why="busy",
        )

    end_of(desk, Service(desk, KeyError("k")), classify=classify, retry=RetryPolicy(longest_wait=1))

    assert desk.effect.state in {State.RETRYABLE, State.SUCCEEDED}


def test_a_sealed_signal_cannot_be_guessed_by_its_name(tmp_path: Path) -> None:
    """I8: the name of a signal that brings none is no plain hash of what is sealed."""
    import os

    from holdfast.codecs import AesGcmCodec

    codec = AesGcmCodec({"k1": os.urandom(32)})
    with SyncLedger(f"sqlite:///{tmp_path}/ledger.db", codec=codec) as ledger:
        with pytest.raises(type(lost())):
            ledger.run(CALL, _loses)
        [effect] = ledger.effects()
        for _ in range(2):
            ledger.observe(effect.key, StillUnknown(), evidence={"iban": "DE02120300000000202051"})
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        names = {row[0] for row in db.execute("SELECT id FROM holdfast_signal")}

    assert len(names) == 2


def _loses(amount: int) -> None:
    raise lost()


def test_an_error_that_refuses_to_be_looked_at_is_still_the_callers_own(desk: Desk) -> None:
    """C8: a property that raises does not take its place."""

    class Shy(ConnectionResetError):
        @property
        def attempts(self) -> int:
            raise RuntimeError("hostile")

    error = end_of(desk, Service(desk, Shy()))

    assert isinstance(error, Shy)


def test_a_schemas_own_words_are_told_and_other_values_are_not(desk: Desk) -> None:
    """I8, RET-07: what a checker raises may show values; only its kind is told."""

    def check(args: Any) -> None:
        raise ValueError(f"{args['amount']} is not a card")

    ledger = desk.ledger()
    call = ToolCall(workflow_id="w", tool="t", args={"amount": "4111-1111"})
    ledger.tool("t", schema=check)(lambda amount: amount)

    [receipt] = run_sync(ledger.turn([call]))

    assert "4111" not in receipt.for_model()
    assert "ValueError" in receipt.for_model()


def test_impatience_of_callers_is_not_the_other_sides_wish(desk: Desk) -> None:
    """RET-13: a caller that waits a second at most waits less for each draw; it does not give up by chance."""
    service = Service(desk, *[lost() for _ in range(3)])

    assert end_of(desk, service, safety="idempotent", retry=RetryPolicy(longest_wait=1)) == {"id": "ch_1"}
    assert max(service.delays) <= 1.01
