"""A server that is always busy and counts what arrives, and SDKs that read nothing from this machine."""

from __future__ import annotations

import os
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import TypeVar

import botocore.endpoint
import pytest
import stripe

S = TypeVar("S", bound=socketserver.BaseServer)


class Refusing(BaseHTTPRequestHandler):
    """Counts what arrives; answers that it is busy, or hangs up without a word."""

    server: Server

    def do_POST(self) -> None:
        self.server.arrived.append(self.path)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "/found")
        elif self.path.startswith("/found"):
            self.send_response(200)
        elif self.server.hangs_up:
            return
        else:
            self.send_response(503)
            self.send_header("Retry-After", "0")
            self.send_header("Retry-After-Ms", "1")
        self.send_header("Content-Length", "2")
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST  # noqa: N815 - the base class's name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Where all requests of a test go.

    Attributes:
        arrived: The path of every request, in order.
        hangs_up: Whether it closes the connection instead of answering.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Refusing)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.arrived: list[str] = []
        self.hangs_up = False


@contextmanager
def serving(server: S) -> Iterator[S]:
    """Serve until the block ends."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def settle_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SDKs see neither this machine's settings nor, where the server cannot say so, its clock."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.0)
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _: None))
