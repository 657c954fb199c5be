"""What may be seen of a dependency, for the tests of what follows from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from hypothesis import strategies as st

from holdfast._core.breaker import Counted, Seen, counted, with_probe
from holdfast._core.dependency import Dependency, DependencyRecord
from holdfast._core.fault import Cause, Fault, FaultKind

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
STRIPE: Final = Dependency("stripe")


def fault(
    cause: Cause = Cause.SERVER, *, status: int | None = None, retry_after_s: float | None = None
) -> Fault:
    kind = FaultKind.RATE_LIMITED if cause is Cause.THROTTLE else FaultKind.AMBIGUOUS
    return Fault(
        kind=kind, cause=cause, status=status, retry_after_s=retry_after_s, may_have_acted=True, why="a test"
    )


DOWN: Final = fault(Cause.NETWORK)
BROKEN: Final = fault(status=500)
UNAVAILABLE: Final = fault(status=503)
THROTTLED: Final = fault(Cause.THROTTLE, status=429)
FAULTS: Final = st.sampled_from([DOWN, BROKEN, UNAVAILABLE, THROTTLED])
DEPENDENCIES: Final = st.builds(
    Dependency,
    st.just("stripe"),
    breaker=st.booleans(),
    window=st.sampled_from([1.0, 7.0, 10.0, 60.0, 3600.0]),
    minimum_calls=st.integers(1, 12),
    failure_rate=st.sampled_from([0.01, 0.25, 0.5, 1.0]),
    throttled_in_a_row=st.integers(1, 6),
    open_for=st.sampled_from([0.5, 30.0]),
    longest_open=st.sampled_from([30.0, 100.0, 300.0]),
    probe_for=st.sampled_from([1.0, 60.0]),
    retry_ratio=st.sampled_from([0.0, 0.1, 3.0]),
    retry_burst=st.integers(0, 5),
    retries_per_minute=st.sampled_from([0.0, 10.0, 100.0]),
)
SEEN: Final = st.builds(
    Seen,
    good=st.integers(0, 4),
    faults=st.lists(FAULTS, max_size=4).map(tuple),
    wants_retry=st.booleans(),
)
PAUSES: Final = st.sampled_from([0.0, 0.3, 1.0, 6.0, 59.0, 1000.0])
HISTORIES: Final = st.lists(st.tuples(PAUSES, SEEN), max_size=20)
"""Parts of a history, each so many seconds after the one before."""


def probed(record: DependencyRecord, seen: Seen, of: Dependency = STRIPE) -> Counted:
    """Let a probe go as soon as it may, and count what it saw."""
    assert record.retry_at is not None
    due = record.retry_at
    return counted(with_probe(record, of, "p", due), of, replace(seen, probe="p"), due)
