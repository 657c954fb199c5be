"""The way back of a busy dependency: what was held back comes little by little, and the breaker closes in the end."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seen import DOWN, NOW, PAUSES, UNAVAILABLE, probed

from holdfast._core.breaker import Counted, Seen, counted, is_probe_due, with_probe
from holdfast._core.dependency import BreakerState, Dependency, DependencyRecord, new_record

CLOSED, OPEN, HALF_OPEN = BreakerState
BUSY: Final = Dependency("stripe", retry_burst=5)
USUAL: Final = 10.0


def opened(calls: int = 600) -> DependencyRecord:
    """A dependency that had so many calls in its window of a minute, the last ten of which failed."""
    record = counted(new_record("t", BUSY, NOW), BUSY, Seen(good=calls - 10), NOW).record
    for second in (1, 3):
        now = NOW + timedelta(seconds=second)
        record = counted(record, BUSY, Seen(faults=(DOWN,) * 5), now).record
    assert record.state is OPEN
    return record


def on_its_way_back() -> DependencyRecord:
    record = probed(opened(), Seen(good=1), BUSY).record
    assert record.state is HALF_OPEN
    return record


def call(record: DependencyRecord, now: datetime, seen: Seen = Seen(good=1)) -> Counted:  # noqa: B008 - a value
    """Send a call that is due, and count what it saw at once."""
    assert is_probe_due(record, BUSY, now)
    return counted(with_probe(record, BUSY, "c", now), BUSY, replace(seen, probe="c"), now)


@pytest.mark.parametrize(("calls", "state"), [(59, CLOSED), (60, HALF_OPEN), (600, HALF_OPEN)])
def test_a_dependency_with_a_crowd_before_it_is_not_closed_at_once(calls: int, state: BreakerState) -> None:
    """RET-15, RET-16: one call a second, and those that were held back would all come together."""
    answer = probed(opened(calls), Seen(good=1), BUSY)

    assert answer.record.state is state
    assert ("circuit_closed" in answer.alerts) == (state is CLOSED)
    assert not answer.may_retry


def test_a_crowd_is_let_in_at_a_growing_pace_until_the_breaker_closes() -> None:
    """RET-15: however many ask: never much more than was usual, and each second about as many as the one before."""
    record = on_its_way_back()
    start = now = record.updated_at
    admitted, alerts = dict[int, int](), list[str]()

    while record.state is not CLOSED and now < start + timedelta(minutes=10):
        if is_probe_due(record, BUSY, now):
            answer = call(record, now)
            record, second = answer.record, int((now - start).total_seconds())
            admitted[second] = admitted.get(second, 0) + 1
            alerts += answer.alerts
        now += timedelta(seconds=0.05)

    counts = list(admitted.values())
    assert counts[0] <= 3
    assert max(counts) <= 1.5 * USUAL + 1
    assert all(later <= sooner + 4 for sooner, later in itertools.pairwise(counts))
    assert min(counts[30:-1]) >= USUAL  # the last second is cut short
    assert record.state is CLOSED
    assert alerts == ["circuit_closed"]
    assert (record.pace, record.usual, record.paced_until, record.retry_at) == (0.0, 0.0, 0.0, None)


def test_those_who_come_at_once_after_a_quiet_while_do_not_all_go() -> None:
    """RET-15: places that nobody took are kept for a few only."""
    record = on_its_way_back()
    now = record.updated_at + timedelta(seconds=30)
    went = 0

    while is_probe_due(record, BUSY, now):
        record, went = with_probe(record, BUSY, f"c{went}", now), went + 1

    assert 1 < went <= 5


def test_a_fault_on_the_way_back_slows_it_and_an_outage_opens_it_again_for_longer() -> None:
    """RET-16: one fault is no outage; ten of ten are."""
    record = on_its_way_back()
    now = record.updated_at
    for _ in range(30):
        now = max(now, record.retry_at or now)
        record = call(record, now).record
    once = call(record, max(now, record.retry_at or now), Seen(faults=(DOWN,))).record

    assert (once.state, once.pace < record.pace) == (HALF_OPEN, True)

    again = counted(once, BUSY, Seen(faults=(DOWN,) * 60, probe="c"), now)
    assert again.record.state is OPEN
    assert again.record.retry_at == now + timedelta(seconds=60)
    assert (again.record.pace, again.record.probe, again.alerts) == (0.0, "", ())


STEPS: Final = st.tuples(
    PAUSES,
    st.booleans(),
    st.builds(
        Seen,
        good=st.integers(0, 9),
        faults=st.lists(st.sampled_from([DOWN, UNAVAILABLE]), max_size=3).map(tuple),
        probe=st.sampled_from(["", "c"]),
        wants_retry=st.booleans(),
    ),
)


@given(steps=st.lists(STEPS, max_size=40))
def test_whatever_is_seen_on_the_way_back_it_stays_a_way_back(steps: list[tuple[float, bool, Seen]]) -> None:
    """RET-15, RET-16: within its bounds, without retries, left by success in time or by an outage alone."""
    record = on_its_way_back()
    now = record.updated_at
    for pause_s, goes, seen in steps:
        now += timedelta(seconds=pause_s)
        before = record
        if goes and is_probe_due(record, BUSY, now):
            record = with_probe(record, BUSY, "c", now)
            assert record.retry_at is not None
            assert before.retry_at is not None
            assert record.retry_at > before.retry_at
        answer = counted(record, BUSY, seen, now)
        record = answer.record

        if before.state is HALF_OPEN and before.pace:
            assert 1 <= record.pace <= 1.5 * USUAL or record.state is not HALF_OPEN
            if record.state is CLOSED:
                assert now.timestamp() >= before.paced_until
                assert seen.good
                assert seen.probe
            if record.state is OPEN:
                assert seen.faults
                assert seen.probe
        assert (record.pace > 0) <= (record.state is HALF_OPEN)
        assert not answer.may_retry or record.state is CLOSED
        assert (record.retry_at is None) == (record.state is CLOSED)
        assert ("circuit_closed" in answer.alerts) == (before.state is not CLOSED and record.state is CLOSED)


@given(steps=st.lists(STEPS, max_size=20))
def test_from_wherever_it_is_success_leads_to_closed(steps: list[tuple[float, bool, Seen]]) -> None:
    """RET-16, I2: no history leaves a dependency shut for ever."""
    record = on_its_way_back()
    now = record.updated_at
    for pause_s, _, seen in steps:
        now += timedelta(seconds=pause_s)
        record = counted(record, BUSY, seen, now).record

    for _ in range(2000):
        if record.state is CLOSED:
            break
        now = max(now + timedelta(seconds=1), record.retry_at or now)
        record = call(record, now).record

    assert record.state is CLOSED
