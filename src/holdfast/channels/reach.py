"""Where a webhook may go: to an address that was looked up once, is public, and is the one connected to.

So a name that means another address a moment later (DNS rebinding) gains nothing, nor does a redirect: none
is followed.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from holdfast.errors import InvalidTool, Permanent

Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"
Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"
Lookup: TypeAlias = "Callable[[str, int], Sequence[str]]"
_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")
_TRANSLATED_TOO: Final = ipaddress.ip_network("64:ff9b:1::/48")
_ANSWER_BYTES: Final = 4096
_LAST_PORT: Final = 65_535


class AddressRefused(Permanent):
    """The target's name means an address that webhooks must not reach. Nothing was sent."""


class Answered(Exception):
    """The target answered, and not with yes.

    Attributes:
        status_code: Of its answer.
        method: Of the request.
        headers: What it asks of retries.
    """

    method = "POST"

    def __init__(self, status: int, retry_after: str | None) -> None:
        super().__init__(f"the webhook's target answered {status}")
        self.status_code = status
        self.headers = {} if retry_after is None else {"retry-after": retry_after}


class Reach:
    """One target, as it was given: no message says where it goes.

    Args:
        allow: Networks that are let through although they are not public; only there is ``http://`` allowed.
        lookup: Returns the addresses of a name.

    Raises:
        InvalidTool: It is no address of a webhook.
    """

    def __init__(
        self,
        url: str,
        *,
        allow: Sequence[str] = (),
        timeout_s: float = 8.0,
        context: ssl.SSLContext | None = None,
        lookup: Lookup | None = None,
    ) -> None:
        self._allow = tuple(_network(text) for text in allow)
        self._timeout_s = timeout_s
        self._context = context
        self._lookup = lookup or _looked_up
        self._is_tls, self._host, self._port, self._path = _parts(url)
        if not self._is_tls and not self._allow:
            raise InvalidTool("a webhook over http", "use https; http is for networks that allow= names")

    def post(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Send *body*; return the status, which is 2xx.

        Raises:
            AddressRefused: The name means an address that is not public. Nothing was sent.
            Answered: The target said no.
            Permanent: It sends us elsewhere.
            OSError: It could not be reached, or nobody knows.
        """
        connection = self._connection()
        clock = threading.Timer(self._timeout_s, connection.give_up)
        clock.daemon = True
        clock.start()
        try:
            connection.request("POST", self._path, body, {**headers, "host": self._authority()})
            answer = connection.getresponse()
            connection.ensure_in_time()
            with suppress(OSError, http.client.HTTPException):  # what it says is said by its status
                answer.read(_ANSWER_BYTES)
        except (OSError, ValueError, http.client.HTTPException):
            if not connection.is_given_up:
                raise
            msg = "the webhook's target did not answer in time"
            raise TimeoutError(msg) from None
        finally:
            clock.cancel()
            connection.close()
        if 300 <= answer.status < 400:  # noqa: PLR2004
            msg = f"the webhook's target sends us elsewhere ({answer.status}), and we do not go"
            raise Permanent(msg)
        if not 200 <= answer.status < 300:  # noqa: PLR2004
            raise Answered(answer.status, answer.headers.get("retry-after"))
        return answer.status

    def _authority(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        usual = 443 if self._is_tls else 80
        return host if self._port == usual else f"{host}:{self._port}"

    def _connection(self) -> _Pinned:
        addresses = [_unmapped(ipaddress.ip_address(text)) for text in self._lookup(self._host, self._port)]
        if not addresses or not all(self._may_reach(address) for address in addresses):
            msg = "the webhook's name means an address that is not public"
            raise AddressRefused(msg)
        return _Pinned(
            self._host,
            self._port,
            [str(address) for address in addresses],
            self._timeout_s,
            (self._context or ssl.create_default_context()) if self._is_tls else None,
        )

    def _may_reach(self, address: Address) -> bool:
        if any(address in network for network in self._allow):
            return True
        return self._is_tls and is_public(address)


def is_public(address: Address) -> bool:
    """Whether *address* is one of the public internet, and of nothing that wraps another address."""
    if isinstance(address, ipaddress.IPv6Address) and (
        address.sixtofour or address.teredo or address in _TRANSLATED or address in _TRANSLATED_TOO
    ):
        return False
    return address.is_global and not address.is_multicast


class _Pinned(http.client.HTTPConnection):
    """A connection to addresses that were looked up already, under the name that they were looked up by."""

    def __init__(
        self,
        host: str,
        port: int,
        addresses: Sequence[str],
        timeout_s: float,
        context: ssl.SSLContext | None,
    ) -> None:
        super().__init__(host, port, timeout=timeout_s)
        self._addresses = addresses
        self._tls = context
        self.is_given_up = False

    def connect(self) -> None:
        self.sock = self._reached()
        if self._tls is not None:
            tls = self._tls.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self.sock = tls
            tls.do_handshake()
        self.ensure_in_time()

    def ensure_in_time(self) -> None:
        """Refuse what was cut off in the middle: it may look whole."""
        if self.is_given_up:
            raise TimeoutError

    def give_up(self) -> None:
        """End it from another thread: the timeout of a socket is for each byte, this one for all of them."""
        self.is_given_up = True
        if self.sock is not None:
            with suppress(OSError):
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def _reached(self) -> socket.socket:
        *others, last = self._addresses
        for address in others:
            self.ensure_in_time()
            try:
                return socket.create_connection((address, self.port), self.timeout)
            except OSError:
                continue
        return socket.create_connection((last, self.port), self.timeout)


def _looked_up(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]).partition("%")[0] for one in found))


def _unmapped(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _network(text: Any) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise InvalidTool(f"allow={text!r:.80} is no network", 'name one, e.g. "10.1.0.0/16"') from None


def _parts(url: Any) -> tuple[bool, str, int, str]:
    fix = "give an https address without a user, e.g. https://hooks.acme.example/holdfast"
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidTool("a webhook's target is no plain address", fix)
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise InvalidTool("a webhook's target is no plain address", fix) from None
    is_bad = parts.scheme not in {"https", "http"} or not parts.hostname or "@" in parts.netloc
    if is_bad or not 0 < port <= _LAST_PORT:
        raise InvalidTool("a webhook's target is no plain address", fix)
    path = parts.path or "/"
    return (
        parts.scheme == "https",
        str(parts.hostname),
        port,
        f"{path}?{parts.query}" if parts.query else path,
    )
