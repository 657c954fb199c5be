"""One invoice, three workers, answers that get lost: how often is the account charged?"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from holdfast import Effect, Settings, SyncLedger, ToolCall
from holdfast.demo.incidents.figures import Incident, Played, Run
from holdfast.demo.incidents.service import Service
from holdfast.errors import HoldfastError
from holdfast.testing.faultserver import FaultServer

_WORKERS: Final = 3
_ATTEMPTS: Final = 3
_CENTS: Final = 500
_MICROS: Final = _CENTS * 10_000
_AT_ONCE: Final = Settings(reconcile_skew=0.001)
_CALL: Final = ToolCall(workflow_id="invoice-7", tool="deduct", args={"account": "acct-1", "cents": _CENTS})


def _run(server: FaultServer, ended: str) -> Run:
    made = len(server.commits())
    return Run(requests=0, tokens=0, acts=made, micros=made * _MICROS, ended=ended)


def _without() -> Run:
    with FaultServer(deduplicates=False) as server, ThreadPoolExecutor(_WORKERS) as workers:
        service = Service(server.url)
        server.plan(*["drop_after"] * (_WORKERS * _ATTEMPTS), method="POST")

        def work(_: int) -> None:
            for _attempt in range(_ATTEMPTS):
                with suppress(ConnectionError):
                    service.pay(_CENTS, "invoice-7")
                    return

        list(workers.map(work, range(_WORKERS)))
        return _run(server, f"{_WORKERS} workers gave up after {_ATTEMPTS} attempts each")


def _guarded(home: Path) -> Run:
    url = f"sqlite:///{home}/deductions.db"
    with FaultServer(deduplicates=False) as server, ThreadPoolExecutor(_WORKERS) as workers:
        service = Service(server.url)
        server.plan(*["drop_after"] * (_WORKERS * _ATTEMPTS), method="POST")

        def deduct(account: str, cents: int, effect: Effect) -> dict[str, Any]:
            return service.pay(cents, account, key=effect.idem_key)

        def work(_: int) -> str:
            with SyncLedger(url, settings=_AT_ONCE) as ledger:  # each as a process of its own would
                for _attempt in range(_ATTEMPTS):
                    with suppress(HoldfastError, ConnectionError):
                        return str(ledger.run(_CALL, deduct, reconcile=service.find)["id"])
            return ""

        SyncLedger(url).close()
        answers = list(workers.map(work, range(_WORKERS)))
        is_one = len(set(answers)) == 1 and all(answers)
        return _run(
            server, f"all {_WORKERS} workers have the same receipt" if is_one else f"receipts: {answers}"
        )


def play(home: Path) -> Played:
    """Play it."""
    without, guarded = _without(), _guarded(home)
    wrong = without.acts - 1
    at_scale = (
        f"{wrong} of {without.acts} deductions are wrong, and nobody knows of them: every answer was lost."
    )
    return Played(without=without, guarded=guarded, at_scale=at_scale)


DEDUCTIONS: Final = Incident(
    name="deductions",
    title="Duplicate deductions",
    reported="July 2025: accounts of an API were charged twice in its ledger, and its users got 429s.",
    story=(
        "An invoice of $5.00 is delivered to three workers at once. The service books it, and every answer is lost. "
        "Each worker tries three times."
    ),
    acts="deductions",
    stops="The invoice is one effect, whoever works on it; the lost answer is looked up.",
    play=play,
    asks_models=False,
)
