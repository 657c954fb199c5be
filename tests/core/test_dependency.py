"""The circuit breaker and the budget of retries, as pure functions: every history of a dependency keeps its promises."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seen import (
    BROKEN,
    DEPENDENCIES,
    DOWN,
    HISTORIES,
    NOW,
    SEEN,
    STRIPE,
    THROTTLED,
    UNAVAILABLE,
    fault,
    probed,
)

from holdfast._core.breaker import Counted, Seen, ask_again_at, counted, is_probe_due, with_probe
from holdfast._core.dependency import (
    BreakerState,
    Dependency,
    DependencyRecord,
    body_of,
    new_record,
    record_from,
)
from holdfast.errors import InvalidTool

CLOSED, OPEN, HALF_OPEN = BreakerState


def told(history: Iterable[tuple[float, Seen]], of: Dependency = STRIPE) -> list[Counted]:
    """Count a whole history, each part so many seconds after the one before."""
    record, now, told_so_far = new_record("t", of, NOW), NOW, list[Counted]()
    for pause_s, seen in history:
        now += timedelta(seconds=pause_s)
        told_so_far.append(counted(record, of, seen, now))
        record = told_so_far[-1].record
    return told_so_far


def after(*seen: Seen, of: Dependency = STRIPE) -> DependencyRecord:
    """What is known after *seen*, all of it at one moment."""
    return told([(0.0, each) for each in seen], of)[-1].record


def opened(of: Dependency = STRIPE) -> DependencyRecord:
    record = after(Seen(faults=(BROKEN,) * of.minimum_calls), of=of)
    assert record.state is OPEN
    assert record.retry_at is not None
    return record


def test_nothing_is_held_against_a_dependency_that_nothing_is_known_of() -> None:
    record = new_record("t", STRIPE, NOW)

    assert (record.tenant, record.name, record.version, record.state) == ("t", "stripe", 0, CLOSED)
    assert (record.tokens, record.updated_at) == (20.0, NOW)
    assert not is_probe_due(record, STRIPE, NOW + timedelta(days=1000))


@given(of=DEPENDENCIES, history=HISTORIES)
def test_every_count_is_the_next_version(of: Dependency, history: list[tuple[float, Seen]]) -> None:
    """RET-16: what a compare-and-set needs."""
    assert [each.record.version for each in told(history, of)] == list(range(1, len(history) + 1))


@given(of=DEPENDENCIES, history=HISTORIES)
def test_it_opens_by_rate_only_with_enough_calls_in_the_window_or_by_a_row_of_faults(
    of: Dependency, history: list[tuple[float, Seen]]
) -> None:
    """RET-05, RET-16: a closed breaker opens exactly when what it remembers says so, and says it once."""
    state, row, since, throttled, now = CLOSED, 0, NOW, 0, NOW
    for each, (pause_s, seen) in zip(told(history, of), history, strict=True):
        record = each.record
        now += timedelta(seconds=pause_s)
        row, throttled = (0, 0) if seen.good else (row, throttled)
        since = since if row else now
        row, throttled = row + len(seen.faults), throttled + seen.faults.count(THROTTLED)
        good, bad = (sum(part[column] for part in record.window) for column in (1, 2))
        is_above_rate = good + bad >= of.minimum_calls and bad >= of.failure_rate * (good + bad)
        is_dead = min(row, bad) >= of.minimum_calls and now - since >= timedelta(seconds=2)
        is_failing = is_above_rate or is_dead or throttled >= of.throttled_in_a_row
        must = of.breaker and bool(seen.faults) and is_failing

        if state is CLOSED:
            assert (record.state is OPEN) == must == ("circuit_opened" in each.alerts)
        else:
            assert record.state is OPEN  # whatever is seen that is no probe
            assert "circuit_opened" not in each.alerts
        state = record.state


@pytest.mark.parametrize(
    ("good", "bad", "state"), [(0, 9, CLOSED), (6, 4, CLOSED), (5, 5, OPEN), (0, 10, OPEN)]
)
def test_half_of_ten_calls_open_it(good: int, bad: int, state: BreakerState) -> None:
    """RET-16: the default."""
    assert after(Seen(good=good), *[Seen(faults=(DOWN,))] * bad).state is state


@pytest.mark.parametrize(
    ("lasts_s", "succeeds", "state"), [(1.9, False, CLOSED), (2.0, False, OPEN), (60.0, True, CLOSED)]
)
def test_an_outage_need_not_fill_the_window_of_a_busy_dependency(
    lasts_s: float, succeeds: bool, state: BreakerState
) -> None:
    """RET-16: nothing but faults for a moment opens it; calls that one restart cut off do not."""
    five = Seen(faults=(DOWN,) * 5)
    between = [(0.0, Seen(good=1))] if succeeds else []

    history = told([(0.0, Seen(good=500)), (0.1, five), *between, (lasts_s, five)])

    assert history[-1].record.state is state


def test_success_opens_nothing() -> None:
    """RET-16: faults of the past are counted when they come, not when a success does."""
    patient = Dependency("stripe", minimum_calls=11)
    record = after(*[Seen(faults=(DOWN,))] * 10, of=patient)

    assert counted(record, STRIPE, Seen(good=1), NOW).record.state is CLOSED


def test_five_429_in_a_row_open_it() -> None:
    """RET-05: other faults between them do not excuse it; a success does."""
    row = [Seen(faults=(THROTTLED,))] * 4
    patient = replace(STRIPE, minimum_calls=100)

    assert after(*row, of=patient).state is CLOSED
    assert after(*row, Seen(faults=(THROTTLED,)), of=patient).state is OPEN
    assert after(*row, Seen(faults=(DOWN, THROTTLED)), of=patient).state is OPEN
    assert after(*row, Seen(good=1), *row, of=patient).state is CLOSED
    assert after(*row, Seen(good=1, faults=(THROTTLED,)), of=patient).state is CLOSED
    assert after(Seen(faults=(THROTTLED,) * 5), of=patient).state is OPEN


def test_a_breaker_that_is_off_never_opens() -> None:
    """RET-16: the budget of retries holds all the same."""
    off = replace(STRIPE, breaker=False, retry_burst=1)

    history = told([(0.0, Seen(faults=(THROTTLED,) * 50, wants_retry=True))] * 2, off)

    assert [each.record.state for each in history] == [CLOSED, CLOSED]
    assert [each.may_retry for each in history] == [True, False]


@given(of=DEPENDENCIES, history=HISTORIES)
def test_calls_outside_the_window_do_not_count(of: Dependency, history: list[tuple[float, Seen]]) -> None:
    """RET-16: what is remembered is what was seen within the window, but for a tenth of it that goes early."""
    window_s = of.seconds_of("window")
    clock, seen_at = NOW, list[tuple[float, int, int]]()
    for each, (pause_s, seen) in zip(told(history, of), history, strict=True):
        clock += timedelta(seconds=pause_s)
        moment = clock.timestamp()
        seen_at.append((moment, seen.good, len(seen.faults)))

        for column in (1, 2):
            kept = sum(part[column] for part in each.record.window)
            within = sum(part[column] for part in seen_at if moment - part[0] < window_s + 1)
            recent = sum(part[column] for part in seen_at if moment - part[0] < window_s - window_s / 10 - 1)
            assert recent <= kept <= within
        assert each.record.window == tuple(sorted(each.record.window))
        assert len(each.record.window) <= 20


@pytest.mark.parametrize(("age_s", "state"), [(53, OPEN), (60, CLOSED)])
def test_a_fault_counts_for_as_long_as_the_window_is(age_s: int, state: BreakerState) -> None:
    """RET-16."""
    nine = Seen(faults=(DOWN,) * 9)

    assert told([(0.0, nine), (age_s, Seen(faults=(DOWN,)))])[-1].record.state is state


def test_a_clock_that_goes_back_neither_pays_nor_remembers_the_future() -> None:
    record = counted(new_record("t", STRIPE, NOW), STRIPE, Seen(faults=(DOWN,) * 3), NOW).record
    poor = replace(record, tokens=0.0)

    past = counted(poor, STRIPE, Seen(wants_retry=True), NOW - timedelta(hours=1))

    assert past.record.tokens == 0.0
    assert not past.may_retry
    assert past.record.window == ()


@pytest.mark.parametrize("asked_s", [None, 0.0, 45.0, 4000.0])
def test_each_failed_probe_doubles_how_long_it_stays_open_up_to_the_longest(asked_s: float | None) -> None:
    """RET-05, RET-16: not shorter than the other side asked for, unless it asks for more than the longest."""
    record, lengths = opened(), list[float]()
    for _ in range(7):
        trial = fault(status=503, retry_after_s=asked_s)
        record = probed(record, Seen(faults=(DOWN, trial))).record
        assert record.state is OPEN
        assert record.retry_at is not None
        lengths.append((record.retry_at - record.updated_at).total_seconds())

    doubled = [60.0, 120.0, 240.0, 300.0, 300.0, 300.0, 300.0]
    assert lengths == [min(max(length, asked_s or 0.0), 300.0) for length in doubled]
    assert record.trips == 8


def test_it_stays_open_for_a_while_at_first_and_again_after_a_success() -> None:
    """RET-16: doubling ends with a success."""
    first = opened()
    closed = probed(probed(first, Seen(faults=(DOWN,))).record, Seen(good=1)).record
    again = counted(closed, STRIPE, Seen(faults=(DOWN,) * 10), closed.updated_at).record

    assert first.retry_at == NOW + timedelta(seconds=30)
    assert again.retry_at == closed.updated_at + timedelta(seconds=30)


def test_many_failed_probes_keep_it_open_for_the_longest_and_break_nothing() -> None:
    record = replace(opened(), trips=10_000)

    after_more = probed(record, Seen(faults=(DOWN,))).record

    assert after_more.retry_at == after_more.updated_at + timedelta(seconds=300)


def test_a_probe_that_goes_well_closes_it_with_a_clean_slate() -> None:
    """RET-16: the faults that opened it must not open it again at once."""
    answer = probed(opened(), Seen(good=1))

    record = answer.record
    assert (record.state, record.probe, record.retry_at) == (CLOSED, "", None)
    assert (record.trips, record.window, record.throttled, record.unavailable) == (0, (), 0, 0)
    assert answer.alerts == ("circuit_closed",)


def test_a_probe_that_saw_both_did_not_go_well() -> None:
    """RET-16."""
    assert probed(opened(), Seen(good=3, faults=(DOWN,))).record.state is OPEN


def test_a_probe_that_told_nothing_leaves_its_place_to_the_next_call() -> None:
    """RET-16: neither doubled nor waited for."""
    record = opened()
    assert record.retry_at is not None
    half_open = with_probe(record, STRIPE, "p", record.retry_at)

    left = counted(half_open, STRIPE, Seen(probe="p"), record.retry_at).record

    assert (left.state, left.probe, left.trips) == (OPEN, "", record.trips)
    assert is_probe_due(left, STRIPE, record.retry_at)


@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999])
def test_who_is_refused_is_told_when_to_ask_again(draw: float) -> None:
    """RET-15, RET-17: all at one moment while one of them will be the probe; else each at one of its own."""
    record = opened()
    assert record.retry_at is not None
    half_open = with_probe(record, STRIPE, "p", record.retry_at)

    waits_s = (ask_again_at(half_open, STRIPE, NOW, draw) - NOW).total_seconds()

    assert ask_again_at(record, STRIPE, NOW, draw) == record.retry_at
    assert waits_s == pytest.approx(30 * draw)


@given(seen=SEEN, probe=st.sampled_from(["", "another", "an old one"]))
def test_only_the_probe_itself_ends_half_open(seen: Seen, probe: str) -> None:
    """RET-16: a call that was sent before it opened, or a probe that was given up, decides nothing."""
    record = opened()
    assert record.retry_at is not None
    half_open = with_probe(record, STRIPE, "p", record.retry_at)

    left = counted(half_open, STRIPE, replace(seen, probe=probe), record.retry_at)

    assert (left.record.state, left.record.probe, left.record.retry_at) == (
        HALF_OPEN,
        "p",
        half_open.retry_at,
    )
    assert not left.may_retry
    assert not {"circuit_opened", "circuit_closed"} & set(left.alerts)


@given(of=DEPENDENCIES, history=HISTORIES)
def test_the_budget_of_retries_is_never_negative_nor_above_its_burst(
    of: Dependency, history: list[tuple[float, Seen]]
) -> None:
    """RET-15: and pays for one retry at a time, with a whole token, while the breaker is closed."""
    before = float(of.retry_burst)
    for each, (pause_s, seen) in zip(told(history, of), history, strict=True):
        record = each.record
        gained = seen.good * of.retry_ratio + pause_s * of.retries_per_minute / 60
        had = min(before + gained, float(of.retry_burst))

        assert 0 <= record.tokens <= of.retry_burst
        if each.may_retry:
            assert seen.wants_retry
            assert had >= 1
            assert record.state is CLOSED
            assert record.tokens == pytest.approx(had - 1)
        elif record.state is CLOSED:
            assert record.tokens == pytest.approx(had)
            assert not seen.wants_retry or had < 1
        before = record.tokens


def test_retries_stay_below_a_share_of_what_succeeds() -> None:
    """RET-15: a storm of retries ends with the burst; a tenth of the successes goes on."""
    bounded = Dependency("stripe", breaker=False, retries_per_minute=0.0)

    storm = told([(0.0, Seen(faults=(DOWN,), wants_retry=True))] * 100, bounded)
    steady = told([(0.0, Seen(good=1, faults=(DOWN,), wants_retry=True))] * 1000, bounded)

    assert sum(each.may_retry for each in storm) == 20
    assert sum(each.may_retry for each in steady) == pytest.approx(20 + 100, abs=3)


def test_time_pays_for_retries_of_calls_that_are_rare() -> None:
    """RET-15: ten in a minute; a token more every six seconds, no sooner."""
    poor = replace(new_record("t", STRIPE, NOW), tokens=0.0)

    soon = counted(poor, STRIPE, Seen(wants_retry=True), NOW + timedelta(seconds=5.9))
    later = counted(poor, STRIPE, Seen(wants_retry=True), NOW + timedelta(seconds=6))

    assert (soon.may_retry, later.may_retry) == (False, True)


def test_a_budget_that_was_lowered_holds_at_once() -> None:
    """RET-15: what is on record may be more than a newer declaration allows."""
    lowered = replace(STRIPE, retry_burst=2)

    assert after(Seen()).tokens == 20.0
    assert counted(after(Seen()), lowered, Seen(), NOW).record.tokens == 2.0


@given(history=HISTORIES)
def test_repeated_503_is_told_once_until_a_success(history: list[tuple[float, Seen]]) -> None:
    """RET-06: one alert, not one for each; the next series has its own. Successes come first in what is seen."""
    row, is_told = 0, False
    for each, (_, seen) in zip(told(history), history, strict=True):
        if seen.good:
            row, is_told = 0, False
        row += seen.faults.count(UNAVAILABLE)
        alerts = row > 1 and not is_told
        is_told = is_told or alerts

        assert each.alerts.count("repeated_503") == alerts


def test_four_503_are_one_alert() -> None:
    """RET-06: from the second one on; 500 is no 503."""
    assert [each.alerts for each in told([(0.0, Seen(faults=(UNAVAILABLE,)))] * 4)] == [
        (),
        ("repeated_503",),
        (),
        (),
    ]
    assert not any(each.alerts for each in told([(0.0, Seen(faults=(BROKEN,)))] * 4))


RECORDS: Final = st.builds(
    DependencyRecord,
    tenant=st.text(),
    name=st.text(min_size=1),
    version=st.integers(1, 2**62),
    state=st.sampled_from(BreakerState),
    retry_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    probe=st.text(),
    trips=st.integers(0, 10**6),
    window=st.lists(st.tuples(st.integers(0, 2**40), st.integers(0), st.integers(0)), max_size=5).map(tuple),
    throttled=st.integers(0),
    unavailable=st.integers(0),
    alerted=st.booleans(),
    tokens=st.floats(0, 10**6),
    failed=st.integers(0),
    failing_since=st.floats(0, 2**33),
    usual=st.floats(0, 10**6),
    pace=st.floats(0, 10**6),
    paced_until=st.floats(0, 2**33),
    updated_at=st.datetimes(timezones=st.just(UTC)),
)


@given(record=RECORDS)
def test_what_is_stored_is_what_was_known(record: DependencyRecord) -> None:
    """RET-16: columns and body together; of the budget a millionth of a retry is lost, at most."""
    again = record_from(
        record.tenant,
        record.name,
        record.version,
        str(record.state),
        record.retry_at,
        body_of(record),
        record.updated_at,
    )

    assert again == replace(record, tokens=again.tokens)
    assert again.tokens == pytest.approx(record.tokens, abs=1e-6)
    assert body_of(again) == body_of(record)


@pytest.mark.parametrize("name", ["", "a\nb", "\ud800", "x" * 513, 7])
def test_a_name_that_is_none_is_refused(name: Any) -> None:
    with pytest.raises(InvalidTool, match="name of a dependency"):
        Dependency(name)


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 0},
        {"open_for": "soon"},
        {"longest_open": -1.0},
        {"probe_for": None},
        {"minimum_calls": 0},
        {"minimum_calls": 1.5},
        {"throttled_in_a_row": True},
        {"retry_burst": -1},
        {"retry_ratio": float("nan")},
        {"retries_per_minute": "10"},
        {"failure_rate": 0},
        {"failure_rate": 1.01},
    ],
    ids=str,
)
def test_what_is_out_of_range_is_refused_by_its_name(wrong: dict[str, Any]) -> None:
    [name] = wrong

    with pytest.raises(InvalidTool, match=name):
        Dependency("stripe", **wrong)


def test_lengths_of_time_are_taken_in_every_form() -> None:
    of = Dependency("stripe", window="1m", open_for=timedelta(seconds=2), longest_open="5m", probe_for=7)

    assert [of.seconds_of(name) for name in ("window", "open_for", "longest_open", "probe_for")] == [
        60,
        2,
        300,
        7,
    ]
