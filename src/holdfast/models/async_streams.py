"""A streamed model call that is awaited: made in a task of its own, while what comes is passed on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from holdfast._core.model_request import AsyncAsks, ModelAnswer, StreamBroken
from holdfast.models import http
from holdfast.models.events import Reader
from holdfast.models.sending import End, Head, Sending

_RUNNING: Final[set[asyncio.Task[None]]] = set()
"""The event loop keeps no hold of its tasks, and a stream that was dropped is still read to its end."""


class AsyncCall:
    """One streamed call.

    Args:
        asks: The ledger's model calls.
        sending: The call.
    """

    def __init__(self, asks: AsyncAsks, sending: Sending) -> None:
        self._asks, self._sending = asks, sending
        self._queue: asyncio.Queue[Head | bytes | End] = asyncio.Queue()
        self._left = self._is_passed = False
        self._kept = b""
        self._reading: asyncio.Task[None] | None = None
        self._making: asyncio.Task[None] | None = None

    async def begin(self) -> Head | ModelAnswer:
        """Make the call, and return as soon as there is something to pass on; or the whole answer.

        Raises:
            Exception: What the ledger raised.
        """
        self._making = asyncio.create_task(self._make(), name="holdfast-model-stream")
        _RUNNING.add(self._making)
        self._making.add_done_callback(_RUNNING.discard)
        try:
            first = await self._queue.get()
        except BaseException:
            self.leave()
            self._making.cancel()
            raise
        match first:
            case Head():
                return first
            case End(answer=ModelAnswer() as answer):
                return answer
            case End(error=BaseException() as error):
                raise error
            case _:
                raise AssertionError(first)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield what comes, when it comes; the end of it, once the answer is on record."""
        while True:
            match await self._queue.get():
                case bytes() as chunk:
                    yield chunk
                case End(error=None):
                    if self._kept:
                        yield self._kept
                    return
                case End(error=BaseException() as error):
                    if (shown := self._sending.broken(error)) is not None:
                        raise shown
                    return
                case _:
                    pass

    def leave(self) -> None:
        """Let the attempt end with what was read until now."""
        self._left = True
        if self._reading is not None:
            self._reading.cancel()

    async def close(self) -> None:
        """End the stream; what was read of it is on record then."""
        if self._making is not None and not self._making.done():
            self.leave()
            await asyncio.wait({self._making})

    async def _make(self) -> None:
        try:
            end = End(answer=await self._asks.ask(self._sending.asked, self._send))
        except BaseException as error:
            self._queue.put_nowait(End(error=error))
            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            self._queue.put_nowait(end)

    async def _send(self, body: Mapping[str, Any]) -> ModelAnswer:
        sending = self._sending
        try:
            response = await sending.client.send(sending.request(body), stream=True)
        except Exception as error:
            sending.failed(error)
            raise
        try:
            if http.is_refusal(response) or not http.is_stream(response):
                await response.aread()
                return sending.whole(response)
            return await self._pass(response)
        finally:
            await response.aclose()

    async def _pass(self, response: Any) -> ModelAnswer:
        reader, head = self._sending.reader(), self._sending.took(response)
        await self._read_until_left(response, reader, head)
        self._sending.check(reader, response, is_passed=self._is_passed)
        self._kept = reader.rest()
        return self._sending.read(reader, response, was_left=self._left)

    async def _read_until_left(self, response: Any, reader: Reader, head: Head) -> None:
        """Read in a task that ends when nobody wants more, wherever it waits then."""
        if self._left:
            return
        self._reading = asyncio.create_task(self._read(response, reader, head))
        try:
            await asyncio.wait({self._reading})
        except asyncio.CancelledError:
            self._reading.cancel()
            await asyncio.wait({self._reading})
            raise
        if self._reading.cancelled() or self._left:
            return
        error = self._reading.exception()
        if error is not None and self._is_passed:
            raise StreamBroken("the stream broke after its beginning was passed on") from error
        if error is not None:
            raise error

    async def _read(self, response: Any, reader: Reader, head: Head) -> None:
        async for chunk in response.aiter_bytes():
            passed = reader.feed(chunk)
            if not self._is_passed and reader.failing is not None:
                return
            if passed and not self._is_passed:
                self._is_passed = True
                self._queue.put_nowait(head)
            if passed:
                self._queue.put_nowait(passed)
