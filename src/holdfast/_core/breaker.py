"""The circuit breaker and the budget of retries of a dependency: what follows from what is seen of it. Pure.

A breaker is closed while calls go well. Too many faults within a sliding window open it, or nothing else for
a moment; while it is open no call is sent. After a time one single call may go: the probe (half-open). Its
failure opens the breaker for longer, its success closes it; a busy dependency's is closed by and by, since
all that was held back would come at once (see :mod:`holdfast._core.pacing`). All workers share one record of
each dependency, written by compare-and-set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from holdfast._core.dependency import BreakerState, Dependency, DependencyRecord
from holdfast._core.fault import Cause, Fault
from holdfast._core.pacing import catching_up_s, first_pace, needs_pacing, next_pace, next_place

_BUCKETS: Final = 10
_UNAVAILABLE: Final = 503
_DEAD_S: Final = 2.0  # an instance that restarts cuts off its calls at one moment: that is no outage
_SPREAD_S: Final = 5.0  # who is let in one after the other is put off a little further
_USUAL_OVER_S: Final = 60.0  # a burst of seconds is no usual pace


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a worker saw of a dependency since it last told.

    Attributes:
        good: Calls that it answered.
        faults: Faults that it is to blame for, in order.
        probe: The claim that was the probe, if this is about it.
        wants_retry: A retry is to be paid for.
    """

    good: int = 0
    faults: tuple[Fault, ...] = ()
    probe: str = ""
    wants_retry: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A dependency after what was seen is counted.

    Attributes:
        record: What to write.
        may_retry: The retry was paid for.
        alerts: What people should hear of, once: ``repeated_503``, ``circuit_opened``, ``circuit_closed``.
    """

    record: DependencyRecord
    may_retry: bool
    alerts: tuple[str, ...]


def is_probe_due(record: DependencyRecord, of: Dependency, now: datetime) -> bool:
    """Whether one call may go, to see how the dependency is.

    What lies further ahead than anything is ever put off was written before the clock was set back.
    """
    if record.state is BreakerState.CLOSED or record.retry_at is None:
        return False
    longest_s = max(of.seconds_of(name) for name in ("open_for", "longest_open", "probe_for"))
    return not timedelta(0) < record.retry_at - now <= timedelta(seconds=longest_s + _SPREAD_S)


def ask_again_at(record: DependencyRecord, of: Dependency, now: datetime, draw: float) -> datetime:
    """Return when to try again what was refused; *draw* is a random number in [0, 1).

    While it is open all may come at the same moment: one of them is the probe. Those who come while that is
    on its way, or while more is let through little by little, are told moments of their own.
    """
    if record.state is BreakerState.OPEN and record.retry_at is not None:
        return record.retry_at
    return now + timedelta(seconds=draw * of.seconds_of("open_for"))


def with_probe(record: DependencyRecord, of: Dependency, claim: str, now: datetime) -> DependencyRecord:
    """Return *record* with *claim*'s call as the one probe, or as the next of those that are let through."""
    retry_at = now + timedelta(seconds=of.seconds_of("probe_for"))
    if record.pace and record.retry_at is not None:
        retry_at = next_place(record.retry_at, now, record.pace)
    return replace(
        record,
        version=record.version + 1,
        state=BreakerState.HALF_OPEN,
        probe=claim,
        retry_at=retry_at,
        updated_at=now,
        tokens=_tokens(record, of, 0, now),
    )


def counted(record: DependencyRecord, of: Dependency, seen: Seen, now: datetime) -> Counted:
    """Count what was *seen* and decide what follows: the breaker's state, one retry, alerts."""
    tokens = _tokens(record, of, seen.good, now)
    may_retry = seen.wants_retry and tokens >= 1
    after = replace(
        record,
        version=record.version + 1,
        window=_window(record, of, seen, now),
        throttled=_in_a_row(record.throttled, seen, lambda fault: fault.cause is Cause.THROTTLE),
        unavailable=_in_a_row(record.unavailable, seen, lambda fault: fault.status == _UNAVAILABLE),
        tokens=tokens - may_retry,
        updated_at=now,
        failed=_in_a_row(record.failed, seen, lambda _: True),
        failing_since=_failing_since(record, seen, now),
    )
    alerts: list[str] = []
    if seen.good or after.unavailable == 0:  # another outage is told of again
        after = replace(after, alerted=False)
    if after.unavailable > 1 and not after.alerted:
        after = replace(after, alerted=True)
        alerts.append("repeated_503")
    moved = _moved(after, of, seen, now)
    if moved.state is not record.state and moved.state is BreakerState.CLOSED:
        alerts.append("circuit_closed")
    elif moved.state is BreakerState.OPEN and record.state is BreakerState.CLOSED:
        alerts.append("circuit_opened")
    may_retry = may_retry and moved.state is BreakerState.CLOSED
    return Counted(record=moved, may_retry=may_retry, alerts=tuple(alerts))


