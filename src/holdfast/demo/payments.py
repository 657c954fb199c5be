"""A payments provider: an HTTP service with a database of its own that really counts its charges.

Run as ``python -m holdfast.demo.payments --database FILE [--honour-keys]``. It listens on a free
loopback port, reports JSON lines on stdout, and ends when its stdin is closed.

* ``POST /charges`` ``{order_id, amount_cents, currency, reference?}`` takes the money: 201 and the charge.
  An ``Idempotency-Key`` header is honoured only under ``--honour-keys``; like many real interfaces, this
  one does not deduplicate otherwise.
* ``GET /charges?reference=R`` finds charges by the reference that their caller gave them.
* ``GET /stats?order_id=O`` counts the charges in the log, of one order or of all.
* ``PUT /faults`` ``{"next": [...]}`` decides what befalls the next charges, one fault each, all of them
  after the commit: ``{"kind": "hold", "seconds": 30}`` answers late (not at all once the caller is gone),
  ``{"kind": "drop"}`` closes the connection without an answer, ``{"kind": "none"}`` is an ordinary charge.
"""

from __future__ import annotations

import argparse
import select
import socket
import sqlite3
import threading
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from holdfast.demo.child import JsonHandler, say, serve

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS charges (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  charge_id TEXT NOT NULL UNIQUE,
  order_id TEXT NOT NULL,
  amount_cents INTEGER NOT NULL CHECK (amount_cents > 0),
  currency TEXT NOT NULL,
  reference TEXT,
  idempotency_key TEXT UNIQUE,
  charged_at TEXT NOT NULL
);
CREATE TRIGGER IF NOT EXISTS money_moved_stays_moved BEFORE UPDATE ON charges
BEGIN SELECT RAISE(ABORT, 'the charge log is append-only'); END;
CREATE TRIGGER IF NOT EXISTS no_charge_is_forgotten BEFORE DELETE ON charges
BEGIN SELECT RAISE(ABORT, 'the charge log is append-only'); END;
"""
_INSERT: Final = """
INSERT INTO charges (charge_id, order_id, amount_cents, currency, reference, idempotency_key, charged_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_BY_REFERENCE: Final = """
SELECT charge_id, order_id, amount_cents, currency, reference FROM charges WHERE reference = ? ORDER BY seq
"""
_BY_KEY: Final = """
SELECT charge_id, order_id, amount_cents, currency, reference FROM charges WHERE idempotency_key = ?
"""
_COUNT: Final = "SELECT count(*) FROM charges WHERE ?1 IS NULL OR order_id = ?1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a caller asks to be charged."""

    order_id: str
    amount_cents: int
    currency: str
    reference: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """Money that moved."""

    charge_id: str
    order_id: str
    amount_cents: int
    currency: str
    reference: str | None
    status: str = "succeeded"


class ChargeLog:
    """The provider's own books: committed charges, never changed, never removed."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        self._lock = threading.Lock()  # the one connection is shared by the request threads

    def append(self, order: Order, idempotency_key: str | None) -> Charge:
        """Charge *order*; durable on return. A known *idempotency_key* returns its first charge."""
        with self._lock:
            known = self._db.execute(_BY_KEY, (idempotency_key,)).fetchone()  # NULL equals no key
            if known is not None:
                return Charge(**_named(known))
            charge = Charge(charge_id=f"ch_{uuid.uuid4().hex[:16]}", **asdict(order))
            amount = (order.order_id, order.amount_cents, order.currency)
            at = datetime.now(UTC).isoformat()
            self._db.execute(_INSERT, (charge.charge_id, *amount, order.reference, idempotency_key, at))
            return charge

    def find(self, reference: str) -> list[Charge]:
        """Return the charges that carry *reference*, oldest first."""
        with self._lock:
            return [Charge(**_named(row)) for row in self._db.execute(_BY_REFERENCE, (reference,))]

    def count(self, order_id: str | None) -> int:
        """Count the charges of one order, or all of them."""
        with self._lock:
            found: int = self._db.execute(_COUNT, (order_id,)).fetchone()[0]
            return found


def _named(row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(("charge_id", "order_id", "amount_cents", "currency", "reference"), row, strict=True))


class FaultKind(StrEnum):
    """What can befall a charge after its commit."""

    NONE = "none"  #: nothing
    HOLD = "hold"  #: its answer is late
    DROP = "drop"  #: its answer is lost


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls one charge.

    Attributes:
        kind: How its answer suffers.
        seconds: How late the answer to a ``hold`` is.
    """

    kind: FaultKind = FaultKind.NONE
    seconds: float = 0.0


class Faults:
    """The queue of what befalls the next charges; empty means that nothing does."""

    def __init__(self) -> None:
        self._next: deque[Fault] = deque()
        self._lock = threading.Lock()  # set by one request thread, taken by another

    def replace(self, faults: Sequence[Fault]) -> None:
        """Forget what was planned and plan *faults*."""
        with self._lock:
            self._next = deque(faults)

    def take(self) -> Fault:
        """Return what befalls the present charge."""
        with self._lock:
            return self._next.popleft() if self._next else Fault()


class PaymentsHandler(JsonHandler):
    """One request to the provider."""

    def __init__(self, log: ChargeLog, faults: Faults, *args: Any, honour_keys: bool, **kwargs: Any) -> None:
        self._log = log
        self._faults = faults
        self._honour_keys = honour_keys
        super().__init__(*args, **kwargs)  # handles the request before it returns

    def do_POST(self) -> None:  # noqa: N802 - the standard library\'s name
        """Take the money, then let the planned fault happen."""
        body = self.read_json()
        order = None if self.path != "/charges" or body is None else _read_order(body)
        if order is None:
            self._refuse(HTTPStatus.BAD_REQUEST, "POST /charges takes order_id, amount_cents and currency")
            return
        key = self.headers.get("Idempotency-Key") if self._honour_keys else None
        charge = self._log.append(order, key)
        fault = self._faults.take()
        say("charged", charge_id=charge.charge_id, order_id=charge.order_id, fault=fault.kind)
        match fault.kind:
            case FaultKind.DROP:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            case FaultKind.HOLD if self._caller_left_within(fault.seconds):
                self.close_connection = True
            case _:
                self.answer(HTTPStatus.CREATED, asdict(charge))

    def do_GET(self) -> None:  # noqa: N802 - the standard library\'s name
        """Look charges up, or count them."""
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/charges" and "reference" in query:
            found = [asdict(charge) for charge in self._log.find(query["reference"])]
            self.answer(HTTPStatus.OK, {"charges": found})
        elif url.path == "/stats":
            self.answer(HTTPStatus.OK, {"charges_created": self._log.count(query.get("order_id"))})
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "try /charges?reference=... or /stats")

    def do_PUT(self) -> None:  # noqa: N802 - the standard library\'s name
        """Plan what befalls the next charges."""
        body = self.read_json()
        faults = None if self.path != "/faults" or body is None else _read_faults(body)
        if faults is None:
            self._refuse(HTTPStatus.BAD_REQUEST, "PUT /faults takes next: a list of {kind, seconds}")
            return
        self._faults.replace(faults)
        self.answer(HTTPStatus.OK, {"planned": len(faults)})

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.answer(status, {"error": why})

    def _caller_left_within(self, seconds: float) -> bool:
        # A caller that waits for its answer sends nothing, so "readable" can only mean "closed".
        readable, _, _ = select.select([self.connection], [], [], seconds)
        return bool(readable)


