"""What it is worth that the other side has nothing to show: it may be late, and it may forget."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from holdfast._core.duration import Duration, seconds
from holdfast._core.model import Effect, Evidence, StillUnknown
from holdfast.errors import InvalidTool, NotDone

NotFound: TypeAlias = "type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], object]"
"""Exceptions that mean "it is not there": classes, or a function that recognises them."""

Clock: TypeAlias = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Silence:
    """How the other side says that there is nothing, and when that may be believed.

    Attributes:
        lag: How long after the attempt it may still hide what is there; ``None`` when nobody knows.
        kept_for: How long after an attempt it still shows what was there; ``None`` for ever. The first one
            counts: any may have acted, and at its very beginning.
    """

    is_meant_by: Callable[[Exception], bool]
    lag: timedelta | None
    kept_for: timedelta | None
    clock: Clock

    def evidence(self, effect: Effect, what: str) -> Evidence:
        """Return what the observation *what* is worth now."""
        if self.lag is None:
            return StillUnknown(f"{what}, and nobody knows how late it may show (declare lag=)")
        if not self.lag and self.kept_for is None:
            return NotDone()
        if effect.attempted_at is None:
            return StillUnknown(f"{what}, and it is not known when the attempt acted")
        shows_by = effect.attempted_at + self.lag
        now = self.clock()
        if now < shows_by:
            return StillUnknown(f"{what}, but it may show as late as {shows_by.isoformat()}")
        first = effect.first_attempted_at or effect.attempted_at
        if self.kept_for is not None and now >= first + self.kept_for:
            return StillUnknown(f"{what}, but it would not have been kept until now")
        return NotDone()


def silence(
    shape: str,
    *,
    lag: Duration | None,
    kept_for: Duration | None = None,
    not_found: NotFound,
    clock: Clock | None,
) -> Silence:
    """Check what a user declared of absence and return it.

    Raises:
        InvalidTool: It is no length of time, or no exception.
    """
    is_zero = not isinstance(lag, bool) and (lag == 0 or lag == timedelta(0))
    return Silence(
        is_meant_by=_recognise(shape, not_found),
        lag=timedelta(0) if is_zero else _length(f"{shape}: lag", lag),
        kept_for=_length(f"{shape}: kept_for", kept_for),
        clock=_now if clock is None else clock,
    )


def _recognise(shape: str, not_found: NotFound) -> Callable[[Exception], bool]:
    given: Any = not_found
    kinds: list[Any] = [*given] if isinstance(given, tuple) else [given]
    if all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
        classes = tuple(kinds)
        return lambda error: isinstance(error, classes)
    if isinstance(given, tuple | type) or not callable(given):
        what = f"{shape}: not_found has something that is no exception class"
        raise InvalidTool(what, "give exception classes, or one function of the exception")
    return lambda error: is_true(given(error))


def is_true(answer: Any) -> bool:
    """Return what a rule of the user's answered.

    Raises:
        InvalidTool: It is a coroutine: true by itself, whatever it would have come to.
    """
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise InvalidTool("a rule of a reconciler is async", "give plain functions for match= and not_found=")
    return bool(answer)


def _length(name: str, value: Duration | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=seconds(value, name=name))


def _now() -> datetime:
    return datetime.now(UTC)
