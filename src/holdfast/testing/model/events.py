"""Server-sent events: how they are written, and what can be wrong with a stream of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from holdfast.testing.faultserver.wire import Request, head
from holdfast.testing.model.turns import Streaming

_LAST_CHUNK: Final = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream.

    Attributes:
        data: JSON, or text as it is.
        name: Its name; empty for none.
        delta: Whether it carries a piece of text, and nothing that must not come twice.
    """

    data: dict[str, Any] | str
    name: str = ""
    delta: bool = False

    def encode(self) -> bytes:
        """Return it as it goes over the wire."""
        data = self.data if isinstance(self.data, str) else json.dumps(self.data, ensure_ascii=False)
        name = f"event: {self.name}\n" if self.name else ""
        # What no UTF-8 has, half of a surrogate pair, becomes the escape that JSON has for it.
        return f"{name}data: {data}\n\n".encode(errors="backslashreplace")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStream:
    """An answer that is a stream of events.

    Attributes:
        pieces: The events, encoded.
        headers: Besides those that every stream has.
        ends: Whether the connection breaks after the last of them.
        chunk_bytes: How long an HTTP chunk is; 0 for one piece in each.
    """

    pieces: tuple[bytes, ...]
    headers: dict[str, str] = field(default_factory=dict[str, str])
    ends: bool = False
    chunk_bytes: int = 0

    def encode(self, request: Request | None, now: datetime) -> tuple[bytes, bytes]:
        """Return head and body as they go over the wire."""
        lines = {
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-cache",
            "Transfer-Encoding": "chunked",
            **self.headers,
        }
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in self._chunks())
        return head(200, request, now, lines), chunks if self.ends else chunks + _LAST_CHUNK

    def _chunks(self) -> Sequence[bytes]:
        if not self.chunk_bytes:
            return self.pieces
        whole, size = b"".join(self.pieces), self.chunk_bytes
        return [whole[at : at + size] for at in range(0, len(whole), size)]


def shaped(
    events: Sequence[Event], how: Streaming, odd: Sequence[Event], failure: Sequence[Event]
) -> list[bytes]:
    """Return *events* as bytes, with what is to be wrong with them.

    Args:
        events: What belongs into the stream.
        how: What happens to it.
        odd: Events that say nothing, one for each place where one may come.
        failure: What it ends in when it ends early.
    """
    pieces = list(_pieces(events, how, odd))
    if how.ends_after is None:
        return pieces
    return pieces[: how.ends_after] + [event.encode() for event in failure]


def _pieces(events: Sequence[Event], how: Streaming, odd: Sequence[Event]) -> Iterator[bytes]:
    for n, event in enumerate(events):
        yield event.encode()
        if how.repeats and event.delta:
            yield event.encode()
        if how.odd and n < len(events) - 1:
            yield b": nothing to say\n\n"
            yield from (one.encode() for one in odd if n >= 1)


def cut(text: str, size: int) -> list[str]:
    """Return *text* in pieces of *size* characters."""
    return [text[at : at + size] for at in range(0, len(text), max(size, 1))]