def _read_order(body: dict[str, Any]) -> Order | None:
    match body:
        case {"order_id": str(order_id), "amount_cents": int(cents), "currency": str(currency)}:
            reference = body.get("reference")
            if cents > 0 and not isinstance(body["amount_cents"], bool) and isinstance(reference, str | None):
                return Order(order_id=order_id, amount_cents=cents, currency=currency, reference=reference)
            return None
        case _:
            return None


def _read_faults(body: dict[str, Any]) -> list[Fault] | None:
    match body:
        case {"next": [*planned]}:
            faults = [_read_fault(fault) for fault in planned]
            known = [fault for fault in faults if fault is not None]
            return known if len(known) == len(faults) else None
        case _:
            return None


def _read_fault(planned: object) -> Fault | None:
    match planned:
        case {"kind": "none"}:
            return Fault()
        case {"kind": "drop"}:
            return Fault(FaultKind.DROP)
        case {"kind": "hold", "seconds": int(seconds) | float(seconds)}:
            return Fault(FaultKind.HOLD, seconds)
        case _:
            return None


def main() -> None:
    """Serve until the parent is gone."""
    parser = argparse.ArgumentParser(prog="python -m holdfast.demo.payments")
    parser.add_argument("--database", required=True, help="the provider's own SQLite file")
    parser.add_argument(
        "--honour-keys", action="store_true", help="deduplicate by the Idempotency-Key header"
    )
    options = parser.parse_args()
    handler = partial(PaymentsHandler, ChargeLog(options.database), Faults(), honour_keys=options.honour_keys)
    serve(ThreadingHTTPServer(("127.0.0.1", 0), handler))


if __name__ == "__main__":
    main()
