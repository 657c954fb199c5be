"""What happens in a storm, and the dependency that it happens to."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from dataclasses import dataclass, field

from holdfast.testing.virtual import VirtualTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """What happens. Times are seconds, rates are per second.

    Attributes:
        workflows: How many there are; they arrive evenly over *arrive_s*.
        calls: How many calls each makes, one after the other, with a pause between them.
        service_s: The dependency takes a time between these to answer.
        think_s: A workflow pauses for a time between these before its next call.
        outage_at_s: When the dependency goes down, for *outage_s*. Requests on their way are cut off; half of
            them were carried out all the same.
        capacity: More requests than this within one second, and it falls over; it is back after *restart_s*.
        workers: Processes that share the work, each with a ledger of its own on the one store.
        redelivery_s: The queue hands a refused workflow out again after a random time up to this, counted from
            the moment that the refusal names, or from the refusal if it names none.
        is_patient: The queue respects that moment; else it always counts from the refusal.
        adds_jitter: Else it hands all of them out at the very moment that was named.
        observed_s: When the observer goes home.
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
    is_patient: bool = True
    adds_jitter: bool = True
    observed_s: float = 1800.0

    @property
    def wanted(self) -> int:
        """The calls that the workflows want to make, each counted once: the offered load."""
        return self.workflows * self.calls

    @property
    def offered(self) -> float:
        """Those calls per second, while workflows arrive."""
        return self.wanted / self.arrive_s

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
        failures: When each of those that failed did so.
        falls: When it fell over for too many requests.
        done: How often each wanted call was carried out.
    """

    storm: Storm
    time: VirtualTime
    random: random.Random
    requests: list[float] = field(default_factory=list)
    failures: list[float] = field(default_factory=list)
    falls: list[float] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    _recent: deque[float] = field(default_factory=deque)
    _keys: set[str] = field(default_factory=set)
    _down_until: float = 0.0
    _cut: asyncio.Event = field(default_factory=asyncio.Event)

    async def live(self) -> None:
        """Go down when it is time."""
        await asyncio.sleep(self.storm.outage_at_s)
        self._go_down(self.storm.outage_s)

    async def request(self, wanted: str, key: str | None = None) -> str:
        """Carry out what is *wanted*; a *key* that was seen before is answered, and no more.

        Raises:
            ConnectionRefusedError, Unavailable: It is down, by turns.
            ConnectionResetError: It went down meanwhile.
        """
        now = self.time.passed_s
        self.requests.append(now)
        if now < self._down_until:
            raise self._failed(Unavailable() if len(self.requests) % 2 else ConnectionRefusedError())
        if self._is_too_much(now):
            self.falls.append(now)
            self._go_down(self.storm.restart_s)
            raise self._failed(Unavailable())
        cut = self._cut
        try:
            async with asyncio.timeout(self.random.uniform(*self.storm.service_s)):
                await cut.wait()
        except TimeoutError:
            self._carry_out(wanted, key)
            return f"{wanted} is booked"
        if self.random.random() < 0.5:
            self._carry_out(wanted, key)
        raise self._failed(ConnectionResetError())

    def _is_too_much(self, now: float) -> bool:
        self._recent.append(now)
        while self._recent[0] <= now - 1:
            self._recent.popleft()
        return len(self._recent) > self.storm.capacity

    def _go_down(self, seconds: float) -> None:
        self._down_until = self.time.passed_s + seconds
        self._recent.clear()
        self._cut.set()
        self._cut = asyncio.Event()

    def _failed(self, error: Exception) -> Exception:
        self.failures.append(self.time.passed_s)
        return error

    def _carry_out(self, wanted: str, key: str | None) -> None:
        if key is None or key not in self._keys:
            self.done[wanted] += 1
        if key is not None:
            self._keys.add(key)
