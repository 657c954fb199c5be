"""Who begins workflows, answers them and cancels them: steadily, until the time is over, whatever breaks meanwhile."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import flows
from outside import Outside
from terms import SETTINGS, Trouble

from holdfast import Ledger
from holdfast.errors import InvalidCall, StoreError

R = TypeVar("R")
KINDS = {
    "order": 4,
    "nap": 2,
    "letter": 3,
    "family": 1,
    "shaky": 2,
    "narrow": 3,
    "metered": 2,
    "later": 1,
    "booking": 1,
    "lost letter": 1,
    "cut nap": 1,
    "cut family": 1,
    "paused nap": 1,
}
"""What is begun, and how often beside the others."""

_BACKLOG = 100
_AGAIN_S = 0.2
_GIVES_UP_S = 60.0


@dataclass(slots=True)
class Begun:
    """A workflow that was begun."""

    kind: str
    n: int
    given: dict[str, Any]
    delay_s: float = 0.0


@dataclass(slots=True)
class Crowd:
    """All that was asked of the ledger.

    Attributes:
        begun: By workflow id.
        signals: How many signals were sent.
        again: How often something was asked for once more, because the database was away.
        violations: Answers that must not be.
        backlog: Tells how many workflows are due and not taken.
        is_held: Nothing is begun now.
    """

    url: str
    outside: Outside
    dice: random.Random
    rate: float
    backlog: Callable[[], int]
    is_held: bool = False
    begun: dict[str, Begun] = field(default_factory=dict)
    signals: int = 0
    again: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    _later: list[tuple[float, int, Callable[[], Awaitable[None]]]] = field(default_factory=list)
    _ids: itertools.count[int] = field(default_factory=itertools.count)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def produce(self, until: float) -> None:
        """Begin workflows until then; return when all of them have been answered or cancelled."""
        asyncio.run(self._produce(until))

    async def _produce(self, until: float) -> None:
        async with Ledger(self.url, settings=SETTINGS) as ledger:
            made = flows.declare(ledger, self.outside, Trouble(), has_timetable=False)
            due, acts = time.monotonic(), set[asyncio.Task[None]]()
            looking = asyncio.create_task(self._look(until))
            while (now := time.monotonic()) < until or self._later or acts:
                while due <= now < until:
                    if not self.is_held:
                        acts.add(asyncio.create_task(self._begin(ledger, made)))
                    due += self.dice.uniform(0, 2) / self.rate
                while self._later and self._later[0][0] <= now:
                    act = heapq.heappop(self._later)[2]
                    acts.add(asyncio.ensure_future(act()))
                await asyncio.sleep(0.02)
                for ended in [act for act in acts if act.done()]:
                    acts.discard(ended)
                    if (error := ended.exception()) is not None:
                        self.violations.append(f"the crowd met {type(error).__name__}: {error}")
            await looking

    async def _look(self, until: float) -> None:
        """Hold back while the workers cannot keep up, as on a slow machine."""
        while time.monotonic() < until:
            self.is_held = await asyncio.to_thread(self.backlog) > _BACKLOG
            await asyncio.sleep(0.5)

    async def _begin(self, ledger: Ledger, made: dict[str, Any]) -> None:
        n, dice = next(self._ids), self.dice
        [kind] = dice.choices(list(KINDS), weights=list(KINDS.values()))
        workflow_id, name = f"{kind.replace(' ', '-')}-{n}", kind.split(" ")[-1]
        one = Begun(kind, n, {"n": n})
        match kind:
            case "nap" | "cut nap" | "paused nap":
                one.given["seconds"] = round(dice.uniform(0.2, 6), 2)
            case "letter":
                one.given["replies"] = dice.randint(1, 3)
            case "lost letter":
                one.given["replies"] = 1
            case "family" | "cut family":
                one.given["children"] = dice.randint(2, 4)
            case "later":
                name, one.delay_s = "order", dice.uniform(1, 5)
        self.begun[workflow_id] = one
        options = {"priority": dice.randint(0, 3), "delay": one.delay_s or None}
        twice, patience_s, paused_s = dice.random() < 0.1, dice.uniform(0.1, 6), dice.uniform(0.5, 3)
        gaps_s = [dice.choice((0.0, 0.0, dice.uniform(0, 4))) for _ in range(one.given.get("replies", 0))]
        for _ in range(1 + twice):
            await self._patiently(
                "enqueue", lambda: made[name].options(**options).enqueue(workflow_id, **one.given)
            )
        if kind == "letter":
            await self._reply(ledger, workflow_id, gaps_s)
        if kind in {"lost letter", "booking", "cut nap", "cut family"}:
            self._at(patience_s, lambda: self._steer("cancel", ledger.cancel, workflow_id))
        if kind == "paused nap":
            self._at(patience_s, lambda: self._pause(ledger, workflow_id, paused_s))

    async def _reply(self, ledger: Ledger, workflow_id: str, gaps_s: list[float]) -> None:
        """Send what is waited for, in order: some of it before anybody waits, some of it twice."""
        for i, gap_s in enumerate(gaps_s):
            await asyncio.sleep(gap_s)
            for _ in range(1 + (i % 2)):
                await self._patiently(
                    "signal",
                    lambda i=i: ledger.signal(workflow_id, "reply", {"i": i}, signal_id=f"reply-{i}"),
                )
            self.signals += 1

    async def _pause(self, ledger: Ledger, workflow_id: str, paused_s: float) -> None:
        await self._steer("pause", ledger.pause, workflow_id)
        await asyncio.sleep(paused_s)
        await self._steer("resume", ledger.resume, workflow_id)

    async def _steer(self, what: str, steer: Callable[..., Awaitable[object]], workflow_id: str) -> None:
        with suppress(InvalidCall):  # it has ended: well, or because the first answer to this was lost
            await self._patiently(what, lambda: steer(workflow_id, by="the crowd", reason="changed its mind"))

    def _at(self, after_s: float, act: Callable[[], Awaitable[None]]) -> None:
        heapq.heappush(self._later, (time.monotonic() + after_s, next(self._numbers), act))

    async def _patiently(self, what: str, ask: Callable[[], Awaitable[R]]) -> R:
        """Ask again for as long as the database is away: asked twice is asked once."""
        until = time.monotonic() + _GIVES_UP_S
        while True:
            try:
                return await ask()
            except StoreError:
                self.again[what] += 1
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(_AGAIN_S)
