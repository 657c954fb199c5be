"""What of a request nobody else may read, taken out of what is said of it: a provider may repeat its key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

_NAMED: Final = re.compile(r"auth|key|token|secret|cookie|passw|credential|^sig", re.IGNORECASE)
_SHORTEST: Final = 8
"""What is shorter is no secret, and may be part of any word."""
_DEEPEST: Final = 10
HIDDEN: Final = "[hidden]"


class Credentials:
    """The credentials in a request's headers and address.

    Args:
        request: Of httpx or httpx2.
    """

    def __init__(self, request: Any) -> None:
        found: set[str] = {part for text in _texts(request) for part in (text, *text.split())}
        shown = {form for text in found for form in (text, repr(text)[1:-1], repr(text.encode())[2:-1])}
        self._all = sorted((text for text in shown if len(text) >= _SHORTEST), key=len, reverse=True)

    def hidden(self, text: str) -> str:
        """Return *text* without them."""
        for secret in self._all:
            text = text.replace(secret, HIDDEN)
        return text

    def hide(self, error: BaseException) -> None:
        """Take them out of an error's message, and of those that led to it: libraries show headers."""
        seen: BaseException | None = error
        for _ in range(_DEEPEST):
            if seen is None:
                return
            args = tuple(self.hidden(arg) if isinstance(arg, str) else arg for arg in seen.args)
            if args != seen.args:
                seen.args = args
            seen = seen.__cause__ or seen.__context__


def _texts(request: Any) -> Iterator[str]:
    for name, text in request.headers.multi_items():
        if _NAMED.search(name):
            yield text
    for name, text in request.url.params.multi_items():
        if _NAMED.search(name):
            yield text
    yield from (
        text for text in (request.url.userinfo.decode("ascii", "replace"), request.url.password) if text
    )
