"""COS-08: whether a budget lasts is told from what was seen of it, and from nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._core.budget import Level, Per, window_start
from holdfast._core.budget_marks import BURNS, Crossing, marks_of, message_of, reached, subject_of
from holdfast._core.burn import LEAST, LOOKBACK, Sample, runs_out_in_s, window_end, with_sample

NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)
HOUR_S = 3600.0
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - made aware


def level(
    spent: int, *, cap: int = 1000, held: int = 0, per: Per = "", at: datetime = NOON, **odd: Any
) -> Level:
    return Level(
        **{
            "owner": "default", "account": "tenant", "unit": "tokens", "per": per, "cap": cap, "raised": 0,
            "spent": spent, "held": held, "window_start": window_start(per, at), **odd,
        }
    )  # fmt: skip


def seen(*spent: tuple[float, int]) -> tuple[Sample, ...]:
    """So much was spent so many minutes ago."""
    return tuple(Sample(at=NOON - timedelta(minutes=minutes), spent=amount) for minutes, amount in spent)


def test_a_rate_that_reaches_the_cap_in_time_says_when() -> None:
    """Fifty a minute, and six hundred are left."""
    assert runs_out_in_s(seen((8, 0)), level(400), NOON, HOUR_S) == 720.0
    assert runs_out_in_s(seen((8, 0)), level(400, held=100), NOON, HOUR_S) == 600.0


@pytest.mark.parametrize(
    ("samples", "full", "within_s"),
    [
        ((), level(400), HOUR_S),  # nothing was seen
        (seen((4.9, 0)), level(400), HOUR_S),  # for too short a time
        (seen((10.1, 0)), level(400), HOUR_S),  # long ago
        (seen((8, 301)), level(400), HOUR_S),  # too little: less than a tenth of the cap
        (seen((8, 400)), level(400), HOUR_S),  # nothing
        (seen((8, 0)), level(400), 720.0),  # not within the time that matters
        (seen((8, 0)), level(1000), HOUR_S),  # it is used up already
        (seen((8, 0)), level(400, per="minute"), HOUR_S),  # it begins anew at once
        (
            seen((8, 0)),
            level(400, per="hour", at=NOON - timedelta(minutes=12)),
            HOUR_S,
        ),  # the window ends then
    ],
)
def test_what_is_no_rate_or_ends_in_time_is_no_alert(
    samples: tuple[Sample, ...], full: Level, within_s: float
) -> None:
    assert runs_out_in_s(samples, full, NOON, within_s) is None


def test_a_window_matters_to_its_end_whatever_else_is_said() -> None:
    assert runs_out_in_s(seen((8, 0)), level(400, per="day"), NOON, 1.0) == 720.0
    late = NOON.replace(hour=23, minute=49)
    samples = (Sample(at=late - timedelta(minutes=8), spent=0),)
    assert runs_out_in_s(samples, level(400, per="day", at=late), late, HOUR_S) is None


@given(moments, st.sampled_from(get_args(Per)))
def test_a_window_ends_where_the_next_begins(now: datetime, per: Per) -> None:
    start = window_start(per, now)
    end = window_end(per, start)

    if end is None:
        assert per == ""
    else:
        assert start <= now < end
        assert window_start(per, end) == end
        assert window_start(per, end - timedelta(microseconds=1)) == start


@given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 10_000)), min_size=1, max_size=60))
def test_samples_are_few_young_and_in_order_and_the_oldest_is_kept(steps: list[tuple[int, int]]) -> None:
    """However often a budget is looked at."""
    now, spent, samples = NOON, 0, ()
    for seconds, amount in steps:
        now, spent = now + timedelta(seconds=seconds), spent + amount
        samples = with_sample(samples, level(spent), now)

        assert 1 <= len(samples) <= 61
        assert list(samples) == sorted(samples, key=lambda sample: sample.at)
        assert [sample.spent for sample in samples] == sorted(sample.spent for sample in samples)
        assert all(now - sample.at <= LOOKBACK + timedelta(seconds=10) for sample in samples)
        assert now - samples[-1].at < timedelta(seconds=10)


def test_what_goes_back_begins_anew() -> None:
    kept = seen((5, 300))
    assert with_sample(kept, level(200), NOON) == (Sample(at=NOON, spent=200),)
    back = NOON - timedelta(minutes=6)
    assert with_sample(kept, level(300), back) == (Sample(at=back, spent=300),)
    soon = NOON - timedelta(minutes=5) + timedelta(seconds=9.9)
    assert with_sample(kept, level(999), soon) == kept
    assert with_sample(seen((11, 1)), level(2), NOON) == (Sample(at=NOON, spent=2),)


@given(st.integers(1, 10**15), st.integers(1, 10**6), st.integers(300, 600))
def test_at_an_even_rate_the_cap_is_reached_when_it_is_said(cap: int, rate: int, span_s: int) -> None:
    """Exactly as long as what is left lasts; and never told of where less than a tenth was spent."""
    spent = rate * span_s
    samples = (Sample(at=NOON - timedelta(seconds=span_s), spent=0),)
    left_s = runs_out_in_s(samples, level(spent, cap=cap), NOON, 1e12)

    if spent >= cap or spent * 10 < cap:
        assert left_s is None
    else:
        assert left_s == pytest.approx((cap - spent) / rate)
    assert timedelta(seconds=span_s) >= LEAST


@given(
    st.integers(0, 3000),
    st.integers(1, 1000),
    st.lists(st.sampled_from([0.001, 0.5, 0.8, 0.999, 1]), unique=True),
)
def test_a_mark_is_reached_from_its_share_on_and_a_refusal_reaches_the_last(
    spent: int, cap: int, shares: list[float]
) -> None:
    marks = marks_of(shares)

    assert [mark / 1000 for mark in reached(level(spent, cap=cap), marks, is_refusal=False)] == [
        share for share in sorted(shares) if spent * 1000 >= round(share * 1000) * cap
    ]
    assert (1000 in reached(level(0, cap=cap), marks, is_refusal=True)) == (1 in shares)


def test_an_alert_is_one_per_budget_window_cap_and_mark() -> None:
    first = Crossing(level=level(500), mark=500)
    same = Crossing(level=level(900, held=7), mark=500, is_refusal=True)
    others = [
        Crossing(level=level(500), mark=800),
        Crossing(level=level(500), mark=BURNS),
        Crossing(level=level(500, cap=2000), mark=500),
        Crossing(level=level(500, per="day"), mark=500),
        Crossing(level=level(500, per="day", at=NOON + timedelta(days=1)), mark=500),
        Crossing(level=level(500, owner=""), mark=500),
        Crossing(level=level(500, account="agent:a"), mark=500),
        Crossing(level=level(500, unit="steps"), mark=500),
    ]

    assert first.name == same.name
    assert len({crossing.name for crossing in [first, *others]}) == 9


def test_people_are_told_in_amounts_that_they_know() -> None:
    money = level(1_600_000, unit="usd", cap=2_000_000, held=40_000, per="day", owner="acme")
    told = "budget tenant/usd per day of tenant 'acme' {}: 1.600000 USD used, 0.040000 USD held, cap 2.000000 USD; "
    cases = [
        (Crossing(level=money, mark=800), "has reached 80 %"),
        (Crossing(level=money, mark=125), "has reached 12.5 %"),
        (Crossing(level=money, mark=1000, is_refusal=True), "has no room: a call was refused"),
        (Crossing(level=money, mark=BURNS, left_s=720), "will be used up in 12 min at this rate"),
        (Crossing(level=money, mark=BURNS, left_s=1), "will be used up in 1 min at this rate"),
        (Crossing(level=money, mark=BURNS, left_s=7200), "will be used up in 2 h at this rate"),
    ]

    for crossing, what in cases:
        assert (
            message_of(crossing) == told.format(what) + "see who spends it, and raise the cap or let it hold"
        )
    assert message_of(Crossing(level=level(5, owner=""), mark=500)).startswith(
        "budget tenant/tokens has reached"
    )
    assert subject_of(money) == "tenant/usd/day"
    assert subject_of(level(1)) == "tenant/tokens"
