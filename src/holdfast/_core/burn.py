"""Whether a budget lasts at the rate at which it is spent. Pure: time and what was seen come from outside."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from holdfast._core.budget import Level, Per
from holdfast._core.value import value

LOOKBACK: Final = timedelta(minutes=10)
"""A rate is what was spent in the last so many minutes."""
LEAST: Final = LOOKBACK / 2
"""What was seen for less long tells of no rate: a burst is not one."""
LEAST_SHARE: Final = 10
"""What was spent in that time is at least one part in so many of the cap: less can wait."""
_APART: Final = LOOKBACK / 60
_RATED: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
_LONGER_THAN_A_MONTH: Final = timedelta(days=32)


@value
class Sample:
    """How much was spent of a budget at some time (aware)."""

    at: datetime
    spent: int


def with_sample(samples: Sequence[Sample], level: Level, now: datetime) -> tuple[Sample, ...]:
    """Return *samples* with what was seen *now*, without those that are too old; some sixty at most.

    What comes shortly after another one changes nothing. A clock that went back, and a sum that fell, begin
    anew.
    """
    if samples and (now < samples[-1].at or level.spent < samples[-1].spent):
        samples = ()
    if samples and now - samples[-1].at < _APART:
        return tuple(samples)
    young = tuple(sample for sample in samples if now - sample.at <= LOOKBACK)
    return (*young, Sample(at=now, spent=level.spent))


def runs_out_in_s(samples: Sequence[Sample], level: Level, now: datetime, within_s: float) -> float | None:
    """Return in how many seconds a budget is used up, if before its window ends; ``None`` if it lasts.

    Args:
        within_s: For a cap that never begins anew: how far ahead it matters. A cap per minute begins anew
            before anybody could do anything.
    """
    seen = [sample for sample in samples if now - sample.at <= LOOKBACK]
    if not seen or level.per == "minute" or level.left <= 0:
        return None
    span, spent = now - seen[0].at, level.spent - seen[0].spent
    if span < LEAST or spent <= 0 or spent * LEAST_SHARE < level.cap:
        return None
    left_s = level.left * span.total_seconds() / spent
    end = window_end(level.per, level.window_start)
    matters_s = within_s if end is None else (end - now).total_seconds()
    return left_s if left_s < matters_s else None


def window_end(per: Per, start: datetime) -> datetime | None:
    """Return when the window ends that began at *start*; ``None`` for one that never does."""
    match per:
        case "":
            return None
        case "minute":
            return start + timedelta(minutes=1)
        case "month":
            return (start + _LONGER_THAN_A_MONTH).replace(day=1)
        case _:
            return start + _RATED[per]
