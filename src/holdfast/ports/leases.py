"""Leases: what a worker holds while it works, and who extends them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Lease:
    """A claim that wants to live on.

    Attributes:
        key: The effect's key; for an execution its workflow's id.
        fence: The effect's fence; for an execution its epoch.
        is_execution: It is an execution's.
    """

    tenant: str
    key: str
    fence: int
    is_execution: bool = False


class Renewer(Protocol):
    """Renews leases from a thread of its own, over a connection of its own. Blocking."""

    def renew(self, leases: Sequence[Lease], lease_s: float) -> set[Lease]:
        """Extend every lease that is still held, in one statement; return those.

        Raises:
            StoreUnavailable: None was renewed, as far as is known.
        """
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...
