"""A system outside that tools depend on: what is declared of it, and what is on record of it. Pure.

What follows from what is seen of it is in :mod:`holdfast._core.breaker`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from holdfast._core.duration import Duration, seconds
from holdfast._core.model import is_utf8
from holdfast.errors import InvalidTool

_NAME_LENGTH: Final = 512


class BreakerState(StrEnum):
    """Whether calls are sent."""

    CLOSED = "closed"  #: they are
    OPEN = "open"  #: they are not
    HALF_OPEN = "half_open"  #: one is, to see how it goes; then, of a busy dependency's, ever more


@dataclass(frozen=True, slots=True)
class Dependency:
    """A system outside that one or more tools depend on, and how much trouble with it is too much.

    Lengths of time are seconds, a ``timedelta`` or text such as ``"30s"``.

    Attributes:
        name: Tools that name the same share one breaker and one budget of retries, in all workers.
        breaker: Off, it never opens; the budget of retries holds all the same.
        window: How far back outcomes count.
        minimum_calls: With fewer outcomes in the window the rate says nothing. As many faults in a row, over
            two seconds or more, open it whatever the rate: an outage need not fill the window of a busy one.
        failure_rate: The share of faults that opens it, above 0 and up to 1. Only faults that the dependency
            is to blame for count: no answer, 5xx, 429; a 4xx is an answer.
        throttled_in_a_row: So many 429 without a success between them open it as well.
        open_for: How long it stays open at first; each failed probe doubles that.
        longest_open: What doubling never exceeds.
        probe_for: How long a probe may take before another one is let through.
        retry_ratio: What each success adds to the budget of retries; 0.1 allows one retry in ten calls.
        retry_burst: What the budget holds at most, and at first.
        retries_per_minute: What time adds to it, so that rare calls may be retried as well.
    """

    name: str
    breaker: bool = field(default=True, kw_only=True)
    window: Duration = field(default=60.0, kw_only=True)
    minimum_calls: int = field(default=10, kw_only=True)
    failure_rate: float = field(default=0.5, kw_only=True)
    throttled_in_a_row: int = field(default=5, kw_only=True)
    open_for: Duration = field(default=30.0, kw_only=True)
    longest_open: Duration = field(default=300.0, kw_only=True)
    probe_for: Duration = field(default=60.0, kw_only=True)
    retry_ratio: float = field(default=0.1, kw_only=True)
    retry_burst: int = field(default=20, kw_only=True)
    retries_per_minute: float = field(default=10.0, kw_only=True)

    def __post_init__(self) -> None:
        name: Any = self.name
        if (
            not (isinstance(name, str) and name and name.isprintable() and is_utf8(name))
            or len(name) > _NAME_LENGTH
        ):
            what = f"the name of a dependency is no printable text of 1 to {_NAME_LENGTH} characters"
            raise InvalidTool(what, "name the system, e.g. Dependency('stripe')")
        for length in ("window", "open_for", "longest_open", "probe_for"):
            object.__setattr__(self, length, seconds(getattr(self, length), name=f"Dependency.{length}"))
        has_breaker: Any = self.breaker
        if not isinstance(has_breaker, bool):
            raise InvalidTool(f"Dependency.breaker is {type(has_breaker).__name__}", "give True or False")
        if self.seconds_of("open_for") > self.seconds_of("longest_open"):
            what = f"Dependency.open_for={self.open_for:g} is longer than longest_open={self.longest_open:g}"
            raise InvalidTool(what, "let longest_open be the longer one")
        for count in ("minimum_calls", "throttled_in_a_row"):
            _check(count, getattr(self, count), 1, 1_000_000, whole=True)
        _check("retry_burst", self.retry_burst, 0, 1_000_000, whole=True)
        _check("retry_ratio", self.retry_ratio, 0, 10)
        _check("retries_per_minute", self.retries_per_minute, 0, 1_000_000)
        _check("failure_rate", self.failure_rate, 0, 1)
        if self.failure_rate == 0:
            raise InvalidTool(
                "Dependency.failure_rate=0 would open on success", "give a rate above 0, up to 1"
            )

    def seconds_of(self, length: str) -> float:
        """Return the seconds of one of its lengths of time."""
        return seconds(getattr(self, length), name=f"Dependency.{length}")


def _check(name: str, value: Any, least: float, most: float, *, whole: bool = False) -> None:
    is_number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:
        kind = "a whole number" if whole else "a number"
        raise InvalidTool(
            f"Dependency.{name}={value!r} is out of range", f"give {kind} from {least} to {most}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyRecord:
    """A dependency as all workers know it.

    Attributes:
        version: Grows by one with every write; a writer names the one it saw. 0: nothing is on record.
        retry_at: While open: when a probe may be sent. While half-open: when the probe is given up.
        probe: The claim whose call is the probe; empty unless half-open.
        trips: How often it was opened without a success since.
        window: Outcomes as ``(start, good, bad)``, start in seconds since 1970, oldest first.
        throttled: 429 answers in a row.
        unavailable: 503 answers in a row.
        alerted: Somebody was told of those.
        tokens: What is left of the budget of retries, at *updated_at*.
        failed: Faults in a row.
        failing_since: When the first of them was told, in seconds since 1970; 0 when there is none.
        usual: Calls per second before it was opened.
        pace: Calls per second that are let through after a probe went well; 0: no call but the probe.
        paced_until: When that is over, in seconds since 1970.
    """

    tenant: str
    name: str
    version: int
    state: BreakerState
    retry_at: datetime | None
    probe: str
    trips: int
    window: tuple[tuple[int, int, int], ...]
    throttled: int
    unavailable: int
    alerted: bool
    tokens: float
    updated_at: datetime
    failed: int = 0
    failing_since: float = 0.0
    usual: float = 0.0
    pace: float = 0.0
    paced_until: float = 0.0


def new_record(tenant: str, of: Dependency, now: datetime) -> DependencyRecord:
    """Return what is known of a dependency that nothing is known of."""
    return DependencyRecord(
        tenant=tenant,
        name=of.name,
        version=0,
        state=BreakerState.CLOSED,
        retry_at=None,
        probe="",
        trips=0,
        window=(),
        throttled=0,
        unavailable=0,
        alerted=False,
        tokens=float(of.retry_burst),
        updated_at=now,
    )


def body_of(record: DependencyRecord) -> str:
    """Return as JSON text what stores keep beside version, state and *retry_at*."""
    return json.dumps(
        {
            "probe": record.probe,
            "trips": record.trips,
            "window": record.window,
            "throttled": record.throttled,
            "unavailable": record.unavailable,
            "alerted": record.alerted,
            "tokens": round(record.tokens, 6),
            "failed": record.failed,
            "failing_since": record.failing_since,
            "usual": record.usual,
            "pace": record.pace,
            "paced_until": record.paced_until,
        }
    )


def record_from(
    tenant: str,
    name: str,
    version: int,
    state: str,
    retry_at: datetime | None,
    body: str,
    updated_at: datetime,
) -> DependencyRecord:
    """Return what :func:`body_of` and the columns beside it say."""
    told: dict[str, Any] = json.loads(body)
    return DependencyRecord(
        tenant=tenant,
        name=name,
        version=version,
        state=BreakerState(state),
        retry_at=retry_at,
        probe=told["probe"],
        trips=told["trips"],
        window=tuple((part[0], part[1], part[2]) for part in told["window"]),
        throttled=told["throttled"],
        unavailable=told["unavailable"],
        alerted=told["alerted"],
        tokens=told["tokens"],
        updated_at=updated_at,
        failed=told["failed"],
        failing_since=told["failing_since"],
        usual=told["usual"],
        pace=told["pace"],
        paced_until=told["paced_until"],
    )
