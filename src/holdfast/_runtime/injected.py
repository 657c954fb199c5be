"""The errors of dev mode: as the standard library's and HTTP clients' own are, and each says what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class InjectedReset(ConnectionResetError):
    """The answer was lost, on purpose. Whether it was done, the error does not tell: real ones do not."""


class InjectedTimeout(TimeoutError):
    """No answer came in time, on purpose."""


class InjectedRefusal(ConnectionRefusedError):
    """Nobody accepts a connection, on purpose."""


class InjectedStatus(Exception):
    """An HTTP error, on purpose; with a ``request`` and a ``response``, as HTTP clients' own have."""

    def __init__(self, what: str, status_code: int, headers: dict[str, str], method: str) -> None:
        super().__init__(what, status_code, headers, method)
        self.request = _Request(method)
        self.response = _Response(status_code, headers)

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class _Request:
    method: str


@dataclass(frozen=True, slots=True)
class _Response:
    status_code: int
    headers: Mapping[str, str]
