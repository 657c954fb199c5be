"""What a page is asked and answers, and what a form wants: values, so that pages are functions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from holdfast.console.access import Role, Visitor
from holdfast.console.text import named
from holdfast.ledger import Ledger

VIEWING: frozenset[Role] = frozenset(Role)
OPERATING: frozenset[Role] = frozenset({Role.OPERATOR, Role.ADMIN})
LETTING_GO: frozenset[Role] = frozenset({Role.ADMIN})
DECIDING: frozenset[Role] = frozenset({Role.APPROVER})


class NotThere(Exception):
    """There is no such thing in this tenant's ledger, or there never was."""


class Stale(Exception):
    """What the visitor saw is not so any more; nothing was done."""


class Misread(Exception):
    """The form, or the address, says something that cannot be understood."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to a page.

    Attributes:
        now: The minute, for views that would otherwise never be the same twice.
        exactly: The moment.
        path: The page's own address below the console's, as a link has it.
        kept: What this console remembers between requests, and no ledger does.
        version: Another word once anything was written to the ledger; read before all that a page shows.
    """

    ledger: Ledger
    visitor: Visitor
    now: datetime
    exactly: datetime
    path: str
    parts: Mapping[str, str]
    query: Mapping[str, str]
    kept: dict[str, Any]
    version: str = ""

    def part(self, name: str) -> str:
        """Return a name out of the page's address."""
        return named(self.parts[name])


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page shows.

    Attributes:
        data: Values by name: the template's, and those of the ``.json`` twin, which are therefore the same.
        extra: What the template needs besides to draw them.
        refresh: The query that the page asks itself with when it looks for news; ``None`` for its own.
    """

    template: str
    title: str
    data: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    refresh: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes:
        path: Below the console's address, as a route.
        title: In the navigation; empty for pages that others lead to.
        key: Pressed after ``g``, it leads there; empty for none.
        is_recorded: All that it shows is on record, or moves by the minute: without a write there is no news.
            What is not is read anew at each look of a browser.
    """

    name: str
    path: str
    build: Callable[[Asked], Awaitable[Answer]]
    title: str = ""
    key: str = ""
    is_recorded: bool = True


@dataclass(frozen=True, slots=True)
class Deed:
    """What a form wants done.

    Attributes:
        ledger: As the visitor: what is done bears their name.
    """

    asked: Asked
    ledger: Ledger
    form: Mapping[str, str]

    @property
    def by(self) -> str:
        """Who wants it."""
        return self.asked.visitor.id

    def told(self, name: str) -> str:
        """Return what a field says.

        Raises:
            Misread: It says nothing.
        """
        text = self.form.get(name, "").strip()
        if not text:
            raise Misread(f"Say {name}. Nothing was done.")
        return text


Doing: TypeAlias = "Callable[[Deed], Awaitable[str | Answer]]"
"""Does it through the ledger's public methods, and returns the address to go on at; or has done nothing, and
returns what it would come to."""


@dataclass(frozen=True, slots=True)
class Action:
    """What may be done on a page.

    Attributes:
        word: The last part of its address, after the page's own.
        roles: Who may.
    """

    page: Page
    word: str
    roles: frozenset[Role]
    do: Doing


@dataclass(frozen=True, slots=True)
class Site:
    """All pages and actions of a console, in the order of its navigation."""

    pages: Sequence[Page]
    actions: Sequence[Action]
