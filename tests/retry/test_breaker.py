"""One circuit per dependency, shared by all workers: it opens, lets one call probe, and closes."""

from __future__ import annotations

from typing import Any

import httpx
import pydantic
import pytest

from desk import Desk
from holdfast import Dependency, RetryPolicy, State, ToolCall
from holdfast._runtime.drive import run_sync
from holdfast.errors import CircuitOpen
from holdfast.ledger import DependencyState
from retry.world import Service, answer, ask, end_of, lost, refused, told

STRIPE = Dependency("stripe", minimum_calls=4, failure_rate=0.5, window="60s", open_for="30s")
OPTIONS: Any = {"dependency": STRIPE, "safety": "idempotent", "retry": False}


def call(n: int) -> ToolCall:
    return ToolCall(workflow_id=f"order-{n}", tool="stripe.charge", args={"amount": n})


def state(desk: Desk) -> DependencyState:
    [only] = ask(desk, lambda ledger: ledger.dependencies())
    return only


def broken(desk: Desk, count: int = 4, fault: Any = refused) -> None:
    """Let *count* calls fail, each in a process of its own."""
    for n in range(count):
        end_of(desk, Service(desk, fault()), call(n), **OPTIONS)


def test_it_opens_when_too_many_fail_and_the_next_call_is_not_sent(desk: Desk) -> None:
    """RET-16: every process learns it, and nothing is recorded of what was not sent."""
    broken(desk)
    service = Service(desk)

    error = end_of(desk, service, call(9), **OPTIONS)

    assert isinstance(error, CircuitOpen)
    assert service.at == []
    assert state(desk).state == "open"
    assert not [
        effect for effect in ask(desk, lambda ledger: ledger.effects()) if effect.workflow_id == "order-9"
    ]


def test_with_few_calls_a_rate_says_nothing(desk: Desk) -> None:
    """RET-16: three of three failed, and the minimum is four."""
    broken(desk, 3)

    assert end_of(desk, Service(desk), call(9), **OPTIONS) == {"id": "ch_1"}


def test_successes_count_against_the_rate(desk: Desk) -> None:
    """RET-16: four of ten is less than half."""
    ledger = desk.ledger()
    for n in range(6):
        end_of(desk, Service(desk), call(n), ledger=ledger, **OPTIONS)
    for n in range(6, 10):
        end_of(desk, Service(desk, refused()), call(n), ledger=ledger, **OPTIONS)

    assert state(desk).state == "closed"


def test_what_is_outside_the_window_is_forgotten(desk: Desk) -> None:
    """RET-16: outcomes slide out of the window with time."""
    broken(desk, 3)
    desk.clock.advance(90)
    end_of(desk, Service(desk, refused()), call(3), **OPTIONS)

    assert state(desk).state == "closed"


@pytest.mark.parametrize(
    "fault",
    [lambda: answer(400), lambda: answer(404), lambda: answer(401), lambda: ValueError("a bug")],
    ids=["400", "404", "401", "bug"],
)
def test_only_faults_of_the_dependency_count(desk: Desk, fault: Any) -> None:
    """RET-16: a refusal is an answer, and a bug of ours is no outage."""
    broken(desk, 12, fault)

    known = ask(desk, lambda ledger: ledger.dependencies())

    assert all(each.state == "closed" and each.bad == 0 for each in known)


def test_a_replay_needs_no_dependency(desk: Desk) -> None:
    """RET-16, IDE-04: what is on record is answered while the circuit is open."""
    end_of(desk, Service(desk), call(9), **OPTIONS)
    broken(desk)

    assert end_of(desk, Service(desk), call(9), **OPTIONS) == {"id": "ch_1"}


