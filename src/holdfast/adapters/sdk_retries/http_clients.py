"""The HTTP clients below all SDKs: urllib3, requests, httpx, aiohttp."""

from __future__ import annotations

import sys
from typing import Any, Final

from holdfast.adapters.sdk_retries.kind import NO_LIMIT, Kind, highest, number
from holdfast.adapters.sdk_retries.stored import at, declared, entries, stored

_CAUSES: Final = ("connect", "read", "status", "other")


# urllib3, and requests above it


def of_retry(retry: object) -> int | None:
    """Return how often a ``Retry``, or a number that stands for one, lets a request be sent again."""
    count = number(retry)
    if count is not None:
        return max(count, 0)
    counts = stored(retry)
    if "total" not in counts:
        return None
    total, *causes = (number(counts.get(name)) for name in ("total", *_CAUSES))
    bounds = [] if total is None else [total]
    if None not in causes:
        bounds.append(sum(count or 0 for count in causes))
    return max(min(bounds, default=NO_LIMIT), 0)


def _without(retry: object) -> Any:
    """Return a ``Retry`` that follows as many redirects as before, and repeats nothing.

    What raised after the last attempt raises after the first, and what was returned then is returned now.
    """
    made: Any = sys.modules["urllib3.util.retry"].Retry.from_int(retry)
    # A busy server's answer with Retry-After is returned when the total is used up, and raises when the
    # number for answers is.
    raises = made.status is not None and made.total is not None and made.status < made.total
    return made.new(**dict.fromkeys(_CAUSES, 0), respect_retry_after_header=raises)


def of_manager(manager: object) -> object:
    """Return the ``Retry`` that a pool manager's requests begin with."""
    options = entries(at(manager, "connection_pool_kw"))
    if options is None:
        return None
    given = options.get("retries")
    # A manager that was told nothing leaves it to its pools, which then have this default.
    usual = declared(at(sys.modules.get("urllib3.util.retry"), "Retry")).get("DEFAULT")
    return usual if given is None else given


def silence_manager(manager: Any) -> object:
    """Switch a pool manager's retries off."""
    manager.connection_pool_kw["retries"] = _without(of_manager(manager))
    manager.clear()  # its pools are kept by their options, and these are asked for no more
    return manager


def _silence_pool(pool: Any) -> object:
    pool.retries = _without(pool.retries)
    return pool


def _of_session(session: object) -> int | None:
    adapters = entries(at(session, "adapters")) or {}
    return highest(of_retry(at(adapter, "max_retries")) for adapter in adapters.values())


def _silence_session(session: Any) -> object:
    for adapter in session.adapters.values():
        if of_retry(at(adapter, "max_retries")):
            adapter.max_retries = _without(adapter.max_retries)
    return session


# httpx and httpx2, which repeat attempts to connect and nothing else


def _pools(client: object) -> list[object]:
    mounts = entries(at(client, "_mounts")) or {}
    return [at(transport, "_pool") for transport in (at(client, "_transport"), *mounts.values())]


def of_httpx(client: object) -> int | None:
    """Return how often a client of httpx or httpx2 tries again to connect."""
    return highest(number(at(pool, "_retries")) for pool in _pools(client))


def silence_httpx(client: object) -> object:
    """Let a client of httpx or httpx2 connect once."""
    pool: Any
    for pool in _pools(client):
        if number(at(pool, "_retries")):
            pool._retries = 0  # noqa: SLF001 - read whenever it connects; there is no public way
    return client


# aiohttp, which repeats idempotent methods once when the connection is lost


def _silence_aiohttp(session: Any) -> object:
    session._retry_connection = False  # noqa: SLF001 - there is no public way
    return session


_HTTPX: Final = Kind(
    retries=of_httpx, silence=silence_httpx, fix="{client}(..., transport=HTTPTransport(retries=0))"
)
HTTP_CLIENTS: Final = {
    "urllib3.poolmanager.PoolManager": Kind(
        retries=lambda manager: of_retry(of_manager(manager)),
        silence=silence_manager,
        fix="{client}(..., retries=False)",
    ),
    "urllib3.connectionpool.HTTPConnectionPool": Kind(
        retries=lambda pool: of_retry(at(pool, "retries")),
        silence=_silence_pool,
        fix="{client}(..., retries=False)",
    ),
    "requests.sessions.Session": Kind(
        retries=_of_session, silence=_silence_session, fix="{client}.mount(..., HTTPAdapter(max_retries=0))"
    ),
    "httpx._client.BaseClient": _HTTPX,
    "httpx2._client.BaseClient": _HTTPX,
    "aiohttp.client.ClientSession": Kind(
        retries=lambda session: number(at(session, "_retry_connection")),
        silence=_silence_aiohttp,
        fix="one_layer({client}(...))",  # aiohttp has no option for it
    ),
}
"""The kinds by the class that all of a kind inherit from."""
