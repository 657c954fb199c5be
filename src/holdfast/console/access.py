"""Who visits the console, and what they may do there."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeAlias

from starlette.requests import Request
from starlette.routing import BaseRoute


class Role(StrEnum):
    """What somebody is at the console; one person may be several. An admin is no approver by that."""

    VIEWER = "viewer"  #: reads
    OPERATOR = "operator"  #: steers workflows, settles doubt, stops everything
    APPROVER = "approver"  #: decides on what agents ask; the chain says on what
    ADMIN = "admin"  #: lets go on what was stopped


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody whom the console knows.

    Attributes:
        id: Who acts, in the audit trail: an e-mail address, an account.
        roles: Nothing is shown to who has none.
        method: How we know: ``token``, ``proxy``, ``oidc``, or a word of yours.
        auth_time: When they proved it (aware); ``None`` when nobody said.
        mfa: More than one factor was asked for.
    """

    id: str
    roles: frozenset[Role] = field(default_factory=lambda: frozenset({Role.VIEWER}))
    method: str = "callback"
    auth_time: datetime | None = None
    mfa: bool = False

    def may(self, roles: frozenset[Role]) -> bool:
        """Whether they have one of *roles*."""
        return not self.roles.isdisjoint(roles)


Callback: TypeAlias = "Callable[[Request], Awaitable[Visitor | None] | Visitor | None]"
"""Says who a request is from; ``None`` for nobody, who sees nothing."""


class Access(Protocol):
    """A way to know who visits."""

    @property
    def entrance(self) -> str:
        """Where one signs in, below the console's own address; empty where one cannot."""
        ...

    async def visitor(self, request: Request) -> Visitor | None:
        """Return who a request is from; ``None`` for nobody."""
        ...

    def routes(self) -> Sequence[BaseRoute]:
        """Return the pages of signing in and out."""
        ...


ANYBODY = Visitor("anybody", method="none")


@dataclass(frozen=True, slots=True)
class ByCallback:
    """The application that the console is part of knows who visits."""

    callback: Callback
    entrance: str = ""

    async def visitor(self, request: Request) -> Visitor | None:
        """Ask the application; what it cannot answer is nobody."""
        found = self.callback(request)
        return await found if inspect.isawaitable(found) else found

    def routes(self) -> Sequence[BaseRoute]:
        """Return no pages: the application has its own."""
        return ()


def access_of(access: Access | Callback | None) -> Access:
    """Return what was given as a way to know; without one everybody who gets here may read, and only that."""
    if access is None:
        return ByCallback(lambda _: ANYBODY)
    if callable(access):
        return ByCallback(access)
    return access
