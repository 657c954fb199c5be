"""The official clients of OpenAI and Anthropic, with their model calls made through a ledger."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any, Final, TypeVar, cast

from holdfast._core.model_request import Asks, AsyncAsks
from holdfast._core.value import value
from holdfast.errors import HoldfastError, InvalidCall, InvalidTool
from holdfast.models import http
from holdfast.models.async_transport import AsyncTransport
from holdfast.models.paths import Others
from holdfast.models.transport import Transport

T = TypeVar("T")

_SDKS: Final = frozenset({"openai", "anthropic"})
_TOLD: Final = "_holdfast"
_DEEPEST: Final = 10
_FIX: Final = "give an official client of OpenAI or Anthropic, or a function with model='provider/model'"
_SOCKETS: Final = "websocket_base_url"
_AZURE_SOCKETS: Final = ("_configure_realtime", "_configure_realtime_with_api_key")
"""What OpenAI's clients ask for before they open a connection of their own, past their HTTP client."""


@value
class _Way:
    """How a client's requests go to the ledger."""

    asks: Asks | AsyncAsks
    provider: str | None
    others: Others


def wrapped(
    client: T, asks: Asks | AsyncAsks, *, provider: str | None = None, others: Others = "refuse"
) -> T:
    """Return a copy of *client*, of its own class, whose model calls are made through *asks*.

    Its settings, proxies, certificates and timeouts hold, and so do those of the HTTP client that it was made
    with. Its own retries are off, and those of whatever it is copied to: the ledger tries again.

    Args:
        client: ``OpenAI``, ``AsyncOpenAI``, ``Anthropic``, ``AsyncAnthropic``, or of a class of theirs.
        asks: Awaited for clients that are.
        provider: Whose models they are; by default the one whose format a request has.
        others: Whether other requests that may cost are refused, or let through unseen.

    Raises:
        InvalidTool: It is no such client; or it waits where *asks* is awaited, or the other way round.
    """
    kind: Any = type(client)
    if _is_through(client):
        raise InvalidTool(
            f"a {kind.__name__} that goes through a ledger already", "give the client as it was"
        )
    if not _is_client(client):
        raise InvalidTool(f"a model of type {kind.__name__}", _FIX)
    is_async = _is_async(client)
    if is_async is not inspect.iscoroutinefunction(asks.ask):
        other = "Ledger" if is_async else "SyncLedger"
        what = f"{kind.__name__} {'is awaited' if is_async else 'waits'}, and the ledger does not"
        raise InvalidTool(what, f"give it to a {other}")
    way = _Way(asks=asks, provider=provider, others=others)
    made: Any = client
    return cast("T", _through(made.copy(http_client=_http_client(made, way), max_retries=0), kind, way))


def _copy(self: Any, *, http_client: Any = None, max_retries: Any = 0, **options: Any) -> Any:
    """Return a copy of the client that goes through the same ledger, whatever sends its requests."""
    del max_retries  # the ledger tries again, and nobody besides
    kind, way = _told(self)
    plain: Any = cast(
        "Any", object.__new__(kind)
    )  # as its own class sees it, which may look for exactly itself
    plain.__dict__.update(self.__dict__)
    if http_client is not None:
        http_client = _http_client(plain, way, http_client)
    return _through(plain.copy(http_client=http_client, max_retries=0, **options), kind, way)


def _request(self: Any, cast_to: Any, options: Any, **more: Any) -> Any:
    """Send a request once, and raise what the ledger raised as it is."""
    kind: Any = _told(self)[0]
    options.max_retries = 0
    try:
        return kind.request(self, cast_to, options, **more)
    except Exception as error:
        if (ours := _ours(error)) is None:
            raise
        raise ours from ours.__cause__


async def _request_async(self: Any, cast_to: Any, options: Any, **more: Any) -> Any:
    """Send a request once, and raise what the ledger raised as it is."""
    kind: Any = _told(self)[0]
    options.max_retries = 0
    try:
        return await kind.request(self, cast_to, options, **more)
    except Exception as error:
        if (ours := _ours(error)) is None:
            raise
        raise ours from ours.__cause__


def _ours(error: Exception) -> HoldfastError | None:
    """Return the error of ours that a client has wrapped into one of its own, if it has."""
    seen: BaseException | None = error
    for _ in range(_DEEPEST):
        if isinstance(seen, HoldfastError):
            return seen
        seen = None if seen is None else seen.__cause__
    return None


def _http_client(client: Any, way: _Way, sender: Any = None) -> Any:
    """Return what *client* asks the ledger by; it sends by *sender*, or by what the client has now."""
    sender = sender or client._client  # noqa: SLF001 - their name for it since their first release
    module = http.module_of(sender)
    is_async = _is_async(client)
    transport: Any = (AsyncTransport if is_async else Transport)(
        sender, cast("Any", way.asks), provider=way.provider, others=way.others
    )
    return (module.AsyncClient if is_async else module.Client)(
        transport=transport,
        base_url=sender.base_url,
        headers=sender.headers,
        params=sender.params,
        timeout=sender.timeout,
        trust_env=False,
    )


def _through(client: Any, kind: type, way: _Way) -> Any:
    client.__class__ = _class(kind, is_async=_is_async(client))
    setattr(client, _TOLD, (kind, way))
    return client


def _told(client: object) -> tuple[type, _Way]:
    return cast("tuple[type, _Way]", getattr(client, _TOLD))


@cache
def _class(kind: type, *, is_async: bool) -> type:
    """Return a class like *kind* that goes through a ledger; with one base, so that objects may change."""
    request = _request_async if is_async else _request
    own: dict[str, Any] = {"request": request, "copy": _copy, "with_options": _copy}
    if any(_SOCKETS in vars(cls).get("__annotations__", {}) for cls in kind.__mro__):
        own |= {
            _SOCKETS: _sockets(kind),
            **{name: _socket_address(kind, name) for name in _AZURE_SOCKETS if hasattr(kind, name)},
        }
    own |= {"__module__": kind.__module__, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind,), own)


def _sockets(kind: type) -> property:
    """Return the address of web sockets, which nobody gets whose requests are to go through the ledger."""

    def told(self: Any) -> Any:
        _ensure_allowed(self)
        return self.__dict__[_SOCKETS]

    def set_to(self: Any, given: Any) -> None:
        vars(self)[_SOCKETS] = given

    return property(told, set_to, doc=kind.__doc__)


def _socket_address(kind: Any, name: str) -> Any:
    """Return the method of Azure's clients that says where a web socket is, kept in the same way."""

    def address(self: Any, *given: Any, **named: Any) -> Any:
        _ensure_allowed(self)
        return getattr(kind, name)(self, *given, **named)

    return address


def _ensure_allowed(client: Any) -> None:
    if _told(client)[1].others != "allow":
        raise InvalidCall(
            "a web socket through a client of the ledger, which sees nothing of what is asked there",
            "use a client of your own for it, or allow it unseen with others='allow'",
        )


def _is_client(client: object) -> bool:
    packages = {str(cls.__module__).partition(".")[0] for cls in type(client).__mro__}
    return not packages.isdisjoint(_SDKS) and hasattr(client, "_client") and hasattr(client, "copy")


def _is_async(client: object) -> bool:
    return any(cls.__name__ == "AsyncAPIClient" for cls in type(client).__mro__)


def _is_through(client: object) -> bool:
    return hasattr(client, _TOLD)
