"""One model call of a client, as it is sent, and as what comes back is shown to the client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast._core.model_request import ModelAnswer, ModelRequest, ProviderRefused, StreamBroken
from holdfast._core.value import value
from holdfast.models import http
from holdfast.models.credentials import Credentials
from holdfast.models.events import Reader, shown


@value
class Head:
    """What a response begins with whose body is passed on while it comes."""

    status: int
    headers: list[tuple[str, str]]


@value
class End:
    """How a call ended: with an answer, or an error."""

    answer: ModelAnswer | None = None
    error: BaseException | None = None


class Sending:
    """One model call, sent as often as the ledger says.

    Args:
        client: Of httpx or httpx2: what sends it.
        request: As whoever asks made it.
        asked: What it asks.
    """

    def __init__(self, client: Any, request: Any, asked: ModelRequest) -> None:
        self.client, self.asked = client, asked
        self._request = request
        self._live: Head | None = None

    def request(self, body: Mapping[str, Any]) -> Any:
        """Return what is sent, with *body*."""
        module = http.module_of(self.client)
        return http.sent(module, self._request, self.asked, body, self.client.cookies)

    def reader(self) -> Reader:
        """Return what reads one answer's events."""
        return Reader(self.asked.wire, hides_usage=http.hides_usage(self.asked))

    def failed(self, error: Exception) -> None:
        """Take the credentials out of an error that it was sent with: it goes on record."""
        Credentials(self._request).hide(error)

    def took(self, response: Any) -> Head:
        """Remember what a response began with, and return it."""
        self._live = Head(status=response.status_code, headers=http.live_headers(response))
        return self._live

    def whole(self, response: Any) -> ModelAnswer:
        """Return a response whose body has been read as an answer.

        Raises:
            ProviderRefused: It is an error, if one inside of a stream: nobody was given anything of it.
        """
        if http.is_refusal(response):
            raise http.refusal(response)
        self.took(response)
        if http.is_stream(response):
            reader = self.reader()
            reader.feed(response.content)
            self.check(reader, response, is_passed=False)
        return http.answer(response, self.asked.wire)

    def check(self, reader: Reader, response: Any, *, is_passed: bool) -> None:
        """Raise the error that was told inside of a stream, if there is one."""
        failing = reader.failing
        if failing is None:
            return
        if is_passed:
            raise StreamBroken(f"the provider told of an error in its stream (status {failing.status})")
        headers = {**http.told_headers(response), "content-type": "application/json"}
        text = Credentials(response.request).hidden(failing.text)
        raise ProviderRefused(failing.status, headers, text, is_begun=reader.is_begun)

    def read(self, reader: Reader, response: Any, *, was_left: bool) -> ModelAnswer:
        """Return what was read of a stream as an answer."""
        is_partial = was_left and not reader.is_complete
        return http.answer(response, self.asked.wire, reader.text, is_partial=is_partial)

    def response(self, told: ModelAnswer) -> Any:
        """Return an answer that is whole, be it from the record, as a response."""
        headers = http.headers_of(told, self.asked.wire) if self._live is None else self._live.headers
        if told.content_type.lower().startswith(http.EVENTS):
            content = shown(self.asked.wire, told.text, hides_usage=http.hides_usage(self.asked))
        else:
            content = told.text.encode("utf-8", "surrogatepass")
        return self._made(told.status, headers, content=content)

    def refused(self, error: ProviderRefused) -> Any:
        """Return a refusal as the response that it was, but that the client is not to try again."""
        told = [pair for pair in error.headers.items() if pair[0] in http.TOLD and pair[0] != http.AGAIN]
        headers = [*told, (http.AGAIN, "false")]
        return self._made(error.status_code, headers, content=error.text.encode("utf-8", "surrogatepass"))

    def streamed(self, head: Head, stream_class: Any, chunks: Any, close: Any) -> Any:
        """Return a response whose body is passed on while it comes."""
        return self._made(head.status, head.headers, stream=stream_class(chunks, close))

    def stream_class(self, *, is_async: bool) -> Any:
        """Return the class of streams for :meth:`streamed`."""
        return http.stream_class(http.module_of(self._request), is_async=is_async)

    def broken(self, error: BaseException) -> BaseException | None:
        """Return what a reader is shown of how its stream ended; ``None`` when the stream itself has told."""
        if not isinstance(error, StreamBroken):
            return error
        cause = error.__cause__
        if cause is None:
            return None
        module = http.module_of(self._request)
        own = isinstance(cause, module.HTTPError)
        return cause if own else module.ReadError(str(cause), request=self._request)

    def _made(self, status: int, headers: list[tuple[str, str]], **body: Any) -> Any:
        module = http.module_of(self._request)
        return module.Response(status, headers=headers, request=self._request, **body)
