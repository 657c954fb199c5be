"""The world around the workers: the providers, whoever takes their webhooks, and the database."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any

sys.path.insert(
    0, str(Path(__file__).resolve().parents[2] / "tests")
)  # for its PostgreSQL, which may be killed

from holdfast import Done, StillUnknown, SyncLedger
from holdfast.errors import StoreError
from holdfast.testing.faultserver import LogEntry, read_log
from pg_server import PostgresServer

FAULTS = (
    "latency=0.08:0.1,drip=0.02:0.2,drop=0.08,reset=0.06,hang=0.02,half=0.03,500=0.06,503=0.02*3,"
    "429=0.03:1,429_date=0.01:1,down=0.002:0.5"
)
"""Of requests, some 40 in 100 meet one: about half of them before anything was done, half of them after."""
DUPLICATES = "duplicate=0.04"
"""Only where the provider knows its keys: against its own network nobody can defend one that does not."""
FATES = "late=0.1,twice=0.1,after_next=0.1,lost=0.1"
_PATIENCE_S = 30.0


class Provider:
    """A payments service in a process of its own, whose network breaks; its log is the truth."""

    def __init__(self, directory: Path, name: str, *, seed: int, knows_keys: bool, hook: str) -> None:
        self._log = directory / f"{name}.log"
        self._log.touch()
        faults = f"{FAULTS},{DUPLICATES}" if knows_keys else FAULTS
        command = [
            sys.executable,
            "-m",
            "holdfast.testing.faultserver",
            "--log",
            self._log,
            "--seed",
            str(seed),
        ]
        command += ["--faults", faults, "--webhooks", hook, "--fates", FATES]
        command += [] if knows_keys else ["--ignore-keys"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"{self._process.stdout.readline().strip()}/v1/charges"

    @property
    def charged(self) -> tuple[LogEntry, ...]:
        """What it really did, oldest first."""
        return read_log(self._log)

    def stop(self) -> dict[str, Any]:
        """Let it deliver its late webhooks and end; return its counts."""
        self._process.send_signal(signal.SIGTERM)
        last, _ = self._process.communicate(timeout=_PATIENCE_S)
        told: dict[str, Any] = json.loads(last.splitlines()[-1])
        return told

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


class Letterbox:
    """Takes webhooks at once and hands them to the ledger one by one, again while the database is away.

    Attributes:
        counts: How many were new and how many were not; and whom they found.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._letters: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._reader: threading.Thread | None = None
        letters = self._letters

        class Slot(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                letters.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Slot)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def read_to(self, ledger: SyncLedger) -> None:
        """Begin to hand the letters to *ledger*."""
        self._reader = threading.Thread(target=self._read, args=(ledger,))
        self._reader.start()

    def _read(self, ledger: SyncLedger) -> None:
        while (event := self._letters.get()) is not None:
            told = event["data"]
            outcome = Done(told) if event["type"] == "charge.succeeded" else StillUnknown(told["status"])
            while True:
                try:
                    seen = ledger.observe(
                        told["idempotency_key"], outcome, evidence=event, signal_id=event["id"]
                    )
                except StoreError:
                    self.counts["again, because the database was away"] += 1
                    if self._stopping.wait(0.1):
                        return
                else:
                    break
            self.counts["new" if seen.is_new else "not new"] += 1
            self.counts["about nobody"] += seen.effect is None

    def close(self, *, read_all: bool) -> None:
        """Take no more; *read_all* hands over what has come."""
        self._server.shutdown()
        self._server.server_close()
        if not read_all:
            self._stopping.set()
        self._letters.put(None)
        if self._reader is not None:
            self._reader.join()


class Database:
    """Where the ledger lives; a PostgreSQL server can be crashed."""

    def __init__(self, url: str, server: PostgresServer | None) -> None:
        self.url = url
        self.crashes = 0
        self._server = server
        self._crashing: threading.Thread | None = None

    def crash(self) -> None:
        """Stop it as a power cut does and start it again, meanwhile; it recovers from its log."""
        if self._server is None:
            return
        self.wait()
        self.crashes += 1
        self._crashing = threading.Thread(target=self._crash, args=(self._server,))
        self._crashing.start()

    def wait(self) -> None:
        """Return once it is there again."""
        if self._crashing is not None:
            self._crashing.join()

    @staticmethod
    def _crash(server: PostgresServer) -> None:
        server.stop_immediate()
        server.start()


@contextmanager
def database(kind: str, directory: Path) -> Iterator[Database]:
    """Provide an empty database of this kind."""
    if kind == "sqlite":
        yield Database(f"sqlite:///{directory / 'ledger.db'}", None)
        return
    with PostgresServer() as server:
        found = Database(server.url, server)
        try:
            yield found
        finally:
            found.wait()


@contextmanager
def scratch() -> Iterator[Path]:
    """Provide a directory that goes away."""
    with tempfile.TemporaryDirectory(prefix="holdfast-chaos-") as directory:
        yield Path(directory)
