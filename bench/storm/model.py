"""A retry storm on a virtual clock: a dependency that fails, the workflows that need it, and their retries.

What retries in "ours" is the library itself: ledgers, their store, the retry loop, breaker and budget. Modelled
are the dependency, and the queue that hands a workflow out again after its call was refused.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from holdfast import Effect, HoldfastError, Ledger, ToolCall
from holdfast.testing.virtual import VirtualTime, virtual_time

TOOL = "book"


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """What happens. Times are seconds, rates are per second.

    Attributes:
        workflows: How many there are; they arrive evenly over *arrive_s*.
        calls: How many calls each makes, one after the other, with a pause between them.
        service_s: Between these the dependency takes to answer.
        think_s: Between these a workflow pauses before its next call.
        outage_at_s: When the dependency goes down, for *outage_s*. Requests on their way are cut off; half of
            them had been carried out.
        capacity: More requests than this within one second, and it falls over; it is back after *restart_s*.
        workers: Processes that share the work, each with a ledger of its own on the one store.
        redelivery_s: The queue hands a refused workflow out again after a random time up to this, counted from
            the moment that the refusal names, if it names one. ``None``: at that very moment.
        horizon_s: When the observer goes home.
    """

    workflows: int = 1000
    calls: int = 3
    arrive_s: float = 300.0
    service_s: tuple[float, float] = (1.0, 5.0)
    think_s: tuple[float, float] = (1.0, 5.0)
    outage_at_s: float = 100.0
    outage_s: float = 60.0
    capacity: int = 25
    restart_s: float = 15.0
    workers: int = 4
    redelivery_s: float = 30.0
    jitters: bool = True
    obeys_until: bool = True
    horizon_s: float = 1800.0

    @property
    def calls_in_all(self) -> int:
        """The calls that workflows want to make: the offered load."""
        return self.workflows * self.calls

    @property
    def offered(self) -> float:
        """Calls per second while workflows arrive."""
        return self.calls_in_all / self.arrive_s

    @property
    def over_at_s(self) -> float:
        """When the outage is over."""
        return self.outage_at_s + self.outage_s


class Unavailable(Exception):
    """The answer 503."""

    status_code = 503


@dataclass(slots=True)
class Service:
    """The dependency: it takes time, has a capacity, and goes down.

    Attributes:
        requests: When each request came.
        done: How often each intended call was carried out.
        falls: When it fell over for too many requests.
    """

    storm: Storm
    time: VirtualTime
    random: random.Random
    requests: list[float] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    falls: list[float] = field(default_factory=list)
    failures: list[float] = field(default_factory=list)
    _keys: set[str] = field(default_factory=set)
    _down_until: float = 0.0
    _cut: asyncio.Event = field(default_factory=asyncio.Event)

    async def live(self) -> None:
        """Go down when the outage says so."""
        await asyncio.sleep(self.storm.outage_at_s)
        self._go_down(self.storm.outage_s)

    async def request(self, call: str, key: str | None) -> str:
        """Carry out *call*, or fail; with a *key* that was seen before, only answer.

        Raises:
            ConnectionRefusedError, Unavailable: It is down.
            ConnectionResetError: It went down meanwhile; the call may have been carried out.
        """
        now = self.time.passed_s
        self.requests.append(now)
        if now < self._down_until:
            raise self._failed(Unavailable() if len(self.requests) % 2 else ConnectionRefusedError())
        if self._in_last_second(now) > self.storm.capacity:
            self.falls.append(now)
            self._go_down(self.storm.restart_s)
            raise self._failed(Unavailable())
        cut, takes_s = self._cut, self.random.uniform(*self.storm.service_s)
        try:
            async with asyncio.timeout(takes_s):
                await cut.wait()
        except TimeoutError:
            self._carry_out(call, key)
            return f"{call} done"
        if self.random.random() < 0.5:
            self._carry_out(call, key)
        raise self._failed(ConnectionResetError())

    def _failed(self, error: Exception) -> Exception:
        self.failures.append(self.time.passed_s)
        return error

    def _in_last_second(self, now: float) -> int:
        return sum(1 for _ in itertools.takewhile(lambda at: at > now - 1, reversed(self.requests)))

    def _go_down(self, seconds: float) -> None:
        self._down_until = max(self._down_until, self.time.passed_s + seconds)
        self._cut.set()
        self._cut = asyncio.Event()

    def _carry_out(self, call: str, key: str | None) -> None:
        if key is None or key not in self._keys:
            self.done[call] += 1
        if key is not None:
            self._keys.add(key)


Caller = Callable[[str, int], Awaitable[None]]
"""Makes the n-th call of a workflow, and returns when it is done."""


def on_schedule(service: Service, delays: Callable[[], Iterable[float]]) -> Caller:
    """Return a caller that retries by itself: any error, the given delays, no jitter, no end."""

    async def call(workflow: str, n: int) -> None:
        for delay_s in delays():
            try:
                await service.request(f"{workflow}/{n}", None)
            except (OSError, Unavailable):
                await asyncio.sleep(delay_s)
            else:
                return

    return call


def fixed_delays() -> Iterator[float]:
    """Return 1, 5 and 30 seconds, and 30 again for as long as it takes."""
    return itertools.chain((1.0, 5.0, 30.0), itertools.repeat(30.0))


def doubling_delays() -> Iterator[float]:
    """Return 1, 2, 4 ... seconds, up to a minute."""
    return (min(2.0**n, 60.0) for n in itertools.count())


def ours(service: Service, time: VirtualTime, storm: Storm, rng: random.Random, stats: Counter[str], **opts) -> Caller:
    """Return a caller that goes through the ledgers of several workers on one store."""
    store = time.store()
    workers = [time.ledger(store) for _ in range(storm.workers)]

    async def book(workflow: str, n: int, effect: Effect) -> str:
        return await service.request(f"{workflow}/{n}", effect.idem_key)

    for worker in workers:
        worker.tool(supports_key=True, **opts)(book)

    async def call(workflow: str, n: int) -> None:
        wanted = ToolCall(workflow_id=workflow, tool=TOOL, args={"workflow": workflow, "n": n})
        while True:
            worker: Ledger = rng.choice(workers)
            try:
                await worker.run(wanted)
                return
            except (OSError, Unavailable, HoldfastError) as refused:
                stats[type(refused).__name__ + (" spent" if getattr(refused, "spent", False) else "")] += 1
                until: datetime | None = getattr(refused, "until", None) or getattr(refused, "retry_at", None)
                wait_s = max((until - time()).total_seconds(), 0.0) if until is not None and storm.obeys_until else 0.0
                if storm.jitters or until is None:
                    wait_s += rng.uniform(0, storm.redelivery_s)
                await asyncio.sleep(wait_s + 1e-3)

    return call