def _moved(after: DependencyRecord, of: Dependency, seen: Seen, now: datetime) -> DependencyRecord:
    """Return *after* with its breaker where it belongs."""
    if after.state is BreakerState.HALF_OPEN and after.pace:
        return _paced(after, of, seen, now) if seen.probe else after
    if after.state is BreakerState.HALF_OPEN and after.probe == seen.probe:
        if seen.faults:
            return _opened(after, of, seen.faults, now)
        if seen.good:
            return _answering(after, of, now)
        return replace(after, state=BreakerState.OPEN, probe="", retry_at=now)  # it told nothing
    if after.state is BreakerState.CLOSED and of.breaker and seen.faults and _is_failing(after, of, now):
        calls = sum(good + bad for _, good, bad in after.window)
        usual = calls / max(of.seconds_of("window"), _USUAL_OVER_S)
        return replace(_opened(after, of, seen.faults, now), usual=usual)
    return after


def _is_failing(after: DependencyRecord, of: Dependency, now: datetime) -> bool:
    """Whether the faults are too many: of all calls in the window, or one after the other."""
    good, bad = sum(part[1] for part in after.window), sum(part[2] for part in after.window)
    is_above_rate = good + bad >= of.minimum_calls and bad / (good + bad) >= of.failure_rate
    is_dead = min(bad, after.failed) >= of.minimum_calls and now.timestamp() - after.failing_since >= _DEAD_S
    return is_above_rate or is_dead or after.throttled >= of.throttled_in_a_row


def _answering(after: DependencyRecord, of: Dependency, now: datetime) -> DependencyRecord:
    """Return *after* a success of the one probe: closed, or on the way to it at a growing pace."""
    clean = replace(after, window=(), throttled=0, failed=0, failing_since=0.0)
    if not needs_pacing(after.usual):
        return _closed(clean)
    # As long as it was open, and once more its first time, for the slow beginning.
    open_s = min(of.seconds_of("open_for") * 2 ** min(after.trips, 30), of.seconds_of("longest_open"))
    until = now.timestamp() + catching_up_s(open_s)
    return replace(clean, retry_at=now, trips=1, pace=first_pace(after.usual), paced_until=until)


def _paced(after: DependencyRecord, of: Dependency, seen: Seen, now: datetime) -> DependencyRecord:
    """Return *after* with the pace that follows from how those calls go that are let through."""
    if seen.faults and _is_failing(after, of, now):
        return replace(_opened(after, of, seen.faults, now), pace=0.0, paced_until=0.0)
    if seen.good and now.timestamp() >= after.paced_until:
        return _closed(after)
    pace = next_pace(after.pace, after.usual, good=seen.good, bad=len(seen.faults))
    return replace(after, pace=pace)


def _closed(after: DependencyRecord) -> DependencyRecord:
    return replace(
        after,
        state=BreakerState.CLOSED,
        retry_at=None,
        probe="",
        trips=0,
        usual=0.0,
        pace=0.0,
        paced_until=0.0,
    )


def _opened(
    after: DependencyRecord, of: Dependency, faults: Sequence[Fault], now: datetime
) -> DependencyRecord:
    doubled = of.seconds_of("open_for") * 2 ** min(after.trips, 30)
    asked = max((fault.retry_after_s or 0.0 for fault in faults), default=0.0)
    open_s = min(max(doubled, asked), of.seconds_of("longest_open"))
    return replace(
        after,
        state=BreakerState.OPEN,
        probe="",
        trips=after.trips + 1,
        retry_at=now + timedelta(seconds=open_s),
    )


def _in_a_row(before: int, seen: Seen, counts: Callable[[Fault], bool]) -> int:
    """Return how many such faults came without a success between them; successes are taken to come first."""
    row = 0 if seen.good else before
    for fault in seen.faults:
        row = row + 1 if counts(fault) else row
    return row


def _failing_since(record: DependencyRecord, seen: Seen, now: datetime) -> float:
    if record.failed and not seen.good:
        return record.failing_since
    return now.timestamp() if seen.faults else 0.0


def _window(
    record: DependencyRecord, of: Dependency, seen: Seen, now: datetime
) -> tuple[tuple[int, int, int], ...]:
    window_s = of.seconds_of("window")
    width = max(int(window_s / _BUCKETS), 1)
    second = int(now.timestamp())
    start = second - second % width
    kept = [part for part in record.window if part[0] > second - window_s and part[0] <= start]
    if not seen.good and not seen.faults:
        return tuple(kept)
    if kept and kept[-1][0] == start:
        kept[-1] = start, kept[-1][1] + seen.good, kept[-1][2] + len(seen.faults)
    else:
        kept.append((start, seen.good, len(seen.faults)))
    return tuple(kept)


def _tokens(record: DependencyRecord, of: Dependency, good: int, now: datetime) -> float:
    passed_s = max((now - record.updated_at).total_seconds(), 0.0)
    gained = good * of.retry_ratio + passed_s * of.retries_per_minute / 60
    return min(record.tokens + gained, float(of.retry_burst))