def test_half_open_lets_exactly_one_of_twenty_through(desk: Desk) -> None:
    """RET-16: twenty processes come when the time is over; while the one probe is under way, the others are refused."""
    broken(desk)
    desk.clock.advance(31)
    sent: list[int] = []
    refusals: list[Any] = []

    def probing(amount: int) -> Any:
        sent.append(amount)
        if len(sent) == 1:
            refusals.extend(end_of(desk, probing, call(n), **OPTIONS) for n in range(21, 40))
        return {"id": "ch_1"}

    result = end_of(desk, probing, call(20), **OPTIONS)

    assert result == {"id": "ch_1"}
    assert sent == [20]
    assert [type(error) for error in refusals] == [CircuitOpen] * 19
    assert state(desk).state == "closed"


def test_a_failed_probe_opens_it_for_longer(desk: Desk) -> None:
    """RET-16: thirty seconds, then sixty."""
    broken(desk)
    desk.clock.advance(31)
    end_of(desk, Service(desk, refused()), call(9), **OPTIONS)
    desk.clock.advance(31)

    early = end_of(desk, Service(desk), call(9), **OPTIONS)
    desk.clock.advance(31)
    result = end_of(desk, Service(desk), call(9), **OPTIONS)

    assert isinstance(early, CircuitOpen)
    assert result == {"id": "ch_1"}


@pytest.mark.parametrize("end", [ValueError("a bug"), None], ids=["bug", "replayed"])
def test_a_probe_that_tells_nothing_leaves_the_next_call_to_be_one(desk: Desk, end: Any) -> None:
    """RET-16: nobody waits for an answer that cannot come."""
    end_of(desk, Service(desk), call(9), **OPTIONS)
    broken(desk)
    desk.clock.advance(31)
    end_of(desk, Service(desk, end) if end else Service(desk), call(8 if end else 9), **OPTIONS)

    assert end_of(desk, Service(desk), call(10), **OPTIONS) == {"id": "ch_1"}


def test_a_probe_whose_process_died_is_given_up_after_its_time(desk: Desk) -> None:
    """RET-16, I2: a crash must not leave the circuit half-open for ever."""
    broken(desk)
    desk.clock.advance(31)
    desk.begin(call(20), **OPTIONS)  # and is never heard of again

    soon = end_of(desk, Service(desk), call(21), **OPTIONS)
    desk.clock.advance(61)
    later = end_of(desk, Service(desk), call(21), **OPTIONS)

    assert isinstance(soon, CircuitOpen)
    assert later == {"id": "ch_1"}


def test_opening_between_two_attempts_leaves_the_effect_resumable_under_its_key(desk: Desk) -> None:
    """RET-17: it is on record as not done, with its key; when the circuit is closed the same call goes on, once."""
    service = Service(desk, answer(429), answer(429))
    options: Any = {"dependency": Dependency("stripe", throttled_in_a_row=2)}

    first = end_of(desk, service, call(1), **options)
    while_open = end_of(desk, service, call(1), **options)
    desk.clock.advance(60)
    result = end_of(desk, service, call(1), **options)

    assert first.response.status_code == 429
    assert isinstance(while_open, CircuitOpen)
    assert result == {"id": "ch_1"}
    assert len(service.at) == 3
    assert len(set(service.keys)) == 1
    assert desk.effect.state is State.SUCCEEDED


def test_reads_are_refused_and_probe_as_well(desk: Desk) -> None:
    """RET-16: they hold no claim, and knock at the circuit all the same."""
    broken(desk)
    reading: Any = {**OPTIONS, "safety": "read"}
    service = Service(desk)

    refusal = end_of(desk, service, call(9), **reading)
    desk.clock.advance(31)
    result = end_of(desk, service, call(9), **reading)

    assert isinstance(refusal, CircuitOpen)
    assert result == {"id": "ch_1"}
    assert state(desk).state == "closed"


def test_tenants_have_circuits_of_their_own(desk: Desk) -> None:
    """RET-16, SEC-17: one tenant's trouble, or malice, stops no other."""
    broken(desk)
    other = desk.ledger().scoped(tenant="acme")

    assert run_sync(other.run(call(9), Service(desk), **OPTIONS)) == {"id": "ch_1"}


