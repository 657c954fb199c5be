"""Whose account a proxy or a provider vouches for, and what the directory of people lets them do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal, TypeAlias

from holdfast._core.people import Directory
from holdfast.console.access import Role, Visitor
from holdfast.errors import InvalidTool

Unknown: TypeAlias = Literal["refused", "viewer"]


class Accounts:
    """The people of a directory, by the accounts that are theirs.

    A person is known by :attr:`Person.accounts`: ``{"oidc": "<issuer>|<sub>"}`` at an OpenID provider,
    ``{"proxy": "<name>"}`` behind a proxy. They are at the console under their id in the directory, so that
    what they decide is judged by their own roles and limits there.

    Args:
        people: The directory; the one that the ledger has.
        roles: What somebody is at the console by a role of theirs in the directory, e.g.
            ``{"finance": {Role.APPROVER}}``. Roles that are called as the console's are those, and whoever is
            known may read.
        unknown: Whoever the directory does not know is ``refused``, or a ``viewer`` under the vouched name.

    Raises:
        InvalidTool: There is no such word for the unknown.
    """

    def __init__(
        self,
        people: Directory,
        *,
        roles: Mapping[str, Iterable[Role]] | None = None,
        unknown: Unknown = "refused",
    ) -> None:
        if unknown not in {"refused", "viewer"}:
            raise InvalidTool(f"unknown={unknown!r}", "use 'refused' or 'viewer'")
        self._people = people
        self._roles = {name: frozenset(given) for name, given in (roles or {}).items()}
        self._unknown = unknown

    def visitor(self, channel: str, account: str, vouched: Visitor) -> Visitor | None:
        """Return who the owner of an account is here; ``None`` for nobody.

        Args:
            vouched: The same as who vouches has it: the name, when it was proved, and how.
        """
        person = self._people.of_account(channel, account)
        if person is not None:
            # Programs have no business at a console for people.
            named = replace(vouched, id=person.id, roles=self._roles_of(person.roles))
            return named if person.is_human else None
        # Nobody gets the name of a person by calling their account so.
        if self._unknown == "refused" or self._people.find(vouched.id) is not None:
            return None
        return replace(vouched, roles=frozenset({Role.VIEWER}))

    def _roles_of(self, roles: Iterable[str]) -> frozenset[Role]:
        found = {Role.VIEWER}
        for name in roles:
            found |= self._roles.get(name, frozenset())
            if name in set(Role):
                found.add(Role(name))
        return frozenset(found)
