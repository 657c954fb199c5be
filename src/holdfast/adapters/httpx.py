"""Any httpx client as one whose model calls go through a ledger: for whatever takes an ``http_client``.

    client = httpx.AsyncClient(transport=AsyncLedgerTransport(ledger))

Where a framework takes a client of OpenAI or Anthropic, give it ``ledger.model(client)``: there errors arrive
as they are, and the client's own retries are off. Here they are to be turned off (``max_retries=0``), or what
the ledger gave up is begun again; and some clients wrap its errors, which are the cause of theirs then.
"""

from __future__ import annotations

from typing import Any, Unpack, cast

import httpx

from holdfast._core.model_request import Asks, AsyncAsks
from holdfast.ledger import Ledger, SyncLedger
from holdfast.ledger.models import ModelOptions, asks_of
from holdfast.models.async_transport import AsyncTransport
from holdfast.models.transport import Transport

__all__ = ["AsyncLedgerTransport", "LedgerTransport"]


class LedgerTransport(Transport, httpx.BaseTransport):
    """Sends what a client asks of models through a ledger, and what is free past it.

    Args:
        ledger: Makes the calls.
        client: Sends what is to be sent, with its proxies and certificates; closed with this. By default
            one that follows redirections and the environment's proxies.
        options: As of ``ledger.model``; those of functions say nothing here.
    """

    def __init__(
        self, ledger: SyncLedger, client: httpx.Client | None = None, **options: Unpack[ModelOptions]
    ) -> None:
        engine = ledger._engine  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - the ledger's own edge
        sender: Any = httpx.Client(follow_redirects=True) if client is None else client
        super().__init__(
            sender,
            cast("Asks", asks_of(engine, options)),
            provider=options.get("provider"),
            others=options.get("others", "refuse"),
        )


class AsyncLedgerTransport(AsyncTransport, httpx.AsyncBaseTransport):
    """The same for clients that are awaited; see :class:`LedgerTransport`."""

    def __init__(
        self, ledger: Ledger, client: httpx.AsyncClient | None = None, **options: Unpack[ModelOptions]
    ) -> None:
        engine = ledger._engine  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - the ledger's own edge
        sender: Any = httpx.AsyncClient(follow_redirects=True) if client is None else client
        super().__init__(
            sender,
            cast("AsyncAsks", asks_of(engine, options)),
            provider=options.get("provider"),
            others=options.get("others", "refuse"),
        )
