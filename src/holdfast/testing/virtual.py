"""An event loop on which time passes only when nobody has anything to do: a day of waiting takes no time.

    with virtual_time() as time:
        time.run(scenario())        # await asyncio.sleep(86_400) returns at once, a day later

The loop's clock jumps to the next timer whenever nothing is ready. Stores, ledgers and handlers share that
clock, so that delays, timeouts, leases and deadlines come when they would, in their order, and every run is
the same run. Sockets and threads live in real time: here every timer is due before they answer.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import selectors
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from holdfast._runtime.drive import AsyncRuntime
from holdfast._runtime.handler import call_plain, shape_of
from holdfast._runtime.heartbeat import Heartbeat, LiveClaim
from holdfast.ledger import Ledger
from holdfast.ports import Handler, Lease, Renewer, Store
from holdfast.settings import Settings
from holdfast.stores.memory import MemoryStore
from holdfast.testing.places import ledger_on
from holdfast.testing.runtime import START

__all__ = ["VirtualLoop", "VirtualRuntime", "VirtualTime", "virtual_time"]

T = TypeVar("T")
_Late = Callable[[Callable[[], Any]], Coroutine[Any, Any, None]]
_Events = list[tuple[selectors.SelectorKey, int]]


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while there is work, and else jumps to the next timer.

    Args:
        start: The time of day when it is made (aware, UTC).
    """

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._passed_s = 0.0
        super().__init__(_Jumping(self._jump))
        # As fine as a datetime. After months a float has no digits for asyncio's own nanosecond, and a timer
        # that is due would be neither run nor waited for.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Return the seconds since the start."""
        return self._passed_s

    def now(self) -> datetime:
        """Return the present time (aware, UTC)."""
        return self._start + timedelta(seconds=self._passed_s)

    def _jump(self, seconds: float) -> None:
        self._passed_s += seconds


class _Jumping(selectors.DefaultSelector):
    """Looks whether something is ready; if not, lets time pass instead of waiting."""

    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> _Events:
        if timeout is None:  # no timer is set: only a thread, a socket or a signal can go on
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout > 0:
            self._jump(timeout)
        return ready


class VirtualRuntime(AsyncRuntime):
    """asyncio under the clock of a :class:`VirtualLoop`; what is random comes from a seed.

    Plain handlers run in place, not in threads: they take no time.

    Args:
        loop: Whose time it is.
        seed: The same seed draws the same jitter.
    """

    def __init__(self, loop: VirtualLoop, *, seed: int | str = 0) -> None:
        super().__init__()
        self._loop = loop
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose

    def now(self) -> datetime:
        return self._loop.now()

    def monotonic(self) -> float:
        return self._loop.time()

    def token(self) -> bytes:
        return self._random.randbytes(16)

    async def invoke(
        self, handler: Handler, kwargs: Mapping[str, Any], *, timeout_s: float | None, late: _Late
    ) -> Any:
        if shape_of(handler).is_async:
            return await super().invoke(handler, kwargs, timeout_s=timeout_s, late=late)

        async def in_place() -> Any:
            returned = call_plain(handler, kwargs)
            if inspect.isasyncgen(returned):
                return [item async for item in returned]
            return await returned if inspect.isawaitable(returned) else returned

        return await super().invoke(in_place, {}, timeout_s=timeout_s, late=late)

    async def ask(self, source: Callable[[Any], Any], subject: Any, *, timeout_s: float) -> Any:
        async def in_place(asked: Any) -> Any:
            answer = source(asked)
            return await answer if inspect.isawaitable(answer) else answer

        return await super().ask(in_place, subject, timeout_s=timeout_s)


class VirtualTime:
    """A stretch of virtual time; call it for the present time, as a store does with its ``clock``.

    Args:
        start: When it begins (aware, UTC).
        seed: Of all that is random in ledgers made here.

    Attributes:
        loop: The event loop that :meth:`run` runs on.
    """

    def __init__(self, start: datetime = START, *, seed: int | str = 0) -> None:
        self.loop = VirtualLoop(start)
        self._seed = seed
        self._ledgers = 0

    def __call__(self) -> datetime:
        """Return the present time (aware, UTC)."""
        return self.loop.now()

    @property
    def passed_s(self) -> float:
        """Seconds since the start; ``loop.time()``."""
        return self.loop.time()

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run *main* to its end, whatever time that takes, and return what it returns.

        May be called again and again; time goes on from where it stood.
        """
        return self.loop.run_until_complete(main)

    def store(self) -> MemoryStore:
        """Return an empty store in memory, on this clock."""
        return MemoryStore(clock=self, is_test=True)

    def ledger(
        self, store: Store | None = None, *, tenant: str = "default", settings: Settings | None = None
    ) -> Ledger:
        """Return a ledger on this clock, with leases that are renewed in it.

        Each is a worker of its own: several of them on one store are several processes.

        Args:
            store: Default: an empty one of its own. A database lives in real time and does not fit.
        """
        self._ledgers += 1
        owner = f"worker-{self._ledgers}"
        runtime = VirtualRuntime(self.loop, seed=f"{self._seed}:{owner}")
        place = store or self.store()
        ledger = ledger_on(place, runtime, tenant=tenant, owner=owner, settings=settings)
        engine = ledger._engine  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - as ledger_on makes it
        tuned = engine.parts.settings
        beating = _Beating(self.loop, place.renewer, lease_s=tuned.lease_s, every_s=tuned.renew_every_s)
        ledger._engine = replace(engine, parts=replace(engine.parts, heartbeat=beating))  # pyright: ignore[reportPrivateUsage] # noqa: SLF001
        return ledger

    def close(self) -> None:
        """Cancel what still runs on the loop and close it."""
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


@contextmanager
def virtual_time(start: datetime = START, *, seed: int | str = 0) -> Generator[VirtualTime]:
    """Provide a stretch of virtual time; what still runs on it at the end is cancelled.

    Args:
        start: When it begins (aware, UTC).
        seed: Of all that is random in ledgers made here.
    """
    time = VirtualTime(start, seed=seed)
    try:
        yield time
    finally:
        time.close()


class _Beating(Heartbeat):
    """Renews living claims on the loop's own timers, and sets none while there is nothing to renew."""

    def __init__(
        self, loop: VirtualLoop, renewer: Callable[[], Renewer], *, lease_s: float, every_s: float
    ) -> None:
        super().__init__(renewer, lease_s=lease_s, every_s=every_s, monotonic=loop.time, threaded=False)
        self._loop = loop
        self._interval_s = every_s
        self._renewer = renewer()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, lease: Lease, *, claimed_at: float) -> LiveClaim:
        claim = super().add(lease, claimed_at=claimed_at)
        if self._timer is None:
            self._timer = self._loop.call_later(self._interval_s, self._pulse)
        return claim

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        super().close()

    def _pulse(self) -> None:
        self.beat(self._renewer)
        self._timer = self._loop.call_later(self._interval_s, self._pulse) if self._live else None
