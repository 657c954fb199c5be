"""One request and what befalls it: done or not, answered or not, and how."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Final

from holdfast.testing.faultscript import NOT_DONE, Fault, FaultKind, FaultScript, Turn
from holdfast.testing.faultserver.books import Books
from holdfast.testing.faultserver.served import Done, Refusal, Service
from holdfast.testing.faultserver.webhooks import Webhooks
from holdfast.testing.faultserver.wire import (
    Answer,
    BrokenOff,
    Gone,
    Payload,
    Request,
    Unreadable,
    Wire,
)

_MOST_DRIPS: Final = 20
_HARMLESS: Final = frozenset({FaultKind.OK, FaultKind.LATENCY, FaultKind.DUPLICATE})


@dataclass(slots=True)
class Exchange:
    """Answers the requests of one connection after another, or does not.

    Attributes:
        script: Says what befalls each request.
        service: Does what is asked for.
        books: Are told of everything before the client is.
        clock: What time it is (aware, UTC).
        go_down: Closes everything for so many seconds.
        refusal: How the service says no.
        stopping: Set once the server stops; ends every wait.
        webhooks: Are told of what was done; ``None`` when nobody wants to know.
    """

    script: FaultScript
    service: Service
    books: Books
    clock: Callable[[], datetime]
    go_down: Callable[[float], None]
    stopping: threading.Event
    refusal: Refusal
    webhooks: Webhooks | None = None
    # The service, and the order of its changes in the books and in the events.
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, wire: Wire) -> None:
        """Answer requests until the connection ends; the caller closes it."""
        try:
            while (request := wire.read()) is not None:
                if not self._one(wire, request):
                    return
        except BrokenOff:
            self.books.broke_off()
        except Unreadable as error:
            with suppress(Gone):
                self._send(wire, None, self.refusal(None, 400, f"cannot read {error}", {}))
        except Gone:
            return  # which is its right: what was done is in the books

    def _one(self, wire: Wire, request: Request) -> bool:
        """Deal with one request; return whether the client may send another one here."""
        turn = self.script.next(request.method, request.path)
        self.books.arrived(turn)
        kind = turn.fault.kind
        if kind is FaultKind.LATENCY:
            self.stopping.wait(turn.fault.seconds)
        if kind in NOT_DONE or self.stopping.is_set():
            if request.changes:
                self.books.enter(request, turn)
            return self._refuse(wire, request, turn.fault)
        done = self._process(request, turn)
        if kind is FaultKind.DUPLICATE:
            self._process(request, turn)
        fault = done.fault if kind in _HARMLESS else turn.fault
        return self._answer(wire, request, fault, done.answer)

    def _process(self, request: Request, turn: Turn) -> Done:
        with self._lock:
            done = self.service.process(request)
            if request.changes:
                self.books.enter(request, turn, made=done.made)
            webhooks = self.webhooks
            if webhooks is not None:
                webhooks.publish(done.events)
        if webhooks is not None:
            webhooks.deliver()  # without the lock: a consumer may ask this server for more
        return done

    def _refuse(self, wire: Wire, request: Request, fault: Fault) -> bool:
        """Let the client know, or not, that nothing was done."""
        match fault.kind:
            case FaultKind.RATE_LIMITED:
                wait = {"Retry-After": str(math.ceil(fault.seconds))}
                return self._send(wire, request, self.refusal(request, 429, "too many requests", wait))
            case FaultKind.RATE_LIMITED_DATE:
                wait = {"Retry-After": self._date_in(fault.seconds)}
                return self._send(wire, request, self.refusal(request, 429, "too many requests", wait))
            case FaultKind.UNAVAILABLE:
                wait = {"Retry-After": str(math.ceil(fault.seconds))} if fault.seconds else {}
                return self._send(wire, request, self.refusal(request, 503, "unavailable", wait))
            case FaultKind.ERROR_BEFORE:
                return self._send(wire, request, self.refusal(request, 500, "something went wrong", {}))
            case FaultKind.HANG_BEFORE:
                wire.outlast(fault.seconds)
            case FaultKind.RESET_BEFORE:
                wire.reset()
            case FaultKind.DOWN:
                self.go_down(fault.seconds)
            case _:
                pass  # dropped, or the server stops: the connection is closed without a word
        return False

    def _answer(self, wire: Wire, request: Request, fault: Fault, answer: Payload) -> bool:
        """Let the client know, or not, what was done."""
        match fault.kind:
            case FaultKind.ERROR_AFTER:
                return self._send(wire, request, self.refusal(request, 500, "something went wrong", {}))
            case FaultKind.HANG_AFTER:
                wire.outlast(fault.seconds)
            case FaultKind.RESET_AFTER:
                wire.reset()
            case FaultKind.HALF:
                head, payload = answer.encode(request, self.clock())
                wire.send(head + payload[: len(payload) // 2])
            case FaultKind.DRIP:
                return self._drip(wire, request, fault.seconds, answer)
            case FaultKind.DROP_AFTER:
                pass
            case _:
                return self._send(wire, request, answer)
        return False

    def _send(self, wire: Wire, request: Request | None, answer: Payload) -> bool:
        wire.send(b"".join(answer.encode(request, self.clock())))
        return request is not None and request.keeps_alive and not answer.ends

    def _drip(self, wire: Wire, request: Request, seconds: float, answer: Payload) -> bool:
        head, payload = answer.encode(request, self.clock())
        wire.send(head)
        size = max(1, math.ceil(len(payload) / _MOST_DRIPS))
        pieces = [payload[at : at + size] for at in range(0, len(payload), size)]
        for piece in pieces:
            if self.stopping.wait(seconds / len(pieces)):
                return False
            wire.send(piece)
        return request.keeps_alive and not answer.ends

    def _date_in(self, seconds: float) -> str:
        at = self.clock() + timedelta(seconds=seconds)
        whole = at.replace(microsecond=0)
        # An HTTP date has no fractions: never earlier than what was meant.
        return format_datetime(whole if whole == at else whole + timedelta(seconds=1), usegmt=True)


def api_error(request: Request | None, status: int, message: str, headers: Mapping[str, str]) -> Answer:
    """Say no as most services do."""
    del request
    return Answer(status=status, body={"error": {"type": "api_error", "message": message}}, headers=headers)
