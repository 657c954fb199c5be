"""Time and execution for tests: a clock that stands still until it is moved."""

from __future__ import annotations

import contextvars
import inspect
import itertools
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from holdfast._runtime.blocking import SyncRuntime, one_by_one
from holdfast._runtime.drive import AsyncRuntime, run_sync
from holdfast._runtime.stops import HandlerTimeout, heard
from holdfast.ports import Bell, Caller, Handler

T = TypeVar("T")
Late = Callable[[Callable[[], Any]], Coroutine[Any, Any, None]]

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""When every test begins."""

_BLINK_S: Final = 0.001


class FakeClock:
    """A clock that stands still until it is told to move; give it to stores as their ``clock``."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._now = start

    def __call__(self) -> datetime:
        """Return the present time (aware, UTC)."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds since the start."""
        return (self._now - self._start).total_seconds()

    def advance(self, by: float | timedelta) -> None:
        """Let time pass; a number is seconds."""
        self._now += by if isinstance(by, timedelta) else timedelta(seconds=by)


class FakeRuntime:
    """Handlers run in place, waiting moves the clock, tokens count up: every run is the same run.

    Nothing here suspends, so that ``run_sync`` can drive a whole scenario.

    Args:
        clock: The time; share it with the store.
        blocking: Whether callers on one thread cannot wait for each other, as with ``SyncLedger``.
        tokens: Where tokens come from; share it between runtimes that write to one store.
    """

    def __init__(
        self,
        clock: FakeClock | None = None,
        *,
        blocking: bool = False,
        tokens: Iterator[int] | None = None,
    ) -> None:
        self.clock = clock or FakeClock()
        self._blocking = blocking
        self._tokens = tokens or itertools.count(1)
        self._late: list[Callable[[], Coroutine[Any, Any, None]]] = []

    @property
    def stops(self) -> tuple[type[BaseException], ...]:
        return SyncRuntime().stops

    @property
    def blocking(self) -> bool:
        return self._blocking

    def now(self) -> datetime:
        return self.clock()

    def monotonic(self) -> float:
        return self.clock.monotonic()

    def token(self) -> bytes:
        return next(self._tokens).to_bytes(16)

    def bell(self) -> Bell:
        return _ClockBell(self.clock)

    async def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def shielded(self, work: Callable[[Caller], Coroutine[Any, Any, T]]) -> T:
        return await work(_Present())

    async def together(self, works: Sequence[Coroutine[Any, Any, T]]) -> Sequence[T]:
        return await one_by_one(works)

    def aside(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do *work* here and now: nothing runs on beyond a call."""
        contextvars.Context().run(run_sync, work())

    async def invoke(
        self, handler: Handler, kwargs: Mapping[str, Any], *, timeout_s: float | None, late: Late
    ) -> Any:
        """Run *handler* here; one that moves the clock past its timeout was given up meanwhile."""
        started = self.monotonic()

        def overran() -> bool:
            return timeout_s is not None and self.monotonic() - started > timeout_s

        try:
            returned = await _called(handler, kwargs)
        except Exception as error:
            if not overran():
                raise
            self._late.append(partial(late, _raising(error)))
            raise HandlerTimeout from error
        if overran():
            self._late.append(partial(late, lambda: returned))
            raise HandlerTimeout
        return returned

    async def ask(self, source: Callable[[Any], Any], subject: Any, *, timeout_s: float) -> Any:
        """Ask *source* here; one that moves the clock past the time that it has is not heard."""
        started = self.monotonic()
        answer = heard(lambda: source(subject))
        answer = await answer if inspect.isawaitable(answer) else answer
        if self.monotonic() - started > timeout_s:
            raise HandlerTimeout
        return answer

    @property
    def has_late(self) -> bool:
        """Whether a handler overran its timeout and its outcome has not arrived yet."""
        return bool(self._late)

    async def deliver_late(self) -> int:
        """Let the outcomes of handlers that overran their timeout arrive; return how many."""
        waiting, self._late = self._late, []
        for bring in waiting:
            await bring()
        return len(waiting)

    async def close(self, drain_s: float) -> None:
        """Nothing runs on beyond a call."""
        del drain_s


class StillRuntime(AsyncRuntime):
    """asyncio as it is, under a clock that stands still: leases end when the test says so.

    A wait of the ledger's own (before another attempt, for evidence) moves the clock and is over at once:
    under a clock that stands still it would have no end.
    """

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def now(self) -> datetime:
        return self._clock()

    async def sleep(self, seconds: float) -> None:
        self._clock.advance(seconds)
        await super().sleep(min(seconds, _BLINK_S))  # what is waited for may be made in another thread


class _Present:
    """A caller that cannot leave: it stands on the same stack."""

    left = False

    def shield(self, on: bool) -> None:  # noqa: FBT001 - the port's signature
        del on


class _ClockBell:
    """Nobody else runs while this waiter waits, so only time can pass."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._rung = False

    def ring(self) -> None:
        self._rung = True

    async def heard(self, timeout_s: float) -> bool:
        heard, self._rung = self._rung, False
        if not heard:
            self._clock.advance(timeout_s)
        return heard


async def _called(handler: Handler, kwargs: Mapping[str, Any]) -> Any:
    returned = handler(**kwargs)
    if inspect.isgenerator(returned):
        return list(returned)
    if inspect.isasyncgen(returned):
        return [item async for item in returned]
    return await returned if inspect.isawaitable(returned) else returned


def _raising(error: Exception) -> Callable[[], Any]:
    def get() -> Any:
        raise error

    return get
