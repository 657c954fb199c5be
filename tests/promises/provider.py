"""A small real HTTP service that charges cards: it keeps its own book, and may lose its answers."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Provider:
    """What the outside world did, and how to ask it.

    Attributes:
        charges: Every charge it made, as (Idempotency-Key, amount).
        requests: The Idempotency-Key of every request, refused ones too.
        trouble: What happens to the next requests: ``busy`` refuses before charging, ``drop`` charges and
            closes the connection without an answer.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.charges: list[tuple[str, int]] = []
        self.requests: list[str] = []
        self.trouble: list[str] = []

    def charge(self, key: str, amount: int) -> dict[str, Any]:
        """Ask for a charge, over the wire, as any client would."""
        body = json.dumps({"amount": amount}).encode()
        request = urllib.request.Request(self.url, body, {"Idempotency-Key": key})
        with _NO_PROXY.open(request, timeout=30) as answer:
            charge: dict[str, Any] = json.load(answer)
            return charge

    def found(self, key: str) -> dict[str, Any] | None:
        """Look a charge up by its key."""
        return next(({"id": f"ch_{key[:8]}"} for known, _ in self.charges if known == key), None)


@contextmanager
def provider() -> Iterator[Provider]:
    """Serve on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            key = self.headers["Idempotency-Key"]
            amount = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["amount"]
            world.requests.append(key)
            trouble = world.trouble.pop(0) if world.trouble else None
            if trouble == "busy":
                self.send_error(429)
                return
            world.charges.append((key, amount))
            if trouble == "drop":
                self.close_connection = True
                return
            answer = json.dumps(world.found(key)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        world = Provider(f"http://127.0.0.1:{server.server_address[1]}/charges")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield world
        server.shutdown()
        thread.join()
