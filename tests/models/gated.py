"""A provider that says each piece of a stream when a test lets it, and notices who goes away."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, TypeAlias

import httpx2

from holdfast.testing.model import Api, says
from models.asking import PATIENCE_S, serve

GONE: Final = "gone"
BREAK: Final = "break"
Piece: TypeAlias = bytes | threading.Event | str
"""What is sent; or what is waited for; ``GONE``: until the client is gone; ``BREAK``: the connection breaks."""

_PATHS: Final = {Api.CHAT: "chat/completions", Api.RESPONSES: "responses", Api.MESSAGES: "messages"}
_BODIES: Final = {
    Api.CHAT: {"messages": [{"role": "user", "content": "Hi."}]},
    Api.RESPONSES: {"input": "Hi."},
    Api.MESSAGES: {"messages": [{"role": "user", "content": "Hi."}], "max_tokens": 99},
}


def events(api: Api, text: str = "Once upon a time.", **how: Any) -> list[bytes]:
    """A stream as the provider writes it, event by event, with its usage."""
    asked: dict[str, Any] = {"model": "m", "stream": True, **_BODIES[api]}
    if api is Api.CHAT:
        asked["stream_options"] = {"include_usage": True}
    with serve(says(text, **how)) as server, httpx2.Client(verify=False, trust_env=False) as http:
        content = http.post(f"{server.url}/v1/{_PATHS[api]}", json=asked).content
    return [part + b"\n\n" for part in content.split(b"\n\n") if part]


@dataclass
class Gated:
    """A server on loopback with a script for each request; the last one holds for all that follow.

    Attributes:
        scripts: What is said.
        paths: What was asked for, oldest first.
        bodies: The same.
        asked: Somebody has asked.
        gone: A client went away before the end.
    """

    scripts: Sequence[Sequence[Piece]]
    paths: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)
    content_type: str = "text/event-stream"
    url: str = ""

    @property
    def requests(self) -> int:
        return len(self.bodies)

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def anthropic_url(self) -> str:
        return self.url


@contextmanager
def gated(*scripts: Sequence[Piece], content_type: str = "text/event-stream") -> Iterator[Gated]:
    told = Gated(scripts, content_type=content_type)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            told.paths.append(self.path)
            told.bodies.append(body)
            told.asked.set()
            script = told.scripts[min(len(told.bodies), len(told.scripts)) - 1]
            self.send_response(200)
            self.send_header("content-type", told.content_type)
            self.send_header("x-request-id", "req_7")
            self.send_header("request-id", "req_7")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            try:
                self.say(script)
            except ConnectionError:
                told.gone.set()
                self.close_connection = True

        def say(self, script: Sequence[Piece]) -> None:
            for piece in script:
                match piece:
                    case bytes():
                        self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                        self.wfile.flush()
                    case threading.Event():
                        assert piece.wait(PATIENCE_S)
                    case _ if piece == GONE:
                        self.connection.settimeout(PATIENCE_S)
                        assert self.connection.recv(1) == b""
                        raise ConnectionResetError
                    case _:
                        self.close_connection = True
                        return
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - theirs
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
