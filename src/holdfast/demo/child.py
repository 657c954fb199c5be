"""What every process of the demo does: speak JSON lines on stdout, and never outlive the demo."""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_STDIN = 0
_STDOUT = 1
_LARGEST_BODY_BYTES = 1_000_000


def say(event: str, **facts: object) -> None:
    """Report *event* to the process that started this one, as one JSON line, at once."""
    # One write per line: the threads of a server report at the same time.
    os.write(_STDOUT, json.dumps({"event": event, **facts}).encode() + b"\n")


def wait_for_parent_to_go() -> None:
    """Return once the parent closed our stdin or died, which closes it too."""
    # Not sys.stdin.read(): a thread holding the buffer's lock at interpreter exit is a fatal error.
    while os.read(_STDIN, 4096):
        pass


def die_with_parent() -> None:
    """End this process as soon as its parent is gone, whatever it is doing then."""

    def watch() -> None:
        wait_for_parent_to_go()
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def serve(server: ThreadingHTTPServer) -> None:
    """Answer requests on *server* until the parent is gone; reports ``ready`` with the URL."""
    server.daemon_threads = True
    host, port = server.server_address[:2]
    threading.Thread(target=server.serve_forever, name="server", daemon=True).start()
    say("ready", url=f"http://{host!s}:{port}")
    wait_for_parent_to_go()  # then return: the threads are daemons, and what matters is committed


class JsonHandler(BaseHTTPRequestHandler):
    """JSON in, JSON out, over HTTP/1.1, without a log of its own."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one packet, so no client waits for a delayed ACK

    def read_json(self) -> dict[str, Any] | None:
        """Return the request's JSON object, or ``None`` when its body is anything else."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LARGEST_BODY_BYTES:
            self.close_connection = True  # the body was not read, so the next request cannot be found
            return None
        try:
            body: object = json.loads(self.rfile.read(int(length)))
        except ValueError:
            return None
        return body if isinstance(body, dict) else None  # pyright: ignore[reportUnknownVariableType] - JSON keys are str

    def answer(self, status: int, body: object) -> None:
        """Send *body* as JSON."""
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Keep silent: what matters is reported with :func:`say`."""
