"""A worker whose tool meets trouble: fails and dies on the way, or knocks at an open circuit with many threads.

python retry_worker.py URL FILE fail DIE_AT       # 503 at each attempt; killed in attempt DIE_AT (0: never)
python retry_worker.py URL FILE knock FIRST COUNT  # COUNT threads call at once, each for an order of its own
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, Final

import httpx

from holdfast import Dependency, RetryPolicy, Settings, SyncLedger, ToolCall
from holdfast.errors import CircuitOpen, EffectFailed, OutcomeUnknown

SETTINGS: Final = Settings(lease=0.5, renew_every=0.1, reconcile_skew=1e-6)
POLICY: Final = RetryPolicy(initial_interval=0.01, maximum_interval=0.01, maximum_attempts=5)
PATIENT: Final = Settings(lease=60, renew_every=10, store_patience=60)
STRIPE: Final = Dependency("stripe", minimum_calls=2, open_for=0.2)
_lock = threading.Lock()  # one line at a time


def say(**told: Any) -> None:
    with _lock:
        sys.stdout.write(f"{json.dumps(told)}\n")
        sys.stdout.flush()


def happened(path: str) -> int:
    """Leave a trace that no crash can hide; return how many there are."""
    with Path(path).open("ab", buffering=0) as log:
        log.write(b"x\n")
    return len(Path(path).read_bytes().splitlines())


def unavailable() -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "http://pay.test/")
    return httpx.HTTPStatusError("503", request=request, response=httpx.Response(503))


def fail(ledger: SyncLedger, path: str, die_at: int) -> None:
    def handler() -> None:
        if happened(path) == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        raise unavailable()

    call = ToolCall(workflow_id="order-1", tool="charge", args={})
    try:
        ledger.run(call, handler, safety="idempotent", retry=POLICY, dependency=False)
    except (httpx.HTTPStatusError, OutcomeUnknown, EffectFailed) as error:
        say(error=type(error).__name__)


def knock(ledger: SyncLedger, path: str, first: int, count: int) -> None:
    goes_on = threading.Event()
    start = threading.Barrier(count + 1)

    def handler() -> str:
        happened(path)
        say(end="probing")
        goes_on.wait(60)
        return "ok"

    def one(n: int) -> None:
        call = ToolCall(workflow_id=f"order-{n}", tool="charge", args={})
        start.wait()
        try:
            say(end=ledger.run(call, handler, safety="idempotent", retry=False, dependency=STRIPE))
        except CircuitOpen:
            say(end="refused")
        except Exception as error:  # noqa: BLE001 - whoever listens must not wait for a thread that died
            say(end=f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=one, args=(n,)) for n in range(first, first + count)]
    for thread in threads:
        thread.start()
    say(end="ready")
    sys.stdin.readline()
    start.wait()
    sys.stdin.readline()
    goes_on.set()
    for thread in threads:
        thread.join()


def main(url: str, path: str, what: str, *numbers: str) -> None:
    with SyncLedger(url, settings=PATIENT if what == "knock" else SETTINGS, migrate=True) as ledger:
        {"fail": fail, "knock": knock}[what](ledger, path, *map(int, numbers))


if __name__ == "__main__":
    main(*sys.argv[1:])
