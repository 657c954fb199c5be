"""The circuit breaker, told of by several workers in every order: never two probes, and always a way back."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from hypothesis import given
from hypothesis import strategies as st
from seen import FAULTS, NOW, PAUSES, probed

from holdfast._core.breaker import Seen, counted, is_probe_due, with_probe
from holdfast._core.dependency import BreakerState, Dependency, DependencyRecord, new_record

CLOSED, OPEN, HALF_OPEN = BreakerState
WORKERS: Final = 3
SHAKY: Final = st.builds(
    Dependency,
    st.just("stripe"),
    minimum_calls=st.integers(1, 3),
    throttled_in_a_row=st.integers(1, 3),
    open_for=st.sampled_from([0.5, 30.0]),
    longest_open=st.sampled_from([30.0, 100.0]),
    probe_for=st.sampled_from([1.0, 60.0]),
    retry_burst=st.integers(0, 3),
)
"""Dependencies that open soon."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one worker does next.

    Attributes:
        looks: It reads the record first; else it acts on what it read some time ago.
        waits: Time passes until a probe is due, besides *pause_s*.
    """

    what: Literal["count", "probe", "come_back", "give_back", "crash"]
    worker: int
    looks: bool
    waits: bool
    pause_s: float
    seen: Seen


STEPS: Final = st.builds(
    Step,
    what=st.sampled_from(["count", "probe", "probe", "come_back", "come_back", "give_back", "crash"]),
    worker=st.integers(0, WORKERS - 1),
    looks=st.sampled_from([True, True, False]),
    waits=st.booleans(),
    pause_s=PAUSES,
    seen=st.builds(
        Seen,
        good=st.integers(0, 2),
        faults=st.just(()) | st.lists(FAULTS, min_size=1, max_size=3).map(tuple),
        wants_retry=st.booleans(),
    ),
)


class World:
    """Workers that share one record by compare-and-set, each as late as it likes."""

    def __init__(self, of: Dependency) -> None:
        self.of = of
        self.now = NOW
        self.record = new_record("t", of, NOW)
        self.read = [self.record] * WORKERS
        self.claims = itertools.count()
        self.probes: dict[str, datetime] = {}  # on their way, and until when they count
        self.alerts: list[str] = []

    def do(self, step: Step) -> None:
        self.now += timedelta(seconds=step.pause_s)
        if step.waits:
            self.now = max(self.now, self.record.retry_at or self.now)
        if step.looks:
            self.read[step.worker] = self.record
        read = self.read[step.worker]
        late = sorted(self.probes)[:1] if step.worker else sorted(self.probes)[-1:]
        match step.what:
            case "probe":
                self._probe(read)
            case "count":
                self._count(read, step.seen)
            case "come_back":  # a probe tells, in time or after it was given up, until it is heard
                for claim in late:
                    assert self._count(self.record, replace(step.seen, probe=claim))
                    del self.probes[claim]
            case "give_back":
                claim = self.record.probe
                if self.probes.pop(claim, None):
                    assert self._count(self.record, Seen(probe=claim))
            case _:
                for claim in late:
                    del self.probes[claim]

    def _put(self, record: DependencyRecord) -> bool:
        """Write, as a store does it."""
        if record.version != self.record.version + 1:
            return False
        self.record = record
        return True

    def _probe(self, read: DependencyRecord) -> None:
        """A worker that thinks that a probe is due tries to be it."""
        if not is_probe_due(read, self.of, self.now):
            return
        claim = f"claim-{next(self.claims):03}"
        is_newest = read == self.record
        assert self._put(with_probe(read, self.of, claim, self.now)) == is_newest
        if is_newest:
            self.probes[claim] = self.now + timedelta(seconds=self.of.seconds_of("probe_for"))

    def _count(self, read: DependencyRecord, seen: Seen) -> bool:
        before = self.record
        answer = counted(read, self.of, seen, self.now)
        if not self._put(answer.record):
            return False
        self.alerts += [alert for alert in answer.alerts if alert.startswith("circuit")]
        assert not answer.may_retry or answer.record.state is CLOSED
        way = before.state, answer.record.state
        if before.state is HALF_OPEN and seen.probe == before.probe:
            assert answer.record.state is (CLOSED if seen.good and not seen.faults else OPEN)
        elif before.state is CLOSED:
            assert way == (CLOSED, CLOSED) or (way == (CLOSED, OPEN) and seen.faults)
        else:
            assert answer.record.state is before.state
        return True

    def check(self) -> None:
        """What is so after every step."""
        record = self.record
        counting = [claim for claim, until in self.probes.items() if self.now < until]
        assert len(counting) <= 1
        assert set(counting) <= {record.probe}
        assert (record.probe != "") == (record.state is HALF_OPEN)
        assert (record.trips == 0) == (record.retry_at is None) == (record.state is CLOSED)
        assert 0 <= record.tokens <= self.of.retry_burst
        if record.retry_at is not None:
            due = max(self.now, record.retry_at)
            assert is_probe_due(record, self.of, due)
            assert not is_probe_due(record, self.of, record.retry_at - timedelta(microseconds=1))
            assert probed(record, Seen(good=1), self.of).record.state is CLOSED


@given(of=SHAKY, steps=st.lists(STEPS, min_size=15, max_size=50))
def test_there_are_never_two_probes_whoever_is_late_or_dies_and_always_a_way_back(
    of: Dependency, steps: list[Step]
) -> None:
    """RET-16: of the probes that still count there is one at most, and a probe is due in the end."""
    world = World(of)

    for step in steps:
        world.do(step)
        world.check()


@given(of=SHAKY, steps=st.lists(STEPS, min_size=15, max_size=50))
def test_people_hear_in_turn_that_it_opened_and_that_it_closed(of: Dependency, steps: list[Step]) -> None:
    """RET-16: once each, however many probes fail between."""
    world = World(of)

    for step in steps:
        world.do(step)

    turns = ["circuit_opened", "circuit_closed"]
    assert world.alerts == [turns[n % 2] for n in range(len(world.alerts))]
    assert len(world.alerts) % 2 == (world.record.state is not CLOSED)
