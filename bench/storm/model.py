"""A retry storm on a virtual clock: a dependency that goes down, the workflows that need it, and their retries.

What retries in "holdfast" is the library itself, with its defaults: ledgers, their store, the retry loop, the
breaker and the budget. Modelled are the dependency, and the queue that hands a refused workflow out again.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from holdfast import Effect, HoldfastError, ToolCall
from holdfast.testing.virtual import VirtualTime, virtual_time


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


@dataclass(slots=True)
class Crowd:
    """The workflows, by what became of them.

    Attributes:
        finished: When each of those that are done was done.
        refused: How often a worker said no, by the name of the error.
        left_to_people: Calls that nobody goes on with until a person says so.
    """

    finished: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    left_to_people: int = 0


Caller: TypeAlias = Callable[[str, int], Awaitable[None]]
"""Makes the n-th call of a workflow, and returns when it is done."""

Strategy: TypeAlias = Callable[[Service, Crowd, random.Random], Caller]


def naive(service: Service, crowd: Crowd, draw: random.Random) -> Caller:
    """Retry after 1, 5 and 30 seconds, then every 30; no jitter, no breaker, no budget, each for itself."""
    return _on_schedule(service, lambda: itertools.chain((1.0, 5.0, 30.0), itertools.repeat(30.0)))


def exponential(service: Service, crowd: Crowd, draw: random.Random) -> Caller:
    """Retry after 1, 2, 4 ... seconds, up to a minute; no jitter, no breaker, no budget, each for itself."""
    return _on_schedule(service, _doubling)


def _doubling() -> Iterator[float]:
    return (min(2.0**n, 60.0) for n in itertools.count())


def _on_schedule(service: Service, delays: Callable[[], Iterable[float]]) -> Caller:
    async def call(workflow: str, n: int) -> None:
        for delay_s in delays():
            try:
                await service.request(f"{workflow}/{n}")
            except (OSError, Unavailable):
                await asyncio.sleep(delay_s)
            else:
                return

    return call


def holdfast(service: Service, crowd: Crowd, draw: random.Random) -> Caller:
    """Let the ledger call, with its defaults; what it refuses goes back to the queue."""
    storm, time = service.storm, service.time
    store = time.store()
    workers = [time.ledger(store) for _ in range(storm.workers)]

    async def book(workflow: str, n: int, effect: Effect) -> str:
        return await service.request(f"{workflow}/{n}", effect.idem_key)

    for worker in workers:
        worker.tool(supports_key=True)(book)

    async def call(workflow: str, n: int) -> None:
        wanted = ToolCall(workflow_id=workflow, tool="book", args={"workflow": workflow, "n": n})
        while True:
            try:
                await draw.choice(workers).run(wanted)
            except (OSError, Unavailable, HoldfastError) as refused:
                crowd.refused[type(refused).__name__] += 1
                if getattr(refused, "code", "") == "outcome-unknown" or getattr(refused, "spent", False):
                    crowd.left_to_people += 1
                    await asyncio.Event().wait()
                await asyncio.sleep(_pause_s(refused, storm, time, draw))
            else:
                return

    return call


def _pause_s(refused: Exception, storm: Storm, time: VirtualTime, draw: random.Random) -> float:
    """Return when the queue hands a refused workflow out again, in seconds from now."""
    until: datetime | None = getattr(refused, "until", None) or getattr(refused, "retry_at", None)
    jitter_s = draw.uniform(0, storm.redelivery_s)
    if until is None or not storm.is_patient:
        return jitter_s
    named_s = max((until - time()).total_seconds(), 0.0) + 0.001
    return named_s + jitter_s if storm.adds_jitter else named_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a storm.

    Attributes:
        per_second: Requests in each second.
        falls: When the dependency fell over for too many requests.
        late_failures: Requests that failed although the outage was over.
        done: How often each wanted call was carried out.
        finished: Workflows that are done.
        done_at_s: When the last of them was; ``None`` when some are not.
        refused: How often a worker said no, by the name of the error.
        left_to_people: Calls that wait for a person.
    """

    storm: Storm
    seed: int
    per_second: tuple[int, ...]
    falls: tuple[float, ...]
    late_failures: int
    done: Counter[str]
    finished: int
    done_at_s: float | None
    refused: Counter[str]
    left_to_people: int

    @property
    def requests(self) -> int:
        """All requests that the dependency saw."""
        return sum(self.per_second)

    @property
    def amplification(self) -> float:
        """Requests per wanted call."""
        return self.requests / self.storm.wanted

    @property
    def twice(self) -> int:
        """Wanted calls that were carried out more often than once."""
        return sum(times > 1 for times in self.done.values())

    @property
    def during(self) -> tuple[int, ...]:
        """Requests in each second of the outage."""
        return self.per_second[int(self.storm.outage_at_s) : int(self.storm.over_at_s)]

    @property
    def peak(self) -> int:
        """The most requests within one second of the outage."""
        return max(self.during)

    def after(self, *delays_s: int) -> tuple[int, ...]:
        """Return the requests in the seconds that begin so long after the outage did."""
        return tuple(self.per_second[int(self.storm.outage_at_s) + delay_s] for delay_s in delays_s)


def simulate(storm: Storm, strategy: Strategy, seed: int) -> Outcome:
    """Play *storm* with workflows that call by *strategy*; the same seed plays the same."""
    with virtual_time(seed=seed) as time:
        service = Service(storm, time, random.Random(f"service {seed}"))
        crowd = Crowd()
        call = strategy(service, crowd, random.Random(f"queue {seed}"))
        time.run(_play(service, crowd, call, random.Random(f"workflows {seed}")))
        bins = Counter(int(at) for at in service.requests)
        is_done = len(crowd.finished) == storm.workflows
        return Outcome(
            storm=storm,
            seed=seed,
            per_second=tuple(bins[second] for second in range(int(storm.observed_s))),
            falls=tuple(service.falls),
            late_failures=sum(at >= storm.over_at_s for at in service.failures),
            done=service.done,
            finished=len(crowd.finished),
            done_at_s=max(crowd.finished) if is_done else None,
            refused=crowd.refused,
            left_to_people=crowd.left_to_people,
        )


async def _play(service: Service, crowd: Crowd, call: Caller, draw: random.Random) -> None:
    storm = service.storm

    async def workflow(name: str, arrives_s: float, thinks_s: list[float]) -> None:
        await asyncio.sleep(arrives_s)
        for n, pause_s in enumerate(thinks_s):
            await asyncio.sleep(pause_s if n else 0)
            await call(name, n)
        crowd.finished.append(service.time.passed_s)

    outage = asyncio.create_task(service.live())
    tasks = [
        asyncio.create_task(
            workflow(
                f"workflow-{number}",
                draw.uniform(0, storm.arrive_s),
                [draw.uniform(*storm.think_s) for _ in range(storm.calls)],
            )
        )
        for number in range(storm.workflows)
    ]
    await asyncio.wait([outage, *tasks], timeout=storm.observed_s)
