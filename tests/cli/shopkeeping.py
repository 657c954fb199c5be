"""Effects in every state, as a shop's agent leaves them behind."""

from __future__ import annotations

import contextvars
import os
import pty
import re
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from holdfast import Dependency, Fault, FaultKind, NotDone, RetryPolicy, SyncLedger, ToolCall
from holdfast._core.fault import Cause
from holdfast._runtime.drive import run_sync
from holdfast.errors import ApprovalRequired
from holdfast.stores.sqlite.store import SqliteStore
from promises.ledgers import vanish

CHARGE = {"amount": 100, "currency": "usd"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """Keys of one effect in each state that the shop got into."""

    paid: str
    doubtful: str
    declined: str
    waiting: str


def charge(workflow_id: str, **args: Any) -> ToolCall:
    return ToolCall(workflow_id=workflow_id, tool="stripe.charge", args=CHARGE | args)


def doubtful(ledger: SyncLedger, call: ToolCall, **options: Any) -> str:
    """Leave *call* in doubt: the connection breaks while its handler runs."""

    def breaks(**_: Any) -> None:
        raise ConnectionError("reset by peer")

    with pytest.raises(ConnectionError):
        ledger.run(call, breaks, **options)
    return ledger.effects(workflow_id=call.workflow_id)[0].key


def orphaned(path: Path, call: ToolCall) -> str:
    """Leave *call* claimed by a worker that died an hour ago."""
    store = SqliteStore(str(path), blocking=True, clock=lambda: datetime.now(UTC) - timedelta(hours=1))
    ledger = SyncLedger(store)
    # What a dead process was in the middle of, nobody else is in the middle of: hence a context of its own.
    claim = contextvars.copy_context().run(ledger.begin(call).__enter__)
    run_sync(vanish(ledger))
    return claim.key


def raising(error: Exception) -> Any:
    """A handler that does nothing but raise *error*; it counts how often in ``calls``."""

    def handler(**_: Any) -> None:
        handler.calls += 1  # type: ignore[attr-defined]
        raise error

    handler.calls = 0  # type: ignore[attr-defined]
    return handler


PATIENT = RetryPolicy(initial_interval="1ms", maximum_attempts=3)
BUSY = Fault(kind=FaultKind.TRANSIENT, cause=Cause.SERVER, status=503, may_have_acted=False, why="503")
THROTTLED = Fault(
    kind=FaultKind.RATE_LIMITED,
    cause=Cause.THROTTLE,
    status=429,
    retry_after_s=3600,
    may_have_acted=False,
    why="429",
)
REFUSED = Fault(kind=FaultKind.AUTH, cause=Cause.AUTH, status=401, may_have_acted=False, why="401")


def spent(ledger: SyncLedger, workflow_id: str) -> str:
    """Leave a charge with its three attempts used up: the provider was busy each time."""
    with pytest.raises(RuntimeError):
        ledger.run(charge(workflow_id), raising(RuntimeError("busy")), retry=PATIENT, classify=lambda _: BUSY)
    return ledger.effects(workflow_id=workflow_id)[0].key


def stopped(ledger: SyncLedger, workflow_id: str) -> str:
    """Leave a workflow stopped: its credentials were refused."""
    with pytest.raises(PermissionError):
        ledger.run(charge(workflow_id), raising(PermissionError("no such key")), classify=lambda _: REFUSED)
    return ledger.effects(workflow_id=workflow_id)[0].key


def broken(ledger: SyncLedger, name: str, **options: Any) -> None:
    """Leave the circuit of *name* open: its one call had no answer."""
    doubtful(ledger, charge(f"order-of-{name}"), dependency=Dependency(name, minimum_calls=1, **options))


def fill(ledger: SyncLedger) -> Shop:
    """Give a ledger four effects: paid, in doubt, declined, waiting for approval."""

    def declines(**_: Any) -> None:
        raise NotDone("card declined")

    paid = ledger.call(
        charge("order-123"),
        lambda **_: {"id": "ch_1", "client_secret": "cs_9"},
        intent="charge_card",
        external_id="id",
    )
    doubt = doubtful(ledger, charge("order-124"), intent="charge_card")
    with pytest.raises(NotDone):
        ledger.run(charge("order-125"), declines)
    refund = ToolCall(workflow_id="order-126", tool="stripe.refund", args={"password": "hunter2"})
    with pytest.raises(ApprovalRequired) as asked:
        ledger.run(refund, declines, requires_approval=True)
    declined = ledger.effects(workflow_id="order-125")[0].key
    return Shop(paid=paid.key, doubtful=doubt, declined=declined, waiting=asked.value.key)


def alter(path: Path, statement: str) -> None:
    """Do to a ledger's file what no ledger would do."""
    db = sqlite3.connect(path)
    db.execute(statement)
    db.commit()
    db.close()


def on_terminal(words: Sequence[str], *, code: int = 0) -> str:
    """Run holdfast on a pseudo-terminal and return what it showed."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "COLUMNS": "250", "LINES": "50", "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "holdfast", *words]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environ
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            shown += piece
    os.close(ours)
    assert process.returncode == code, shown
    return shown.decode()


def uncoloured(shown: str) -> str:
    """What is left without our own colours and line ends."""
    return re.sub(r"\x1b\[[0-9;]*m", "", shown).replace("\r\n", "")
