"""How is a busy dependency let in again after an outage? At a growing pace, until those held back have gone.

The moment a breaker closes, all that it held back would come at once and bring the dependency down again. So
after a probe went well, calls are given places, so many in a second: few at first; each success adds to the
pace, each fault takes from it; it ends a little above the pace that was usual before. Pure: time is an
argument.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

_BUSY: Final = 1.0  # calls per second; of fewer, those held back are no crowd
_FIRST_SHARE: Final = 0.1  # of the usual pace
_SLOWEST: Final = 1.0  # calls per second
_GAIN: Final = 0.2  # calls per second for each success: whatever the pace, it grows e-fold in five seconds
_LOSS: Final = 2.0  # for each fault: what ten successes gave
_CATCHING_UP: Final = 1.5  # times the usual pace: what comes anew, and half as much of what was held back
_KEPT: Final = 4  # places that nobody took, for those who happen to come at the same moment


def needs_pacing(usual: float) -> bool:
    """Whether a dependency that is called *usual* times per second draws a crowd while it is away."""
    return usual >= _BUSY


def first_pace(usual: float) -> float:
    """Return how many calls per second are let through at first."""
    return max(usual * _FIRST_SHARE, _SLOWEST)


def next_pace(pace: float, usual: float, *, good: int, bad: int) -> float:
    """Return the pace after so many successes and faults at *pace*."""
    return max(min(pace + _GAIN * good - _LOSS * bad, usual * _CATCHING_UP), _SLOWEST)


def next_place(due: datetime, now: datetime, pace: float) -> datetime:
    """Return when the next call may go, after the one that takes the place that was *due*."""
    apart = timedelta(seconds=1 / pace)
    return max(due, now - _KEPT * apart) + apart


def catching_up_s(open_s: float) -> float:
    """Return how long it takes until what was held back for *open_s* has gone: half of it per time."""
    return open_s / (_CATCHING_UP - 1)
