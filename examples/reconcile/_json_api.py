"""A JSON API: just enough of a server to be a provider, and of a client to talk to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


class NotFound(Exception):
    """The API answered 404: there is no such thing."""


class Provider(BaseHTTPRequestHandler):
    """A provider's side: ``get``, ``post`` and ``patch`` read ``body`` and ``query``, and ``answer``."""

    @classmethod
    def server(cls) -> ThreadingHTTPServer:
        """Return a server on a free port of this machine."""
        return ThreadingHTTPServer(("127.0.0.1", 0), cls)

    @property
    def body(self) -> Any:
        """What the client sent."""
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    @property
    def query(self) -> dict[str, str]:
        """The parameters behind the question mark."""
        return dict(parse_qsl(urlsplit(self.path).query))

    def do_GET(self) -> None:
        self.get()

    def do_POST(self) -> None:
        self.post()

    def do_PATCH(self) -> None:
        self.patch()

    def get(self) -> None:
        self.answer(405, None)

    def post(self) -> None:
        self.answer(405, None)

    def patch(self) -> None:
        self.answer(405, None)

    def answer(self, status: int, body: object) -> None:
        """Send an answer, which may or may not arrive."""
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def ask(
    address: tuple[str, int],
    method: str,
    path: str,
    *,
    body: object = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """Send one request, once; return the answer.

    Raises:
        NotFound: It is a 404.
        OSError: There is no answer. Whether the request was carried out, nobody here can know.
    """
    connection = HTTPConnection(*address, timeout=10)
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        found = json.loads(response.read())
    finally:
        connection.close()
    if response.status == 404:  # noqa: PLR2004 - HTTP's own number
        raise NotFound(path)
    if response.status >= 400:  # noqa: PLR2004
        raise RuntimeError(f"{method} {path} answered {response.status}")
    return found
