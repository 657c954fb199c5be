"""What can befall a request, or a call, on purpose: the words that the fault server and chaos have in common.

One fault is written ``drop_after``, ``latency:0.2`` (seconds) or ``503:2*3`` (three in a row, each with
``Retry-After: 2``). Chances are written ``drop_after=0.1,latency=0.2:0.05,503=0.1*3``. Faults that came by
themselves, and what they mean, are :mod:`holdfast._core.fault`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar, Final, TypeAlias

from holdfast.errors import InvalidCall


class FaultKind(StrEnum):
    """What can befall a request. *Before*: nothing was done. *After*: it was done all the same."""

    OK = "ok"  #: nothing: it is done and answered
    LATENCY = "latency"  #: it waits for so many seconds, then it is done and answered
    DRIP = "drip"  #: done; the answer's body takes so many seconds, byte by byte
    DUPLICATE = "duplicate"  #: the service processes it twice and answers once
    DROP_BEFORE = "drop_before"  #: not done; the connection is closed without an answer
    DROP_AFTER = "drop_after"  #: done; the connection is closed without an answer
    HANG_BEFORE = "hang_before"  #: not done; no answer until the client leaves (or so many seconds passed)
    HANG_AFTER = "hang_after"  #: done; no answer until the client leaves (or so many seconds passed)
    RESET_BEFORE = "reset_before"  #: not done; TCP RST
    RESET_AFTER = "reset_after"  #: done; TCP RST
    HALF = "half"  #: done; the answer breaks off in the middle of its body
    RATE_LIMITED = "429"  #: not done; Retry-After in seconds
    RATE_LIMITED_DATE = "429_date"  #: not done; Retry-After as an HTTP date
    UNAVAILABLE = "503"  #: not done; Retry-After if the seconds are not 0
    ERROR_BEFORE = "500_before"  #: not done; status 500
    ERROR_AFTER = "500_after"  #: done, although the status is 500
    DOWN = "down"  #: not done; for so many seconds all connections are closed and new ones refused
    CRASH_BEFORE = "crash_before"  #: not done; the caller's own process dies, as by kill -9
    CRASH_AFTER = "crash_after"  #: done; the caller's own process dies, as by kill -9


NOT_DONE: Final = frozenset(
    {
        FaultKind.DROP_BEFORE,
        FaultKind.HANG_BEFORE,
        FaultKind.RESET_BEFORE,
        FaultKind.RATE_LIMITED,
        FaultKind.RATE_LIMITED_DATE,
        FaultKind.UNAVAILABLE,
        FaultKind.ERROR_BEFORE,
        FaultKind.DOWN,
        FaultKind.CRASH_BEFORE,
    }
)
"""The faults after which nothing was done. After all others it was, whatever the client saw."""

CRASHES: Final = frozenset({FaultKind.CRASH_BEFORE, FaultKind.CRASH_AFTER})
"""What befalls the process that calls; no server can do that to its clients."""

#: The faults that take seconds, and how many when none are given.
_SECONDS: Final = {
    FaultKind.LATENCY: 0.1,
    FaultKind.DRIP: 0.2,
    FaultKind.HANG_BEFORE: 0.0,
    FaultKind.HANG_AFTER: 0.0,
    FaultKind.RATE_LIMITED: 1.0,
    FaultKind.RATE_LIMITED_DATE: 1.0,
    FaultKind.UNAVAILABLE: 0.0,
    FaultKind.DOWN: 0.2,
}
#: Names that stand for two faults in chances, each with half of the probability.
_EITHER: Final = {
    "drop": (FaultKind.DROP_BEFORE, FaultKind.DROP_AFTER),
    "hang": (FaultKind.HANG_BEFORE, FaultKind.HANG_AFTER),
    "reset": (FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER),
    "500": (FaultKind.ERROR_BEFORE, FaultKind.ERROR_AFTER),
    "crash": (FaultKind.CRASH_BEFORE, FaultKind.CRASH_AFTER),
}
COMMON: Final = ("latency", "drop", "hang", "429", "503", "500", "duplicate")
"""What a bare number in chaos stands for: each with an equal share of it. A crash has to be asked for."""

_NUMBER: Final = r"\d+(?:\.\d+)?"
_FAULT: Final = re.compile(rf"(\w+)(?::({_NUMBER}))?(?:\*(\d+))?")
_CHANCE: Final = re.compile(rf"(\w+)=({_NUMBER})(:{_NUMBER})?(\*\d+)?")
_CONCURRENT: Final = re.compile(rf"concurrent=({_NUMBER})")
_WEBHOOKS: Final = re.compile(rf"webhooks=({_NUMBER})(?::({_NUMBER}))?")
_SEED: Final = re.compile(r"seed=(\d{1,18})")
_ROUNDING: Final = 1e-9
_LONGEST_S: Final = 86_400.0
_MOST_TIMES: Final = 100_000
_KINDS: Final = frozenset(FaultKind)


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls one request; ``Fault.DROP_AFTER``, ``Fault.UNAVAILABLE.lasting(2).in_a_row(3)``.

    Attributes:
        kind: What happens.
        seconds: How long, or what ``Retry-After`` says. For ``hang_…`` 0 means until the client leaves,
            for ``503`` that there is no ``Retry-After``.
        times: How many requests in a row it befalls.
    """

    kind: FaultKind
    seconds: float = 0.0
    times: int = 1

    OK: ClassVar[Fault]
    LATENCY: ClassVar[Fault]
    DRIP: ClassVar[Fault]
    DUPLICATE: ClassVar[Fault]
    DROP_BEFORE: ClassVar[Fault]
    DROP_AFTER: ClassVar[Fault]
    HANG_BEFORE: ClassVar[Fault]
    HANG_AFTER: ClassVar[Fault]
    RESET_BEFORE: ClassVar[Fault]
    RESET_AFTER: ClassVar[Fault]
    HALF: ClassVar[Fault]
    RATE_LIMITED: ClassVar[Fault]
    RATE_LIMITED_DATE: ClassVar[Fault]
    UNAVAILABLE: ClassVar[Fault]
    ERROR_BEFORE: ClassVar[Fault]
    ERROR_AFTER: ClassVar[Fault]
    DOWN: ClassVar[Fault]
    CRASH_BEFORE: ClassVar[Fault]
    CRASH_AFTER: ClassVar[Fault]

    def __post_init__(self) -> None:
        if self.seconds and self.kind not in _SECONDS:
            raise InvalidCall(f"the fault {self.kind} lasts no time", "leave its seconds out")
        if not 0 <= self.seconds <= _LONGEST_S or not 1 <= self.times <= _MOST_TIMES:
            what = f"the fault {self.kind} lasts {self.seconds} s, {self.times} times"
            raise InvalidCall(what, "give at most a day in seconds, and 1 to 100,000 times")

    def __str__(self) -> str:
        told = f":{self.seconds:g}" if self.seconds != _SECONDS.get(self.kind, 0.0) else ""
        return f"{self.kind}{told}{f'*{self.times}' if self.times > 1 else ''}"

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read ``name``, ``name:seconds``, ``name*times`` or ``name:seconds*times``.

        Raises:
            InvalidCall: It names no fault.
        """
        found = _FAULT.fullmatch(text.strip())
        if found is None or found[1] not in _KINDS:
            pair = _EITHER.get(found[1]) if found else None
            fix = f"say which: {' or '.join(pair)}" if pair else f"use one of {', '.join(FaultKind)}"
            raise InvalidCall(f"{text!r} names no fault", fix)
        kind = FaultKind(found[1])
        return cls(kind, float(found[2] or _SECONDS.get(kind, 0.0)), int(found[3] or 1))

    def lasting(self, seconds: float) -> Fault:
        """Return this fault with other seconds."""
        return replace(self, seconds=seconds)

    def in_a_row(self, times: int) -> Fault:
        """Return this fault befalling so many requests, one after another."""
        return replace(self, times=times)


for _kind in FaultKind:
    setattr(Fault, _kind.name, Fault(_kind, _SECONDS.get(_kind, 0.0)))


@dataclass(frozen=True, slots=True)
class Chance:
    """How probable a fault is for each request that no plan speaks of.

    Attributes:
        probability: From 0 to 1.
        fault: What happens then. A latency is drawn between 0 and its seconds; of a fault with several
            ``times`` the first is drawn, and the others befall the next requests without a plan.
    """

    probability: float
    fault: Fault


Chances: TypeAlias = "str | Sequence[Chance]"


def parse_chances(text: str) -> tuple[Chance, ...]:
    """Read ``name=probability[:seconds][*times]``, several of them between commas.

    ``drop``, ``hang``, ``reset`` and ``500`` stand for their two forms, before and after the change,
    with half of the probability each.

    Raises:
        InvalidCall: It cannot be read.
    """
    return tuple(chance for term in _terms(text) for chance in _chances(term))


def check_chances(chances: Sequence[Chance]) -> None:
    """Refuse what cannot be a probability.

    Raises:
        InvalidCall: One is below 0, or they are more than 1 together.
    """
    together = sum(chance.probability for chance in chances)
    if together > 1 + _ROUNDING or not all(chance.probability >= 0 for chance in chances):
        raise InvalidCall(
            f"the chances are {together:g} together", "give 0 or more each, and at most 1 together"
        )


def drawn(chances: Sequence[Chance], draw: float, spread: float) -> Fault:
    """Return the fault that *draw* stands for, ``ok`` for none; a latency lasts *spread* of its seconds.

    Args:
        draw: A random number in [0, 1).
        spread: Another one.
    """
    for chance in chances:
        draw -= chance.probability
        if draw < 0:
            fault = chance.fault
            return fault.lasting(fault.seconds * spread) if fault.kind is FaultKind.LATENCY else fault
    return Fault.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Chaos:
    """What is to befall the calls of a program.

    Attributes:
        chances: What may befall an execution of a handler.
        concurrent: How probable it is that somebody else makes the same call at the same moment.
        webhooks: How probable it is that a signal comes late, twice, or with an older one behind it.
        latest_s: How late signals come at most, in seconds.
        seed: Another seed is another story; ``None``: a new one each time.
    """

    chances: tuple[Chance, ...] = ()
    concurrent: float = 0.0
    webhooks: float = 0.0
    latest_s: float = 1.0
    seed: int | None = None

    @property
    def is_on(self) -> bool:
        """Whether anything can happen at all."""
        return (
            self.concurrent > 0 or self.webhooks > 0 or any(chance.probability > 0 for chance in self.chances)
        )


def parse_chaos(text: str) -> Chaos:
    """Read chances as :func:`parse_chances` does, and the words that only dev mode has among them.

    They are ``0.1``, ``concurrent=0.05``, ``webhooks=0.1:2`` (seconds) and ``seed=7``. A bare number is
    shared by the faults of :data:`COMMON`, and holds for webhooks as well.

    Raises:
        InvalidCall: It cannot be read, or the chances are more than 1 together.
    """
    chances: list[Chance] = []
    concurrent, webhooks, latest_s, seed = 0.0, 0.0, 1.0, None
    for term in _terms(text):
        if found := _CONCURRENT.fullmatch(term):
            concurrent = float(found[1])
        elif found := _WEBHOOKS.fullmatch(term):
            webhooks, latest_s = float(found[1]), min(float(found[2] or 1), _LONGEST_S)
        elif found := _SEED.fullmatch(term):
            seed = int(found[1])
        elif re.fullmatch(_NUMBER, term):
            webhooks = float(term)
            share = webhooks / len(COMMON)
            chances += [chance for name in COMMON for chance in _pair(name, share, "")]
        else:
            chances += _chances(term)
    check_chances(chances)
    for name, given in (("concurrent", concurrent), ("webhooks", webhooks)):
        if given > 1:
            raise InvalidCall(f"{name}={given:g} is no probability", "give a number from 0 to 1")
    return Chaos(
        chances=tuple(chances), concurrent=concurrent, webhooks=webhooks, latest_s=latest_s, seed=seed
    )


def _terms(text: str) -> Iterator[str]:
    return filter(None, (part.strip() for part in text.split(",")))


def _chances(term: str) -> tuple[Chance, ...]:
    found = _CHANCE.fullmatch(term)
    if found is None:
        raise InvalidCall(f"{term!r} is no chance of a fault", "write name=probability[:seconds][*times]")
    return _pair(found[1], float(found[2]), f"{found[3] or ''}{found[4] or ''}")


def _pair(name: str, probability: float, rest: str) -> tuple[Chance, ...]:
    """Return the chance of the fault *name*, or of both its forms."""
    kinds: tuple[str, ...] = _EITHER.get(name, (name,))
    return tuple(Chance(probability / len(kinds), Fault.parse(f"{kind}{rest}")) for kind in kinds)
