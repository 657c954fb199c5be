"""A streamed model call that waits: made in a thread of its own, while what comes is passed on."""

from __future__ import annotations

import contextvars
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final

from holdfast._core.model_request import Asks, ModelAnswer, StreamBroken
from holdfast.models import http
from holdfast.models.events import Reader
from holdfast.models.sending import End, Head, Sending

_ENDING_S: Final = 2.0
"""Whoever leaves a stream waits at most so long until it is on record: garbage collection may, anywhere."""


class Call:
    """One streamed call.

    Args:
        asks: The ledger's model calls.
        sending: The call.
    """

    def __init__(self, asks: Asks, sending: Sending) -> None:
        self._asks, self._sending = asks, sending
        self._queue: SimpleQueue[Head | bytes | End] = SimpleQueue()
        self._left = threading.Event()
        self._live: Any = None
        self._reader: Reader | None = None
        self._kept = b""
        # A stream that nobody closes is read to its end, so the thread ends, and its call is on record.
        around = contextvars.copy_context()
        self._thread = threading.Thread(target=around.run, args=(self._make,), name="holdfast-model-stream")

    def begin(self) -> Head | ModelAnswer:
        """Make the call, and return as soon as there is something to pass on; or the whole answer.

        Raises:
            Exception: What the ledger raised.
        """
        self._thread.start()
        try:
            first = self._queue.get()
        except BaseException:
            self.leave()
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

    def chunks(self) -> Iterator[bytes]:
        """Yield what comes, when it comes; the end of it, once the answer is on record."""
        while True:
            match self._queue.get():
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
        self._left.set()
        if (
            self._reader is None or not self._reader.is_complete
        ):  # else another request may have its connection
            _wake(self._live)

    def close(self) -> None:
        """End the stream; what was read of it is on record then."""
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self.leave()
            self._thread.join(_ENDING_S)

    def _make(self) -> None:
        try:
            end = End(answer=self._asks.ask(self._sending.asked, self._send))
        except BaseException as error:  # noqa: BLE001 - whoever reads the stream is told
            end = End(error=error)
        self._queue.put(end)

    def _send(self, body: Mapping[str, Any]) -> ModelAnswer:
        sending = self._sending
        try:
            response = sending.client.send(sending.request(body), stream=True)
        except Exception as error:
            sending.failed(error)
            raise
        self._live = response
        try:
            if http.is_refusal(response) or not http.is_stream(response):
                response.read()
                return sending.whole(response)
            return self._pass(response)
        finally:
            self._live = None
            response.close()

    def _pass(self, response: Any) -> ModelAnswer:
        reader, head = self._sending.reader(), self._sending.took(response)
        self._reader, is_passed = reader, False
        try:
            for chunk in response.iter_bytes():
                passed = reader.feed(chunk)
                if not is_passed and reader.failing is not None:
                    break
                if passed and not is_passed:
                    is_passed = True
                    self._queue.put(head)
                if passed:
                    self._queue.put(passed)
                if self._left.is_set():
                    break
        except Exception as error:
            if not self._left.is_set():
                if is_passed:
                    raise StreamBroken("the stream broke after its beginning was passed on") from error
                raise
        self._sending.check(reader, response, is_passed=is_passed)
        self._kept = reader.rest()
        return self._sending.read(reader, response, was_left=self._left.is_set())


def _wake(response: Any) -> None:
    """End the wait for what comes next, where the connection is this response's alone."""
    if response is None or not str(response.http_version).startswith("HTTP/1"):
        return
    stream: Any = response.extensions.get("network_stream")
    found = None if stream is None else stream.get_extra_info("socket")
    if isinstance(found, socket.socket):
        with suppress(OSError):
            socket.socket.shutdown(found, socket.SHUT_RDWR)  # not TLS' own, which would talk first
