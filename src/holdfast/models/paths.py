"""Which of a client's requests are model calls, which are free, and which are neither."""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

from holdfast._core.usage_wire import WireFormat

Others: TypeAlias = Literal["refuse", "allow"]
"""What becomes of requests that may cost and that no ledger can read."""

_ENDS: Final[tuple[tuple[str, WireFormat], ...]] = (
    ("/chat/completions", "chat"),
    ("/responses", "responses"),
    ("/messages", "messages"),
)
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_THREADS: Final = re.compile(r"/threads/[^/]+/messages$")
"""OpenAI's Assistants keep messages there: that is no model call, whatever its name."""
_FREE: Final = re.compile(r"(/[\w.~-]+)*(/messages/count_tokens|/responses/input_tokens|/moderations)")
"""Sent by POST, and paid by nobody; of plain letters, for a server may read another path in others."""
_UP: Final = re.compile(r"/\.+(/|$)")


def wire_of(method: str, path: str) -> WireFormat | None:
    """Return the format of a model call; ``None`` for what is none.

    How *path* begins says nothing: gateways and clouds put the providers' paths below their own.
    """
    path = path.rstrip("/")
    if method != "POST" or _THREADS.search(path):
        return None
    return next((wire for end, wire in _ENDS if path.endswith(end)), None)


def is_free(method: str, path: str) -> bool:
    """Whether a request that is no model call costs nothing: it reads, or counts."""
    is_plain = _FREE.fullmatch(path.rstrip("/")) is not None and _UP.search(path) is None
    return method in _READING or (method == "POST" and is_plain)
