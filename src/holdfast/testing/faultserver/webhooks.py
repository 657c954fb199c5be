"""Delivers events to whoever wants to know: in order or not, once or twice, now, late or never."""

from __future__ import annotations

import inspect
import ipaddress
import json
import random
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from http.client import HTTPConnection, HTTPException
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from holdfast.errors import InvalidCall
from holdfast.testing.faultserver.served import Event

Target: TypeAlias = "str | Callable[[dict[str, Any]], object]"

_PATIENCE_S: Final = 5.0
_CHANCE: Final = re.compile(r"(\w+)=(\d+(?:\.\d+)?)")
_ROUNDING: Final = 1e-9


class Fate(StrEnum):
    """What becomes of one event."""

    NOW = "now"  #: delivered before the client is answered
    TWICE = "twice"  #: delivered two times, one after the other
    AFTER_NEXT = "after_next"  #: delivered after the next event, out of order
    LATE = "late"  #: held until ``deliver_webhooks()``
    LOST = "lost"  #: never delivered


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One attempt to deliver one event.

    Attributes:
        event: What was delivered.
        problem: Empty when it arrived; else the status of the answer, or the error's type.
    """

    event: Mapping[str, Any]
    problem: str


class Webhooks:
    """Delivers events; may be used by several threads, and delivers one at a time, in one order.

    Args:
        target: A loopback URL that events are posted to, or a function that is called with each.
        fates: What becomes of the first events, one after another.
        chances: What may become of all others, e.g. ``late=0.2,twice=0.1``; the rest are delivered now.
        seed: Another seed draws others.

    Raises:
        InvalidCall: The target cannot be told, there is no such fate, or the chances are more than 1.
    """

    def __init__(self, target: Target, fates: Iterable[Fate | str], chances: str, seed: int) -> None:
        self._deliver = _poster(target) if isinstance(target, str) else _caller(target)
        self._fates = deque(map(_fate, fates))
        self._chances = _chances(chances)
        self._seed = seed
        self._count = 0
        self._queue: deque[Event] = deque()  # on their way
        self._held: list[tuple[Fate, Event]] = []  # in the order of events
        self._deliveries: list[Delivery] = []
        self._courier: int | None = None  # the thread that is delivering
        self._changed = threading.Condition()  # everything above

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """All deliveries so far, in their order."""
        with self._changed:
            return tuple(self._deliveries)

    def publish(self, events: Iterable[Event]) -> None:
        """Take *events* in; queue what is to be delivered now. Call it in the order of commits."""
        with self._changed:
            for event in events:
                match self._fate():
                    case Fate.LOST:
                        pass
                    case Fate.LATE | Fate.AFTER_NEXT as fate:
                        self._held.append((fate, event))
                    case Fate.NOW | Fate.TWICE as fate:
                        self._queue.extend([event] * (2 if fate is Fate.TWICE else 1))
                        self._release(Fate.AFTER_NEXT)

    def deliver(self) -> None:
        """Deliver what is queued. If another thread is at it, that one delivers it."""
        with self._changed:
            if self._courier is not None:
                return
            self._courier = threading.get_ident()
        try:
            while (event := self._next()) is not None:
                problem = self._deliver(event.as_json())
                with self._changed:
                    self._deliveries.append(Delivery(event=event.as_json(), problem=problem))
        except BaseException:
            self._rest()  # whoever waits for the courier must not wait for a dead one
            raise

    def flush(self) -> tuple[Delivery, ...]:
        """Deliver what was held, in the order of the events; return once all is delivered.

        Called by the target itself, it returns at once and the delivery follows.
        """
        with self._changed:
            before = len(self._deliveries)
            self._release(*Fate)
        self.deliver()
        with self._changed:
            if self._courier != threading.get_ident():
                self._changed.wait_for(lambda: self._courier is None)
            return tuple(self._deliveries[before:])

    def _next(self) -> Event | None:
        with self._changed:
            if self._queue:
                return self._queue.popleft()
            self._rest()
            return None

    def _rest(self) -> None:
        with self._changed:  # reentrant
            self._courier = None
            self._changed.notify_all()

    def _release(self, *fates: Fate) -> None:
        self._queue.extend(event for fate, event in self._held if fate in fates)
        self._held = [(fate, event) for fate, event in self._held if fate not in fates]

    def _fate(self) -> Fate:
        self._count += 1
        if self._fates:
            return self._fates.popleft()
        left = random.Random(f"{self._seed}/webhook/{self._count}").random()  # noqa: S311 - no secret
        for fate, chance in self._chances.items():
            left -= chance
            if left < 0:
                return fate
        return Fate.NOW


def _fate(text: str) -> Fate:
    if text not in frozenset(Fate):
        raise InvalidCall(f"{text!r} is no fate of an event", f"use one of {', '.join(Fate)}")
    return Fate(text)


def _chances(text: str) -> Mapping[Fate, float]:
    chances: dict[Fate, float] = {}
    for term in filter(None, (part.strip() for part in text.split(","))):
        found = _CHANCE.fullmatch(term)
        if found is None:
            raise InvalidCall(f"{term!r} is no chance of a fate", "write name=probability")
        chances[_fate(found[1])] = float(found[2])
    if sum(chances.values()) > 1 + _ROUNDING:
        raise InvalidCall("the chances of webhooks are more than 1 together", "make them 1 or less")
    return chances


def _caller(target: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], str]:
    if not callable(target) or inspect.iscoroutinefunction(target):
        what = f"webhooks go to {type(target).__name__} {getattr(target, '__name__', '')!r}"
        raise InvalidCall(what, "give a plain function, or the URL of a server in your event loop")

    def call(event: dict[str, Any]) -> str:
        try:
            target(event)
        except Exception as error:  # noqa: BLE001 - what a consumer raises is its answer; it is kept
            return type(error).__name__
        return ""

    return call


def _poster(target: str) -> Callable[[dict[str, Any]], str]:
    url = urlsplit(target)
    if url.scheme != "http" or not _is_loopback(url.hostname or ""):
        raise InvalidCall("webhooks go to a URL elsewhere", "give one like http://127.0.0.1:8000/webhooks")
    path = f"{url.path or '/'}{f'?{url.query}' if url.query else ''}"

    def post(event: dict[str, Any]) -> str:
        body, headers = json.dumps(event), {"Content-Type": "application/json"}
        try:
            with closing(HTTPConnection(url.hostname or "", url.port, timeout=_PATIENCE_S)) as connection:
                connection.request("POST", path, body, headers)
                status = connection.getresponse().status
        except (OSError, HTTPException) as error:
            return type(error).__name__
        return "" if 200 <= status < 300 else str(status)

    return post


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
