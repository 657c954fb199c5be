"""Processes of a test's own: started, stopped at a place, killed, frozen, asked."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Self

import psycopg

from holdfast import Settings, SyncLedger, ToolCall

WORKER: Final = Path(__file__).parent / "worker.py"
PATIENCE_S: Final = 60
"""After this long a child is broken, not slow."""

CALL: Final = ToolCall(workflow_id="order-123", tool="charge", args={"amount": 100})


class Child:
    """One worker process; see worker.py for what it can be told."""

    def __init__(self, command: list[str], env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        self._watchdog = threading.Timer(PATIENCE_S, self.process.kill)
        self._watchdog.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._watchdog.cancel()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def heard(self) -> dict[str, Any]:
        """The next line it writes."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            assert self.process.stderr is not None
            raise AssertionError(f"the process ended:\n{self.process.stderr.read().decode()}")
        told: dict[str, Any] = json.loads(line)
        return told

    def at(self, place: str) -> None:
        """Return once it stands at *place*."""
        assert self.heard() == {"at": place}

    def go(self) -> None:
        """Let it go on."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        assert self.process.wait(PATIENCE_S) == -signal.SIGKILL

    def freeze(self) -> None:
        """SIGSTOP, and wait until it stands still."""
        self.process.send_signal(signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(self.process.pid, os.WUNTRACED)[1])

    def thaw(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def ended(self) -> tuple[int, str]:
        """Wait for its end; its exit code and what it complained about."""
        _, complaints = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, complaints.decode()


class Scene:
    """A database, a world outside of every process, and the processes that work on both.

    Attributes:
        url: The ledger's.
        face: ``async`` or ``sync``: how the processes are written.
        lease_s: How soon a dead process is noticed.
    """

    def __init__(self, url: str, directory: Path, face: str = "async") -> None:
        self.url = url
        self.face = face
        self.lease_s = 0.5
        self.renew_every_s = 0.2
        self.directory = directory
        self._world = directory / "world"

    def worker(self, *stops: str, **told: Any) -> Child:
        """Start a process that stops at these places."""
        known = {
            "url": self.url,
            "face": self.face,
            "stops": stops,
            "world": str(self._world),
            "safety": "unsafe",
            "handler": "charge" if told.get("face", self.face) == "sync" else "charge_async",
            "timeout": None,
            "lease": self.lease_s,
            "renew_every": self.renew_every_s,
        }
        return Child([sys.executable, "-W", "error", str(WORKER), json.dumps({**known, **told})])

    @contextmanager
    def ledger(self) -> Iterator[SyncLedger]:
        """What the test itself sees, from its own process."""
        settings = Settings(lease=self.lease_s, renew_every=self.renew_every_s)
        with SyncLedger(self.url, settings=settings, migrate=True) as ledger:
            yield ledger

    @property
    def happened(self) -> list[str]:
        """The idem_key of everything that happened in the world, in order."""
        return self._world.read_text().splitlines() if self._world.exists() else []

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run *statement* on the database."""
        if self.url.startswith("postgres"):
            with psycopg.connect(self.url, autocommit=True) as db:
                cursor = db.execute(statement)
                return cursor.fetchall() if cursor.description else []
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), isolation_level=None)) as db:
            return db.execute(statement).fetchall()
