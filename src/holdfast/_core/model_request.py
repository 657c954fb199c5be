"""What a client asks of a model, and what came back: as values, whatever client and provider it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeAlias

from holdfast._core.usage_wire import WireFormat
from holdfast._core.value import value

MODEL: Final = "model:"
"""How the names of model calls begin, among tools: ``model:provider/model``. No tool is named so."""


@value
class ModelRequest:
    """A request to a model, before it is sent.

    Attributes:
        wire: The format of *body*.
        provider: Whose model: ``openai``, ``anthropic``, or as its user calls it.
        url: Where it goes, without a query.
        host: The same, its host only: what fails together.
        body: As the client made it.
        streams: The answer comes as server-sent events.
    """

    wire: WireFormat
    provider: str
    url: str
    host: str
    body: Mapping[str, Any]
    streams: bool = False


@value
class ModelAnswer:
    """What came back, or what is on record of it.

    Attributes:
        status: Of HTTP, below 400.
        content_type: Of *text*.
        text: All of it: JSON, or server-sent events as they came.
        request_id: The provider's own name for it; empty when it has none.
        is_partial: Whoever read the stream left before its end.
    """

    status: int
    content_type: str
    text: str
    request_id: str = ""
    is_partial: bool = False


class ProviderRefused(Exception):
    """A provider answered with a status of 400 or more: it made nothing, and asks for nothing.

    Attributes:
        status_code: Of HTTP.
        headers: What of them says when to try again, and what *text* is; names in lower case.
        text: The body.
    """

    def __init__(self, status_code: int, headers: Mapping[str, str], text: str) -> None:
        super().__init__(status_code, headers, text)
        self.status_code = status_code
        self.headers = headers
        self.text = text

    def __str__(self) -> str:
        return f"the model's provider answered with status {self.status_code}: {self.text[:300]}"


class StreamBroken(Exception):
    """A stream ended in an error after its beginning was passed on: it is paid, and cannot be asked again.

    Whoever reads the stream has been given what came; a second answer would come on top of the first.
    """


Send: TypeAlias = Callable[[Mapping[str, Any]], ModelAnswer]
"""Sends a body once, which may allow for less output than the caller's, and gives all that came back.

Raises:
    ProviderRefused: The provider answered with a status of 400 or more.
    Exception: The client's own errors: whether anything was sent is told by their class.
"""

AsyncSend: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[ModelAnswer]]
"""The same, awaited."""


class Asks(Protocol):
    """Lets a ledger make a model call, or answer it from the record; the calling thread waits for it."""

    @property
    def is_coded(self) -> bool:
        """Whether a workflow's code makes the call: its turns are the workflow's, so streams come whole."""
        ...

    def ask(self, request: ModelRequest, send: Send) -> ModelAnswer:
        """Make the call, once.

        Raises:
            ProviderRefused: It was refused in the end; or is on record as refused.
            HoldfastError: It was not made, or nobody knows.
            Exception: What *send* raised last.
        """
        ...


class AsyncAsks(Protocol):
    """Lets a ledger make a model call, or answer it from the record."""

    @property
    def is_coded(self) -> bool:
        """See :attr:`Asks.is_coded`."""
        ...

    async def ask(self, request: ModelRequest, send: AsyncSend) -> ModelAnswer:
        """See :meth:`Asks.ask`."""
        ...
