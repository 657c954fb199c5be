"""Servers on the loopback interface that speak what channels speak to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

Answer: TypeAlias = "tuple[int, dict[str, str], bytes]"


class Got:
    """One request that came."""

    def __init__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        self.method, self.path, self.headers, self.body = method, path, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """An HTTP server that keeps what comes, and answers as it is told to."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.reply: Callable[[Got], Answer | None] = self._told  # None: the connection is closed
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                got = Got(self.command, self.path, headers, self.rfile.read(length))
                receiver.got.append(got)
                answer = receiver.reply(got)
                if answer is None:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, fields, body = answer
                self.send_response(status)
                for name, value in {**fields, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST  # noqa: N815 - the standard library's names

            def log_message(self, *args: Any) -> None:
                del args

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def _told(self, got: Got) -> Answer:
        del got
        status, headers = self.answers.pop(0) if self.answers else (200, {})
        return status, headers, b""

    @contextlib.contextmanager
    def serving(self) -> Iterator[Receiver]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


async def post(
    app: Any,
    body: bytes,
    headers: dict[str, str],
    *,
    method: str = "POST",
    repeated: tuple[str, str] | None = None,
) -> tuple[int, Any]:
    """Send one request to an ASGI application; return the status and the JSON, once all of it is done."""
    answer = await begun(app, body, headers, method=method, repeated=repeated)
    await answer.done
    return answer.status, answer.json


class Begun:
    """A request under way."""

    def __init__(self) -> None:
        self.status, self.body = 0, b""
        self.answered = asyncio.Event()
        self.done: Any = None

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


async def begun(
    app: Any,
    body: bytes,
    headers: dict[str, str],
    *,
    method: str = "POST",
    repeated: tuple[str, str] | None = None,
) -> Begun:
    """Send one request; return it once it is under way."""
    answer, sent = Begun(), iter([body])
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    if repeated:
        raw.append((repeated[0].encode(), repeated[1].encode()))
    scope = {"type": "http", "method": method, "path": "/", "headers": raw, "query_string": b""}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": next(sent), "more_body": False}

    async def send(event: dict[str, Any]) -> None:
        if event["type"] == "http.response.start":
            answer.status = event["status"]
        else:
            answer.body += event.get("body", b"")
            answer.answered.set()

    answer.done = asyncio.create_task(app(scope, receive, send))
    return answer
