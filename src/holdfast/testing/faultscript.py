"""The script of a fault server: whom what befalls. What can befall, and how it is written, is the core's.

One fault is written ``drop_after``, ``latency:0.2`` (seconds) or ``503:2*3`` (three in a row, each with
``Retry-After: 2``). Chances are written ``drop_after=0.1,latency=0.2:0.05,503=0.1*3``.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from holdfast._core.disturbance import (
    CRASHES,
    NOT_DONE,
    Chance,
    Chances,
    Fault,
    FaultKind,
    check_chances,
    parse_chances,
)
from holdfast._runtime.disturb import Draws
from holdfast.errors import InvalidCall

__all__ = [
    "NOT_DONE",
    "Chance",
    "Chances",
    "Fault",
    "FaultKind",
    "FaultScript",
    "Turn",
    "parse_chances",
]


@dataclass(frozen=True, slots=True)
class Turn:
    """What befalls one request.

    Attributes:
        number: Which request it is, from 1, in the order of arrival.
        fault: What happens to it, once; a drawn latency has its drawn seconds.
    """

    number: int
    fault: Fault


@dataclass(slots=True)
class _Plan:
    """What was planned for some requests, and is left of it."""

    method: str
    path: str
    left: deque[Fault]

    def is_for(self, method: str, path: str) -> bool:
        return fnmatchcase(method, self.method) and fnmatchcase(path, self.path)


class FaultScript:
    """Says what befalls each request: what was planned for it, else what the seed draws.

    The story depends on the seed, the chances, the plans and the order of requests, and on nothing else.
    May be asked by several threads.

    Args:
        chances: For requests that no plan speaks of, as text or values.
        seed: Another seed is another story.

    Raises:
        InvalidCall: The chances cannot be read, or are more than 1 together.
    """

    def __init__(self, chances: Chances = "", *, seed: int = 0) -> None:
        read = parse_chances(chances) if isinstance(chances, str) else tuple(chances)
        check_chances(read)
        _refuse_crashes([chance.fault for chance in read])
        self._draws = Draws(read, seed)
        self._plans: list[_Plan] = []
        self._number = 0
        self._lock = threading.Lock()  # everything above: each request has one number and one fault

    def plan(self, *faults: Fault | str, method: str = "*", path: str = "*") -> None:
        """Add what befalls the next requests, one after another.

        A request takes from the oldest plan that is for it and not used up.

        Args:
            faults: Values, or text as :meth:`Fault.parse` reads it; ``"ok"`` lets one pass.
            method: Only requests with this method.
            path: Only requests to this path, without its query; ``*`` in it stands for anything.

        Raises:
            InvalidCall: A text names no fault.
        """
        read = [Fault.parse(fault) if isinstance(fault, str) else fault for fault in faults]
        _refuse_crashes(read)
        each = [fault.in_a_row(1) for fault in read for _ in range(fault.times)]
        with self._lock:
            self._plans.append(_Plan(method.upper(), path, deque(each)))

    @property
    def planned(self) -> int:
        """How many planned faults have befallen nobody yet."""
        with self._lock:
            return sum(len(plan.left) for plan in self._plans)

    def next(self, method: str, path: str) -> Turn:
        """Return what befalls the request that has just arrived."""
        with self._lock:
            self._number += 1
            for plan in self._plans:
                if plan.left and plan.is_for(method, path):
                    return Turn(self._number, plan.left.popleft())
            return Turn(self._number, self._draws.at(self._number))


def _refuse_crashes(faults: Sequence[Fault]) -> None:
    for fault in faults:
        if fault.kind in CRASHES:
            what = f"{fault.kind} befalls the process that calls, and a server is another one"
            raise InvalidCall(what, "kill your process, or let $HOLDFAST_CHAOS do it")
