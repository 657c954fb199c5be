"""The workers, whoever kills them, and the desk that hands the same charges out until they are settled."""

from __future__ import annotations

import heapq
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from charges import BARE, Charge

WORKER = Path(__file__).with_name("worker.py")
FACES = ("sync", "async")
_MOST_DOUBTS = {BARE: 2}
_DOUBTS = 6
_MOST_TRIES = 60
_PATIENCE_S = 120.0
_FORGOTTEN = 0.3
"""Of what a killed worker held, so much is asked for by nobody any more: that is the sweeper's."""


@dataclass(eq=False, slots=True)
class Worker:
    """One process, and what it was given to do."""

    slot: int
    process: subprocess.Popen[str]
    holds: Counter[int] = field(default_factory=Counter[int])
    is_killed: bool = False


class Fleet:
    """Worker processes, each started again when it dies.

    Attributes:
        kills: How many were killed.
        deaths: Of those that died by themselves: what they said last.
    """

    def __init__(
        self, url: str, urls: Mapping[str, str], *, workers: int, at_once: int, directory: Path
    ) -> None:
        self.kills = 0
        self.deaths: list[str] = []
        self.heard: SimpleQueue[tuple[Worker, dict[str, Any] | None]] = SimpleQueue()
        self._told = {"url": url, "urls": dict(urls), "at_once": at_once}
        self._room = at_once + 2
        self._directory = directory
        self._workers = [self._start(slot) for slot in range(workers)]
        for _ in self._workers:
            self.heard.get(timeout=_PATIENCE_S)  # each says first that it is ready

    def _start(self, slot: int) -> Worker:
        told = {**self._told, "face": FACES[slot % len(FACES)]}
        with (self._directory / f"worker-{slot}.err").open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, str(WORKER), json.dumps(told)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                bufsize=1,
            )
        worker = Worker(slot, process)
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()
        return worker

    def _listen(self, worker: Worker) -> None:
        assert worker.process.stdout is not None
        for line in worker.process.stdout:
            self.heard.put((worker, json.loads(line)))
        self.heard.put((worker, None))

    def hand(self, order: int, *, beside: int | None = None) -> int | None:
        """Give *order* to the least busy worker, not to the one in slot *beside*; return its slot if there is one."""
        free = [
            worker
            for worker in self._workers
            if worker.slot != beside
            and worker.holds.total() < self._room * (1 if beside is None else 2)
            and worker.process.poll() is None
        ]
        if not free:
            return None
        worker = min(free, key=lambda worker: worker.holds.total())
        assert worker.process.stdin is not None
        try:
            worker.process.stdin.write(f"{order}\n")
        except OSError:  # it has just died; its end will be heard
            return None
        worker.holds[order] += 1
        return worker.slot

    def kill(self, dice: random.Random) -> None:
        """SIGKILL a worker that has something to lose."""
        busy = [worker for worker in self._workers if worker.holds and not worker.is_killed]
        if busy:
            victim = dice.choice(busy)
            victim.is_killed = True
            self.kills += 1
            victim.process.kill()

    def buried(self, worker: Worker) -> list[int]:
        """Start a successor of a dead worker; return what it took with it."""
        worker.process.wait()
        for stream in (worker.process.stdin, worker.process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue
        if not worker.is_killed:
            said = (self._directory / f"worker-{worker.slot}.err").read_text()[-2000:]
            self.deaths.append(f"worker {worker.slot} ended by itself ({worker.process.returncode}): {said}")
        self._workers[worker.slot] = self._start(worker.slot)
        return list(worker.holds.elements())

    def close(self) -> None:
        for worker in self._workers:
            worker.process.kill()
            worker.process.communicate()


class Desk:
    """Hands out charges, and hands them out again: after errors, after deaths, and now and then to two at once.

    Attributes:
        intended: Every charge that was handed out.
        done: Those that somebody was told are done.
        aside: Those that are not tried again for now: ``in doubt``, ``spent``, ``forgotten``, ….
        errors: What was heard instead of results.
    """

    def __init__(self, fleet: Fleet, dice: random.Random, tick: Callable[[Desk], None]) -> None:
        self.intended: set[int] = set()
        self.done: set[int] = set()
        self.aside: dict[int, str] = {}
        self.errors: Counter[str] = Counter()
        self.answers = 0
        self.twins = 0
        self._fleet = fleet
        self._dice = dice
        self._tick = tick
        self._tries: Counter[int] = Counter()
        self._doubts: Counter[int] = Counter()
        self._out: Counter[int] = Counter()
        self._later: list[tuple[float, int]] = []

    def serve(self, orders: Iterable[int], *, until: float = float("inf"), twins: float = 0.0) -> None:
        """Return once every charge that was handed out is done or put aside.

        Args:
            until: After this moment nothing is handed out any more.
            twins: How probable it is that a charge is given to two workers at the same time.
        """
        new = iter(orders)
        following = next(new, None)
        while following is not None or self._later or self._out:
            now = time.monotonic()
            if now > until:
                following = None
                self.aside |= {order: "out of time" for _, order in self._later if order not in self.done}
                self._later.clear()
            while self._later and self._later[0][0] <= now and self._hand(self._later[0][1]):
                heapq.heappop(self._later)
            while following is not None and self._hand(following, twins=twins):
                self.intended.add(following)
                following = next(new, None)
            self._tick(self)
            self._listen(0.05)

    def _hand(self, order: int, *, twins: float = 0.0) -> bool:
        if order in self.done or order in self.aside:
            return True
        slot = self._fleet.hand(order)
        if slot is None:
            return False
        self._out[order] += 1
        if self._dice.random() < twins and self._fleet.hand(order, beside=slot) is not None:
            self._out[order] += 1
            self.twins += 1
        return True

    def _listen(self, patience_s: float) -> None:
        try:
            worker, told = self._fleet.heard.get(timeout=patience_s)
            while True:
                self._take(worker, told)
                worker, told = self._fleet.heard.get_nowait()
        except Empty:
            return

    def _take(self, worker: Worker, told: dict[str, Any] | None) -> None:
        if told is None:  # it is dead
            for order in self._fleet.buried(worker):
                self._back(order)
                if self._dice.random() < _FORGOTTEN and order not in self.done:
                    self.aside[order] = "forgotten"
                else:
                    self._again(order, 0.05)
            return
        if "order" not in told:  # it is ready
            return
        order = int(told["order"])
        self.answers += 1
        worker.holds[order] -= 1
        worker.holds += Counter()  # drops what is settled
        self._back(order)
        if told["said"] == "done":
            self.done.add(order)
            self.aside.pop(order, None)
        else:
            self.errors[told["said"]] += 1
            self._failed(order, told)

    def _failed(self, order: int, told: dict[str, Any]) -> None:
        self._tries[order] += 1
        self._doubts[order] += told["said"] == "OutcomeUnknown"
        if told["spent"]:
            self.aside[order] = "spent"
        elif self._doubts[order] >= _MOST_DOUBTS.get(Charge(order).kind, _DOUBTS):
            self.aside[order] = "in doubt"
        elif self._tries[order] >= _MOST_TRIES:
            self.aside[order] = "given up"
        else:
            self._again(order, 0.1 * min(self._tries[order], 20))

    def _back(self, order: int) -> None:
        self._out[order] -= 1
        self._out += Counter()

    def _again(self, order: int, after_s: float) -> None:
        if order not in self.done:
            heapq.heappush(self._later, (time.monotonic() + self._dice.uniform(0.5, 1) * after_s, order))

    def fresh(self, orders: Iterable[int]) -> None:
        """Forget what was tried of *orders*: something has changed."""
        for order in orders:
            self.aside.pop(order, None)
            self._tries[order] = self._doubts[order] = 0
