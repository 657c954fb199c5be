"""What follows an attempt that failed, for the tests of retries."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime
from typing import Any, Final

from holdfast import RetryPolicy
from holdfast._core.fault import Fault, fault_of
from holdfast._core.retry import DEFAULT_POLICY, Again, GiveUp, after_fault

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
LAST: Final = math.nextafter(1.0, 0.0)
"""The largest draw."""


class Answer(Exception):
    """An answer with an HTTP status, in the shape that clients give it."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(status)
        self.status_code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class PaymentDeclined(ValueError):
    """An error of somebody's own."""


def decided(
    error: BaseException,
    policy: RetryPolicy | None = DEFAULT_POLICY,
    *,
    fault: Fault | None = None,
    attempt: int = 1,
    elapsed_s: float = 0.0,
    drawn: float = 0.5,
    previous_s: float = 0.0,
    is_declared: bool = False,
) -> Again | GiveUp:
    return after_fault(
        policy,
        fault or fault_of(error, now=NOW),
        error,
        attempt=attempt,
        elapsed_s=elapsed_s,
        draw=drawn,
        previous_s=previous_s,
        is_declared=is_declared,
    )


def attempts(
    error: BaseException, policy: RetryPolicy | None = DEFAULT_POLICY, **more: Any
) -> tuple[int, str]:
    """How many attempts there are of what always ends with *error*, and why no more."""
    for attempt in itertools.count(1):
        decision = decided(error, policy, attempt=attempt, **more)
        if isinstance(decision, GiveUp):
            return attempt, decision.why
    raise AssertionError


def caps_s(error: BaseException, policy: RetryPolicy = DEFAULT_POLICY) -> list[float]:
    """What no delay reaches, for each further attempt."""
    found: list[float] = []
    for attempt in range(1, attempts(error, policy)[0]):
        decision = decided(error, policy, attempt=attempt, drawn=LAST)
        assert isinstance(decision, Again)
        found.append(round(decision.delay_s, 9))
    return found
