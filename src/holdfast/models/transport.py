"""What a blocking HTTP client sends its requests with, so that model calls go through a ledger."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from holdfast._core.model_request import Asks, ModelAnswer, ProviderRefused
from holdfast.models import http
from holdfast.models.paths import Others
from holdfast.models.sending import Sending
from holdfast.models.streams import Call


class Transport:
    """Takes the requests of a client of httpx or httpx2.

    Args:
        client: Sends what is to be sent: its proxies, certificates, hooks and cookies hold. Closed with this.
        asks: The ledger's model calls.
        provider: Whose models they are; by default the one whose format a request has.
        others: What becomes of other requests that may cost.
    """

    def __init__(
        self, client: Any, asks: Asks, *, provider: str | None = None, others: Others = "refuse"
    ) -> None:
        self._client, self._asks = client, asks
        self._provider: str | None = provider
        self._others: Others = others

    def handle_request(self, request: Any) -> Any:
        """Answer a request: through the ledger if it asks a model.

        Raises:
            HoldfastError: The ledger did not make the call, or nobody knows.
        """
        request.read()
        asked = http.asked_by(request, provider=self._provider, others=self._others)
        if asked is None:
            return self._passed(request)
        sending = Sending(self._client, request, asked)
        try:
            if asked.streams and not self._asks.is_coded:
                return self._streamed(sending)
            return sending.response(self._asks.ask(asked, _whole(sending)))
        except ProviderRefused as error:
            return sending.refused(error)

    def close(self) -> None:
        """Close the client behind this."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self.close()

    def _streamed(self, sending: Sending) -> Any:
        call = Call(self._asks, sending)
        begun = call.begin()
        if isinstance(begun, ModelAnswer):
            return sending.response(begun)
        return sending.streamed(begun, sending.stream_class(is_async=False), call.chunks(), call.close)

    def _passed(self, request: Any) -> Any:
        own, theirs = http.module_of(request), http.module_of(self._client)
        response = self._client.send(http.again(theirs, request, self._client.cookies), stream=True)
        stream = http.stream_class(own, is_async=False)(response.iter_raw(), response.close)
        return http.passed(own, request, response, stream)


def _whole(sending: Sending) -> Any:
    def send(body: Mapping[str, Any]) -> ModelAnswer:
        try:
            response = sending.client.send(sending.request(body), stream=True)
        except Exception as error:
            sending.failed(error)
            raise
        try:
            response.read()
            return sending.whole(response)
        finally:
            response.close()

    return send
