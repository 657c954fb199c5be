"""What an HTTP client that is awaited sends its requests with, so that model calls go through a ledger."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from holdfast._core.model_request import AsyncAsks, ModelAnswer, ProviderRefused
from holdfast.models import http
from holdfast.models.async_streams import AsyncCall
from holdfast.models.paths import Others
from holdfast.models.sending import Sending


class AsyncTransport:
    """Takes the requests of a client that is awaited; see :class:`.transport.Transport`."""

    def __init__(
        self, client: Any, asks: AsyncAsks, *, provider: str | None = None, others: Others = "refuse"
    ) -> None:
        self._client, self._asks = client, asks
        self._provider: str | None = provider
        self._others: Others = others

    async def handle_async_request(self, request: Any) -> Any:
        """Answer a request: through the ledger if it asks a model.

        Raises:
            HoldfastError: The ledger did not make the call, or nobody knows.
        """
        await request.aread()
        asked = http.asked_by(request, provider=self._provider, others=self._others)
        if asked is None:
            return await self._passed(request)
        sending = Sending(self._client, request, asked)
        try:
            if asked.streams and not self._asks.is_coded:
                return await self._streamed(sending)
            return sending.response(await self._asks.ask(asked, _whole(sending)))
        except ProviderRefused as error:
            return sending.refused(error)

    async def aclose(self) -> None:
        """Close the client behind this."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    async def _streamed(self, sending: Sending) -> Any:
        call = AsyncCall(self._asks, sending)
        begun = await call.begin()
        if isinstance(begun, ModelAnswer):
            return sending.response(begun)
        return sending.streamed(begun, sending.stream_class(is_async=True), call.chunks(), call.close)

    async def _passed(self, request: Any) -> Any:
        own, theirs = http.module_of(request), http.module_of(self._client)
        response = await self._client.send(http.again(theirs, request, self._client.cookies), stream=True)
        stream = http.stream_class(own, is_async=True)(response.aiter_raw(), response.aclose)
        return http.passed(own, request, response, stream)


def _whole(sending: Sending) -> Any:
    async def send(body: Mapping[str, Any]) -> ModelAnswer:
        try:
            response = await sending.client.send(sending.request(body), stream=True)
        except Exception as error:
            sending.failed(error)
            raise
        try:
            await response.aread()
            return sending.whole(response)
        finally:
            await response.aclose()

    return send
