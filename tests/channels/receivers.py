"""Servers on the loopback interface that speak what channels speak to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


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
        self.reply: Callable[[Got], tuple[int, dict[str, str], bytes]] = self._told
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                got = Got(self.command, self.path, headers, self.rfile.read(length))
                receiver.got.append(got)
                status, fields, body = receiver.reply(got)
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

    def _told(self, got: Got) -> tuple[int, dict[str, str], bytes]:
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


class FakeSlack(Receiver):
    """Slack's Web API, as far as we speak it, in its real form: JSON or forms in, ``ok`` or ``error`` out.

    Attributes:
        calls: Each method that was called, with what it was given.
        messages: By ``ts``, as they stand.
        users: What ``users.info`` says, by id.
        errors: Errors to answer with, by method, one after another.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.messages: dict[str, dict[str, Any]] = {}
        self.users: dict[str, dict[str, Any]] = {}
        self.errors: dict[str, list[Any]] = {}
        self.reply = self._slack

    def of(self, method: str) -> list[dict[str, Any]]:
        return [given for name, given in self.calls if name == method]

    def _slack(self, got: Got) -> tuple[int, dict[str, str], bytes]:
        path = urlsplit(got.path)
        method = path.path.removeprefix("/api/")
        given = dict(parse_qsl(path.query))
        if got.headers.get("content-type", "").startswith("application/json"):
            given |= json.loads(got.body or b"{}")
        else:
            given |= dict(parse_qsl(got.body.decode()))
        for name in ("blocks", "metadata", "view"):
            if isinstance(given.get(name), str):
                given[name] = json.loads(given[name])
        self.calls.append((method, given))
        failing = self.errors.get(method)
        error = failing.pop(0) if failing else None
        if isinstance(error, int):
            return error, {"content-type": "text/html"}, b"<html>secret-in-body</html>"
        if error not in {None, "after"}:
            return (
                200,
                {"content-type": "application/json"},
                json.dumps({"ok": False, "error": error}).encode(),
            )
        told = getattr(self, f"_{method.replace('.', '_')}", lambda given: {})(given)
        if error == "after":  # it acts, and the answer is lost in a proxy
            return 504, {"content-type": "text/html"}, b"<html></html>"
        return 200, {"content-type": "application/json"}, json.dumps({"ok": True, **told}).encode()

    def _chat_postMessage(self, given: dict[str, Any]) -> dict[str, Any]:
        ts = f"17000000{len(self.messages):02d}.000100"
        self.messages[ts] = given
        return {"channel": given["channel"], "ts": ts}

    def _chat_update(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["ts"] not in self.messages:
            return {"ok": False, "error": "message_not_found"}
        self.messages[given["ts"]] = {**self.messages[given["ts"]], **given}
        return {"channel": given["channel"], "ts": given["ts"]}

    def _conversations_history(self, given: dict[str, Any]) -> dict[str, Any]:
        del given
        return {
            "messages": [{**one, "ts": ts} for ts, one in self.messages.items() if "thread_ts" not in one]
        }

    def _conversations_replies(self, given: dict[str, Any]) -> dict[str, Any]:
        of = given["ts"]
        return {
            "messages": [{**one, "ts": ts} for ts, one in self.messages.items() if one.get("thread_ts") == of]
        }

    def _users_info(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"user": {"id": given["user"], **self.users.get(given["user"], {})}}


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
