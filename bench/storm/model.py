"""A retry storm on a virtual clock: a dependency that goes down, the workflows that need it, and their retries.

What retries in "holdfast" is the library itself, with its defaults: ledgers, their store, the retry loop, the
breaker and the budget. Modelled are the dependency, and the queue that hands a refused workflow out again.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from outage import Service, Storm, Unavailable

from holdfast import Effect, HoldfastError, ToolCall
from holdfast.testing.virtual import VirtualTime, virtual_time


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
