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
_ENDS_WITHIN_S = 30.0


@dataclass(eq=False, slots=True)
class Worker:
    """One ``holdfast worker``.

    Attributes:
        thaws_at: When it goes on; ``None`` while it is not frozen.
    """

    slot: int
    process: subprocess.Popen[bytes]
    thaws_at: float | None = None


class Fleet:
    """Worker processes, each started again when it dies.

    Attributes:
        kills: How many were killed.
        stops: How many were frozen for longer than their leases.
        deaths: Of those that ended by themselves, or not when they were asked: what they said last.
    """

    def __init__(self, url: str, directory: Path, *, workers: int, dice: random.Random) -> None:
        self.kills = self.stops = 0
        self.deaths: list[str] = []
        self._told: dict[str, Any] = {"url": url, "directory": str(directory), "has_timetable": True}
        self._directory = directory
        self._dice = dice
        self._workers = [self._started(slot) for slot in range(workers)]

    def _started(self, slot: int) -> Worker:
        told = {**self._told, "face": FACES[slot % len(FACES)]}
        command = [sys.executable, "-m", "holdfast", "worker", "app:ledger", "--concurrency", str(_AT_ONCE)]
        with self._log(slot).open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=HERE,
                env={**os.environ, "SOAK": json.dumps(told)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return Worker(slot, process)

    def _log(self, slot: int) -> Path:
        return self._directory / f"worker-{slot}.log"

    def tend(self) -> None:
        """Let those go on whose time has come, and start anew who ended without being asked."""
        for worker in self._workers:
            if worker.thaws_at is not None and time.monotonic() >= worker.thaws_at:
                self._thaw(worker)
            if worker.process.poll() is not None:
                self._blame(worker, "ended by itself")
                self._workers[worker.slot] = self._started(worker.slot)

    def kill(self) -> None:
        """SIGKILL one, frozen or not; start its successor."""
        victim = self._dice.choice(self._workers)
        victim.process.kill()
        victim.process.wait()
        self.kills += 1
        self._workers[victim.slot] = self._started(victim.slot)

    def freeze(self) -> None:
        """SIGSTOP one for longer than its lease."""
        awake = [worker for worker in self._workers if worker.thaws_at is None]
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
        """Ask all to end, and start successors that have no timetable."""
        self.end()
        self._told["has_timetable"] = False
        self._workers = [self._started(worker.slot) for worker in self._workers]

    def end(self) -> None:
        """Ask all to end, and see that they do."""
        for worker in self._workers:
            if worker.thaws_at is not None:
                self._thaw(worker)
            worker.process.terminate()
        for worker in self._workers:
            try:
                code = worker.process.wait(_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._blame(worker, f"did not end within {_ENDS_WITHIN_S:g} s")
                worker.process.kill()
                worker.process.wait()
            else:
                # Asked before it listens, it ends as any process does.
                if code not in {0, -signal.SIGTERM}:
                    self._blame(worker, "ended badly when it was asked to")

    def close(self) -> None:
        for worker in self._workers:
            worker.process.kill()
            worker.process.wait()

    def _blame(self, worker: Worker, what: str) -> None:
        said = self._log(worker.slot).read_text(errors="replace")[-2000:]
        self.deaths.append(f"worker {worker.slot} {what} ({worker.process.returncode}): {said}")
