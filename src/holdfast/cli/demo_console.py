"""The demo's person as a person: somebody in front of the console, in a browser."""

from __future__ import annotations

import asyncio
import socket
from typing import Final
from urllib.parse import quote

from holdfast import Approval, ApprovalState, Ledger
from holdfast.cli.output import say
from holdfast.console import Role, console
from holdfast.console.one_time import OneTimeToken
from holdfast.console.serving import serve
from holdfast.demo.person import YOU

_HERE: Final = "127.0.0.1"
_LOOK_S: Final = 0.1


class AtTheConsole:
    """Serves the console while a question is open, and waits until somebody has answered it there."""

    patience_s = 900.0

    def __init__(self) -> None:
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.bind((_HERE, 0))
        self._address = f"http://{_HERE}:{self._listener.getsockname()[1]}"
        self._server: asyncio.Task[None] | None = None

    async def answer(self, ledger: Ledger, question: Approval) -> None:
        """Say where to answer, and wait for it."""
        if self._server is None:
            await self._open(ledger)
        say(f"decide: {self._address}/approvals/{question.id}")
        # A browser decides, and rings no bell of ours.
        while (await ledger.approval(question.id)).state is ApprovalState.PENDING:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)

    async def _open(self, ledger: Ledger) -> None:
        access = OneTimeToken(self._tell, visitor=YOU, roles=set(Role))
        ready = asyncio.Event()
        self._server = asyncio.create_task(serve(console(ledger, access=access), self._listener, ready.set))
        await ready.wait()
        access.announce()

    def _tell(self, token: str) -> None:
        say(f"sign in once: {self._address}/-/sign-in?token={quote(token)}")
