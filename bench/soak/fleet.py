"""The workers, and what befalls them: SIGKILL, SIGSTOP past their leases, and at the end a roll-out."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terms import STOPPED_S

HERE = Path(__file__).parent
FACES = ("async", "sync")
_AT_ONCE = 8
_BEGINS_WITHIN_S = 60.0
_ENDS_WITHIN_S = 30.0


@dataclass(eq=False, slots=True)
class Worker:
    """One ``holdfast worker``.

    Attributes:
        thaws_at: When it goes on; ``None`` while it is not frozen.
    """

    slot: int
    process: subprocess.Popen[bytes]
    log: Path
    thaws_at: float | None = None

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def is_up(self) -> bool:
        """Whether it has begun to work."""
        return "working on" in self.said


class Fleet:
    """Worker processes, each started again when it dies.

    Attributes:
        kills: How many were killed.
        stops: How many were frozen for longer than their leases.
        stillborn: How many ended at once, because the database was away; whoever looks after workers starts them again.
        deaths: Of those that ended by themselves, or not when they were asked: what they said last.
    """

    def __init__(self, url: str, directory: Path, *, workers: int, dice: random.Random) -> None:
        self.kills = self.stops = self.stillborn = 0
        self.deaths: list[str] = []
        self._told: dict[str, Any] = {"url": url, "directory": str(directory), "has_timetable": True}
        self._directory = directory
        self._dice = dice
        self._all: list[Worker] = []
        self._workers = [self._started(slot) for slot in range(workers)]

    def _started(self, slot: int) -> Worker:
        told = {**self._told, "face": FACES[slot % len(FACES)]}
        command = [sys.executable, "-m", "holdfast", "worker", "app:ledger", "--concurrency", str(_AT_ONCE)]
        log_path = self._directory / f"worker-{len(self._all)}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=HERE,
                env={**os.environ, "SOAK": json.dumps(told)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        worker = Worker(slot, process, log_path)
        self._all.append(worker)
        return worker

    def tend(self) -> None:
        """Let those go on whose time has come, and start anew who ended without being asked."""
        for worker in self._workers:
            if worker.thaws_at is not None and time.monotonic() >= worker.thaws_at:
                self._thaw(worker)
            if worker.process.poll() is not None:
                if "[store-unavailable]" in worker.said[-200:]:
                    self.stillborn += 1
                else:
                    self._blame(worker, "ended by itself")
                self._workers[worker.slot] = self._started(worker.slot)

    def kill(self) -> bool:
        """SIGKILL one, frozen or not, and start its successor, if somebody is left to work meanwhile."""
        working = [worker for worker in self._workers if worker.is_up]
        if len(working) < 2:
            return False
        victim = self._dice.choice(working)
        victim.process.kill()
        victim.process.wait()
        self.kills += 1
        self._workers[victim.slot] = self._started(victim.slot)
        return True

    def freeze(self) -> None:
        """SIGSTOP one for longer than its lease."""
        awake = [worker for worker in self._workers if worker.thaws_at is None and worker.is_up]
        if awake:
            victim = self._dice.choice(awake)
            victim.process.send_signal(signal.SIGSTOP)
            victim.thaws_at = time.monotonic() + self._dice.uniform(*STOPPED_S)
            self.stops += 1

    @staticmethod
    def _thaw(worker: Worker) -> None:
        worker.thaws_at = None
        worker.process.send_signal(signal.SIGCONT)

    def roll_out(self) -> None:
        """Start successors that have no timetable; once they work, ask the others to end."""
        old, self._told["has_timetable"] = self._workers, False
        self._workers = [self._started(worker.slot) for worker in old]
        until = time.monotonic() + _BEGINS_WITHIN_S
        while not all(worker.is_up for worker in self._workers) and time.monotonic() < until:
            for worker in old:
                if worker.thaws_at is not None:
                    self._thaw(worker)
            time.sleep(0.1)
        self._end(old)

    def end(self) -> None:
        """Ask all to end, and see that they do."""
        self._end(self._workers)

    def _end(self, workers: list[Worker]) -> None:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            try:
                code = worker.process.wait(_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._blame(worker, f"did not end within {_ENDS_WITHIN_S:g} s")
                worker.process.kill()
                worker.process.wait()
            else:
                if code not in {0, -signal.SIGTERM}:  # asked before it listens, it ends as any process does
                    self._blame(worker, "ended badly when it was asked to")

    def close(self) -> None:
        for worker in self._all:
            worker.process.kill()
            worker.process.wait()

    def _blame(self, worker: Worker, what: str) -> None:
        self.deaths.append(
            f"worker {worker.slot} {what} ({worker.process.returncode}): {worker.said[-2000:]}"
        )
