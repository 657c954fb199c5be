"""Reads the server-sent events of a model's answer while they come: what is passed on, and when it is over.

See https://html.spec.whatwg.org/multipage/server-sent-events.html for their form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from holdfast._core.usage_wire import WireFormat
from holdfast._core.value import value
from holdfast._core.wire import Object, is_object, object_of

_DONE: Final = "[DONE]"
_LAST: Final[Mapping[WireFormat, frozenset[str]]] = {
    "chat": frozenset(),
    "responses": frozenset({"response.completed", "response.incomplete", "response.failed"}),
    "messages": frozenset({"message_stop"}),
}
_END: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINES: Final = re.compile(r"\r\n|\n|\r")
_STATUSES: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_SERVER_ERROR: Final = 500
_ERRORS: Final = range(400, 600)


@value
class Failing:
    """An error that is told inside of a stream, whose own status was 200.

    Attributes:
        status: The one that it stands for.
        text: What was told, as the body of an answer with that status.
    """

    status: int
    text: str


class Reader:
    """Reads one stream. The end of it is kept back: it is passed on when the answer is on record.

    So whoever has seen the end of a stream finds it on record, and hears by the stream when it is not.

    Args:
        wire: The format of the events.
        hides_usage: The event with nothing but usage was not asked for by whoever reads the stream.

    Attributes:
        is_complete: The event that ends an answer has come.
        failing: The error that was told inside of the stream.
        is_begun: Something of an answer came before that.
    """

    def __init__(self, wire: WireFormat, *, hides_usage: bool = False) -> None:
        self._wire: WireFormat = wire
        self._hides_usage = hides_usage
        self._all = bytearray()
        self._begun = b""
        self._kept = bytearray()
        self.is_complete = self.is_begun = False
        self.failing: Failing | None = None

    @property
    def text(self) -> str:
        """All that has come, whether passed on or not."""
        return self._all.decode("utf-8", "replace")

    def feed(self, chunk: bytes) -> bytes:
        """Take what has come, and return what may be passed on of it: whole events."""
        self._all += chunk
        passed = bytearray()
        *events, self._begun = _split(self._begun + chunk)
        for event in events:
            shown = self._shown(event)
            if self.is_complete:
                self._kept += shown
            else:
                passed += shown
        return bytes(passed)

    def rest(self) -> bytes:
        """Return what was kept back, and what came after the last whole event."""
        rest = bytes(self._kept) + self._begun
        self._kept.clear()
        self._begun = b""
        return rest

    def _shown(self, event: bytes) -> bytes:
        data = _data(event)
        if data == _DONE:
            self.is_complete = True
            return event
        told = _parsed(data)
        if told is None:
            return event
        self.is_complete = self.is_complete or told.get("type") in _LAST[self._wire]
        self.failing = self.failing or _failing(self._wire, told)
        self.is_begun = self.is_begun or (self.failing is None and told.get("type") != "ping")
        is_usage_only = told.get("choices") == [] and is_object(told.get("usage"))
        self.is_complete = self.is_complete or is_usage_only
        return b"" if self._hides_usage and is_usage_only else event


def shown(wire: WireFormat, text: str, *, hides_usage: bool) -> bytes:
    """Return the events of a whole answer as whoever asked wants to see them."""
    reader = Reader(wire, hides_usage=hides_usage)
    return reader.feed(text.encode("utf-8", "surrogatepass")) + reader.rest()


def _split(data: bytes) -> Iterator[bytes]:
    """Yield each event with the empty line that ends it, then what was begun."""
    at = 0
    for end in _END.finditer(data):
        if end.group() == b"\r\r" and end.end() == len(data):
            break  # the next byte may be a line feed that belongs to it
        yield data[at : end.end()]
        at = end.end()
    yield data[at:]


def _data(event: bytes) -> str:
    lines = _LINES.split(event.decode("utf-8", "replace"))
    return "\n".join(line[5:].removeprefix(" ") for line in lines if line.startswith("data:"))


def _parsed(data: str) -> Object | None:
    try:
        told: Any = json.loads(data) if data else None
    except (ValueError, RecursionError):
        return None
    return told if is_object(told) else None


def _failing(wire: WireFormat, told: Object) -> Failing | None:
    """Return the error that an event tells; a response that failed is an answer, with its use."""
    if wire == "chat":
        error = told.get("error")
        return None if not error else Failing(status=_status(object_of(error)), text=json.dumps(dict(told)))
    if told.get("type") != "error":
        return None
    error = object_of(told.get("error")) or told
    text = json.dumps(dict(told) if "error" in told else {"error": dict(told)})
    return Failing(status=_status(error), text=text)


def _status(error: Object) -> int:
    """Return the status that an error stands for: by its number, its code or its type."""
    for name in ("code", "status", "type"):
        named: Any = error.get(name)
        if isinstance(named, int) and named in _ERRORS:
            return named
        if isinstance(named, str) and named in _STATUSES:
            return _STATUSES[named]
    return _SERVER_ERROR
