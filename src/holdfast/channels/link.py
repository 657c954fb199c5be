"""E-mail and all else that takes a text: people get the whole question and a link to its page.

The link decides nothing: there is no token in it, a GET of it changes nothing, and whoever it is forwarded to
has to sign in as somebody who may decide.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

from holdfast._core.contract import SafetyName
from holdfast.channels.card import shortened, text_of, visible
from holdfast.errors import InvalidTool
from holdfast.ports import Telling

_SUBJECT_LENGTH: Final = 150
_DIGITS: Final = 8
_KINDS: Final = {
    "asked": "Please decide",
    "questioned": "The agent is asked for more",
    "reminded": "Still to be decided",
    "escalated": "Escalated to you",
    "ended": "Decided",
}
_ANSWERED: Final = "answered"


class LinkChannel:
    """Hands subject, text and link to a function of yours, plain or async.

    Args:
        send: Called with ``subject``, ``text``, ``link``, ``id`` and ``telling`` by keyword, as far as it
            takes them. Use *id* for what names a message on the other side (``Message-ID``): a notice that
            was perhaps sent is sent again under the same one.
    """

    safety: SafetyName = "idempotent"

    def __init__(self, send: Callable[..., Any], *, name: str = "mail") -> None:
        given: Any = send
        if not callable(given):
            raise InvalidTool(f"send is {type(given).__name__}", "give a function of subject, text and link")
        self.name = name
        self._send = send
        self._takes = _names(send)
        self._is_async = inspect.iscoroutinefunction(send)

    @property
    def tell(self) -> Callable[[Telling], Any]:
        """Tells people: async where the function is."""
        return self._tell_async if self._is_async else self._tell

    def _tell(self, telling: Telling) -> Any:
        if telling.notice.kind == _ANSWERED:  # nobody has to do anything: that is no mail
            return None
        self._send(**self._said(telling))
        return {"id": telling.id}

    async def _tell_async(self, telling: Telling) -> Any:
        if telling.notice.kind == _ANSWERED:
            return None
        await self._send(**self._said(telling))
        return {"id": telling.id}

    def _said(self, telling: Telling) -> dict[str, Any]:
        approval = telling.approval
        subject = f"{_KINDS[telling.notice.kind]}: {visible(approval.tool)} ({approval.id[:_DIGITS]})"
        said = {
            "subject": shortened(subject, _SUBJECT_LENGTH),
            "text": text_of(approval, telling.link),
            "link": telling.link,
            "id": telling.id,
            "telling": telling,
        }
        return said if self._takes is None else {name: said[name] for name in said if name in self._takes}


def _names(send: Callable[..., Any]) -> frozenset[str] | None:
    """Return which arguments *send* takes by name; ``None`` for any."""
    parameters = inspect.signature(send).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return frozenset(parameter.name for parameter in parameters)