def test_people_are_told_once_when_it_opens_and_once_when_it_closes(desk: Desk) -> None:
    """RET-16: not by every caller that is refused."""
    ledger = desk.ledger()
    alerts = told(desk, ledger)
    for n in range(8):
        end_of(desk, Service(desk, refused()), call(n), ledger=ledger, **OPTIONS)
    desk.clock.advance(31)
    end_of(desk, Service(desk), call(20), ledger=ledger, **OPTIONS)

    assert [alert.code for alert in alerts] == ["circuit_opened", "circuit_closed"]


def test_a_breaker_that_is_off_never_opens(desk: Desk) -> None:
    """RET-16: the author's choice."""
    options: Any = {**OPTIONS, "dependency": Dependency("stripe", minimum_calls=1, breaker=False)}
    for n in range(8):
        end_of(desk, Service(desk, refused()), call(n), **options)

    assert end_of(desk, Service(desk), call(9), **options) == {"id": "ch_1"}


def test_retries_of_all_workers_draw_from_one_budget(desk: Desk) -> None:
    """RET-15: two tokens, and three workers that would like to retry three times each."""
    poor = Dependency("stripe", breaker=False, retry_burst=2, retries_per_minute=0, retry_ratio=0)
    services = [Service(desk, *[lost()] * 9) for _ in range(3)]

    for n, service in enumerate(services):
        end_of(desk, service, call(n), dependency=poor, safety="idempotent")

    assert sum(len(service.at) for service in services) == 3 + 2


def test_a_caller_that_executes_by_itself_may_be_the_probe(desk: Desk) -> None:
    """RET-16, INT-07: ``begin`` tells how the dependency is, as a handler does."""
    broken(desk)
    desk.clock.advance(31)
    begun = desk.begin(call(20), **OPTIONS)

    begun.succeed({"id": "ch_1"})

    assert state(desk).state == "closed"


OWN_ERRORS = {
    "a value that does not fit": lambda: pydantic.TypeAdapter(int).validate_python("x"),
    "an address that cannot be called": lambda: httpx.get("ftp://bank.test"),
    "a bug": lambda: {}["missing"],
}


@pytest.mark.parametrize("error", OWN_ERRORS)
def test_a_probe_that_never_reached_the_other_side_does_not_close_the_circuit(desk: Desk, error: str) -> None:
    """RET-16: one's own errors are no answers."""
    broken(desk)
    desk.clock.advance(31)

    end_of(desk, lambda amount: OWN_ERRORS[error](), call(9), **OPTIONS)

    assert state(desk).state == "open"


@pytest.mark.parametrize("error", OWN_ERRORS)
def test_ones_own_errors_do_not_keep_the_circuit_of_a_dead_system_closed(desk: Desk, error: str) -> None:
    """RET-16: two of them to each real call."""
    ledger = desk.ledger()
    for n in range(4):
        end_of(desk, Service(desk, refused()), call(3 * n), ledger=ledger, **OPTIONS)
        for more in (1, 2):
            end_of(desk, lambda amount: OWN_ERRORS[error](), call(3 * n + more), ledger=ledger, **OPTIONS)

    assert state(desk).state == "open"


def test_a_callers_own_impatience_is_no_fault_of_the_other_side(desk: Desk) -> None:
    """RET-16: the handler was given up when its deadline came, not after the tool's own timeout."""
    policy = RetryPolicy(deadline="10s", maximum_attempts=1)
    options: Any = {**OPTIONS, "retry": policy}

    for n in range(6):
        end_of(desk, lambda amount: desk.clock.advance(60), call(n), **options)

    assert all(found.state == "closed" for found in ask(desk, lambda ledger: ledger.dependencies()))


def test_a_clock_that_is_set_back_keeps_no_circuit_open_for_longer(desk: Desk) -> None:
    """RET-16: nothing is put off for more than longest_open; what seems so was written by another clock."""
    broken(desk)

    desk.clock.advance(-3600)

    assert end_of(desk, Service(desk), call(9), **OPTIONS) == {"id": "ch_1"}
