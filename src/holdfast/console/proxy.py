"""A proxy in front of the console has signed the visitor in, and says who it is in a header."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias

from starlette.requests import Request
from starlette.routing import BaseRoute

from holdfast.console.access import Role, Visitor
from holdfast.console.accounts import Accounts
from holdfast.errors import InvalidTool

_Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"


class TrustedHeader:
    """Access for whom a proxy vouches; a header from anybody else is nobody's.

    The peer is who the connection comes from. A server that puts an address from ``X-Forwarded-For`` in its
    place (uvicorn does so, unless told ``--no-proxy-headers``) makes this worth as much as that.

    Args:
        peers: Addresses or networks of the proxies, e.g. ``"127.0.0.1"`` or ``"10.0.0.0/8"``.
        header: Which header; the proxy must set it, and drop what came from outside.
        roles: What somebody is by their name; a viewer without it.
        accounts: Whose account the name is, and what they are, by the directory of people; not with *roles*.

    Raises:
        InvalidTool: Nobody is trusted, an address cannot be read, or roles come from two places.
    """

    entrance = ""

    def __init__(
        self,
        peers: Iterable[str],
        *,
        header: str = "x-forwarded-user",
        roles: Callable[[str], Iterable[Role]] | None = None,
        accounts: Accounts | None = None,
    ) -> None:
        if roles is not None and accounts is not None:
            raise InvalidTool("roles= and accounts= both say what somebody is", "give one of them")
        self._peers = [_network(peer) for peer in peers]
        self._header = header
        self._roles = roles
        self._accounts = accounts
        if not self._peers:
            raise InvalidTool("TrustedHeader has no peers", "name the proxy's address: peers=['127.0.0.1']")

    async def visitor(self, request: Request) -> Visitor | None:
        """Return whom the proxy names."""
        given = request.headers.getlist(self._header)
        if len(given) != 1 or not self._is_peer(request):
            return None
        name = given[0].strip()
        if not name or not name.isprintable():
            return None
        vouched = Visitor(name, method="proxy")
        if self._accounts is not None:
            return self._accounts.visitor("proxy", name, vouched)
        return vouched if self._roles is None else replace(vouched, roles=frozenset(self._roles(name)))

    def routes(self) -> Sequence[BaseRoute]:
        """Return no pages: one signs in at the proxy."""
        return ()

    def _is_peer(self, request: Request) -> bool:
        if request.client is None:
            return False
        try:
            address = ipaddress.ip_address(request.client.host)
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in peer for peer in self._peers)


def _network(peer: str) -> _Network:
    try:
        return ipaddress.ip_network(peer)
    except ValueError as error:
        raise InvalidTool(f"{peer!r} is no address", "give '127.0.0.1', '::1' or '10.0.0.0/8'") from error
