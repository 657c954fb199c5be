"""The console by itself, on this machine, until it is asked to end."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable, Generator
from types import FrameType
from typing import Final

from starlette.types import ASGIApp

from holdfast.console.guard import only_hosts
from holdfast.errors import MissingExtra

try:
    import uvicorn
except ImportError as error:
    raise MissingExtra("console", error.name or "uvicorn") from error

HERE: Final = "127.0.0.1"
_HOSTS: Final = (HERE, "localhost")
_ASKED_BY: Final = (signal.SIGTERM, signal.SIGINT)


class _Server(uvicorn.Server):
    """Ends in good order when it is asked to, so that the ledger is closed by its owner."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so once it can be reached, and can be asked to end."""
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Let requests end when a signal comes; a second one ends the process at once."""

        def first(_number: int, _frame: FrameType | None) -> None:
            for one in _ASKED_BY:
                signal.signal(one, signal.SIG_DFL)
            self.should_exit = True

        before = {number: signal.signal(number, first) for number in _ASKED_BY}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


async def serve(app: ASGIApp, listener: socket.socket, ready: Callable[[], object]) -> None:
    """Serve *app* on a socket of this machine until a signal asks for the end.

    A name of another site that leads to this machine is refused, and what a proxy claims is not believed.

    Args:
        ready: Called when it can be reached.
    """
    config = uvicorn.Config(
        only_hosts(app, _HOSTS),
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        lifespan="off",
        ws="none",
        interface="asgi3",
        timeout_graceful_shutdown=5,
    )
    await _Server(config, ready).serve(sockets=[listener])
