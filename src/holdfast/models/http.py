"""Requests and responses of httpx and httpx2, which are alike, and what a ledger is told of them.

Neither is imported: whose classes to use is told by what came. Credentials stay here; of the headers a ledger
is given what says when to try again, and of which kind an answer is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final

from holdfast._core.model_request import ModelAnswer, ModelRequest, ProviderRefused
from holdfast._core.usage_wire import WireFormat
from holdfast._core.wire import is_object, object_of
from holdfast.errors import InvalidCall, InvalidTool
from holdfast.models.credentials import Credentials
from holdfast.models.paths import Others, is_free, wire_of

_KINDS: Final = frozenset({"httpx", "httpx2"})
_IDS: Final[Mapping[WireFormat, str]] = {
    "chat": "x-request-id",
    "responses": "x-request-id",
    "messages": "request-id",
}
AGAIN: Final = "x-should-retry"
"""By which both SDKs are told whether to try again."""
TOLD: Final = frozenset({"content-type", "retry-after", "retry-after-ms", AGAIN, *_IDS.values()})
_OF_ONE_TRANSFER: Final = frozenset(
    {"connection", "content-encoding", "content-length", "keep-alive", "set-cookie", "transfer-encoding"}
)
_LENGTHS: Final = frozenset({b"content-length", b"transfer-encoding"})
_FIRST_REDIRECT: Final = 300
EVENTS: Final = "text/event-stream"


def module_of(thing: object) -> Any:
    """Return httpx or httpx2, whichever *thing* is of.

    Raises:
        InvalidTool: It is of neither.
    """
    packages = [str(cls.__module__).partition(".")[0] for cls in type(thing).__mro__]
    found = next((package for package in packages if package in _KINDS), None)
    if found is None:
        raise InvalidTool(
            f"{type(thing).__name__} is of no HTTP client that is known here", "use httpx or httpx2"
        )
    return sys.modules[found]


def asked_by(request: Any, *, provider: str | None, others: Others) -> ModelRequest | None:
    """Return the model call that a request is, with its body read; ``None`` for what passes by the ledger.

    Raises:
        InvalidCall: It is no model call, may cost, and is not allowed to pass; or it is one without JSON.
    """
    url = request.url
    path = str(url.path)
    wire = wire_of(request.method, path)
    if wire is None:
        if others == "allow" or is_free(request.method, url.raw_path.decode("ascii").partition("?")[0]):
            return None
        what = f"{request.method} {path} through a client of the ledger, which knows no such model call"
        raise InvalidCall(what, "use a client of your own for it, or allow it unseen with others='allow'")
    body = _object(request.content, path)
    place = url.netloc.decode("ascii")
    return ModelRequest(
        wire=wire,
        provider=provider or ("anthropic" if wire == "messages" else "openai"),
        url=f"{url.scheme}://{place}{path}",
        host=str(url.host),
        body=body,
        streams=body.get("stream") is True,
    )


def hides_usage(asked: ModelRequest) -> bool:
    """Whether a stream's usage has to be asked for, since whoever makes the call did not."""
    options = object_of(asked.body.get("stream_options"))
    return asked.wire == "chat" and asked.streams and options.get("include_usage") is not True


def sent(http: Any, request: Any, asked: ModelRequest, body: Mapping[str, Any], cookies: Any) -> Any:
    """Return the request as it is sent, with *body* in place of its own.

    Args:
        http: The module of whoever sends it.
        cookies: Those of whoever sends it.
    """
    if hides_usage(asked):
        told = {**object_of(body.get("stream_options")), "include_usage": True}
        body = {**body, "stream_options": told}
    if body == asked.body:
        return again(http, request, cookies)  # to the letter: somebody may have signed it
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return again(http, request, cookies, text.encode("utf-8", "surrogatepass"))


def again(http: Any, request: Any, cookies: Any, content: bytes | None = None) -> Any:
    """Return *request*, which has been read, as one of *http*'s, perhaps with other content."""
    headers = [(name, text) for name, text in request.headers.raw if name.lower() not in _LENGTHS]
    return http.Request(
        request.method,
        str(request.url),
        headers=headers,
        content=request.content if content is None else content,
        cookies=cookies,
        extensions=dict(request.extensions),
    )


def is_refusal(response: Any) -> bool:
    """Whether a response is no answer: an error, or a redirection that nobody follows."""
    return int(response.status_code) >= _FIRST_REDIRECT


def is_stream(response: Any) -> bool:
    """Whether an answer comes as events."""
    return str(response.headers.get("content-type", "")).lower().startswith(EVENTS)


def refusal(response: Any) -> ProviderRefused:
    """Return a refusal, whose body has been read, as the ledger is told of it."""
    text = Credentials(response.request).hidden(_text(response.content))
    return ProviderRefused(response.status_code, told_headers(response), text)


def told_headers(response: Any) -> dict[str, str]:
    """Return what the ledger is told of the headers of a refusal; names in lower case."""
    return {name.lower(): text for name, text in response.headers.items() if name.lower() in TOLD}


def answer(
    response: Any, wire: WireFormat, text: str | None = None, *, is_partial: bool = False
) -> ModelAnswer:
    """Return an answer as the ledger is told of it: *text*, or the body, which has been read then."""
    return ModelAnswer(
        status=response.status_code,
        content_type=response.headers.get("content-type", ""),
        text=_text(response.content) if text is None else text,
        request_id=response.headers.get(_IDS[wire], ""),
        is_partial=is_partial,
    )


def live_headers(response: Any) -> list[tuple[str, str]]:
    """Return the headers of a response that came just now, without those of its transfer."""
    headers: Iterable[tuple[str, str]] = response.headers.multi_items()
    return [(name, text) for name, text in headers if name.lower() not in _OF_ONE_TRANSFER]


def headers_of(told: ModelAnswer, wire: WireFormat) -> list[tuple[str, str]]:
    """Return the headers of an answer that may be on record."""
    found = [("content-type", told.content_type), (_IDS[wire], told.request_id)]
    return [(name, text) for name, text in found if text]


def passed(own: Any, request: Any, response: Any, stream: Any) -> Any:
    """Return a response that the ledger has nothing to do with as one of *own*'s."""
    headers = response.headers.multi_items()
    return own.Response(response.status_code, headers=headers, stream=stream, request=request)


class _Chunks:
    """What comes of a response, and what is done when nobody wants more."""

    def __init__(self, chunks: Iterator[bytes], close: Callable[[], None]) -> None:
        self._chunks, self._close = chunks, close

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        self._close()


class _AsyncChunks:
    """The same, awaited."""

    def __init__(self, chunks: AsyncIterator[bytes], close: Callable[[], Any]) -> None:
        self._chunks, self._close = chunks, close

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks

    async def aclose(self) -> None:
        await self._close()


@cache
def stream_class(http: Any, *, is_async: bool) -> Any:
    """Return the class of streams that *http* takes for its own."""
    if is_async:
        return type("LedgerStream", (_AsyncChunks, http.AsyncByteStream), {})
    return type("LedgerStream", (_Chunks, http.SyncByteStream), {})


def _object(content: bytes, path: str) -> Mapping[str, Any]:
    try:
        body: Any = json.loads(content, object_pairs_hook=_named_once)
    except (ValueError, RecursionError):
        body = None
    if not is_object(body):
        raise InvalidCall(
            f"POST {path} without an object of JSON", "send what the provider's format asks for"
        )
    return body


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose names all differ: of two values nobody knows which one a provider reads."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")
