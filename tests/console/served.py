"""A console served on this machine, by a thread of the test's process, as users serve it."""

from __future__ import annotations

import socket
import threading
from typing import Any, Self

import uvicorn


class Served:
    """An ASGI application behind a real server, for the length of a block.

    Attributes:
        asked: Method, path and status of each request that was answered.
    """

    def __init__(self, app: Any) -> None:
        self.asked: list[tuple[str, str, int]] = []
        self._app = app
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        config = uvicorn.Config(
            self._noted, log_level="error", proxy_headers=False, lifespan="off", ws="none", interface="asgi3"
        )
        self._server = uvicorn.Server(config)
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._listener.listen()  # from here on whoever connects waits for the server
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])

    async def _noted(self, scope: Any, receive: Any, send: Any) -> None:
        async def told(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.asked.append((scope["method"], scope["path"], message["status"]))
            await send(message)

        await self._app(scope, receive, told)
