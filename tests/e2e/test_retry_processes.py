"""Retries and circuits across real processes: killed in the middle of a budget, twenty callers at one half-open circuit."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from e2e.retry_worker import SETTINGS, STRIPE, unavailable
from holdfast import State, SyncLedger, ToolCall

WORKER: Final = Path(__file__).parent / "retry_worker.py"
PATIENCE_S: Final = 60


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A ledger that processes share."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/ledger.db"


def start(url: str, log: Path, *told: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(WORKER), url, str(log), *map(str, told)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, list[Any]]:
    out, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode <= 0, errors
    return process.returncode, [json.loads(line) for line in out.splitlines()]


def test_attempts_are_capped_across_a_sigkill(url: str, tmp_path: Path) -> None:
    """RET-11: five in all: two in a process that is killed in the second, three in the next, none in a third."""
    log = tmp_path / "log"

    killed, _ = ended(start(url, log, "fail", 2))
    after_the_kill = len(log.read_bytes().splitlines())
    ended(start(url, log, "fail", 0))
    in_the_second = len(log.read_bytes().splitlines()) - after_the_kill
    _, third = ended(start(url, log, "fail", 0))

    assert killed == -9
    assert (after_the_kill, in_the_second) == (2, 3)
    assert len(log.read_bytes().splitlines()) == 5
    assert third == [{"error": "OutcomeUnknown"}]  # attempts may have acted, so only evidence moves it now
    with SyncLedger(url) as ledger:
        [effect] = ledger.effects()
        assert (effect.attempt, effect.spent, effect.state) == (5, True, State.UNKNOWN)
        assert ledger.verify().ok


def test_a_half_open_circuit_admits_one_of_twenty_callers_of_two_processes(url: str, tmp_path: Path) -> None:
    """RET-16: ten threads in each; while the one probe is under way, all others are refused."""
    log = tmp_path / "log"
    open_circuit(url)
    with ExitStack() as ending:
        workers = [start(url, log, "knock", first, 10) for first in (100, 200)]
        for worker in workers:
            ending.callback(worker.kill)
        watchdog = threading.Timer(PATIENCE_S, lambda: [worker.kill() for worker in workers])
        ending.callback(watchdog.cancel)
        watchdog.start()
        for worker in workers:
            assert heard(worker) == "ready"
        probe_is_due(url)
        for worker in workers:
            go(worker)
        met: list[str] = []
        for worker in workers:  # the prober says so, and nothing more until it is let go
            met += [heard(worker) for _ in range(10)]
        for worker in workers:
            go(worker)
        ends = [end["end"] for worker in workers for end in ended(worker)[1]]

    assert sorted(met) == ["probing", *["refused"] * 19]
    assert ends == ["ok"]
    assert len(log.read_bytes().splitlines()) == 1
    with SyncLedger(url) as ledger:
        [dependency] = ledger.dependencies()
        assert dependency.state == "closed"


def open_circuit(url: str) -> None:
    def fails() -> None:
        raise unavailable()

    with SyncLedger(url, settings=SETTINGS, migrate=True) as ledger:
        for n in range(2):
            call = ToolCall(workflow_id=f"order-{n}", tool="charge", args={})
            with pytest.raises(type(unavailable())):
                ledger.run(call, fails, safety="idempotent", retry=False, dependency=STRIPE)
        assert [each.state for each in ledger.dependencies()] == ["open"]


def probe_is_due(url: str) -> None:
    """Wait until the circuit may be tried: by the ledger's own word, on the machine's own clock."""
    with SyncLedger(url) as ledger:
        [dependency] = ledger.dependencies()
        assert dependency.retry_at is not None
        left = (dependency.retry_at - ledger._engine.parts.runtime.now()).total_seconds()
    threading.Event().wait(max(left, 0) + 0.05)


def heard(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return str(json.loads(worker.stdout.readline())["end"])


def go(worker: subprocess.Popen[str]) -> None:
    assert worker.stdin is not None
    worker.stdin.write("\n")
    worker.stdin.flush()
