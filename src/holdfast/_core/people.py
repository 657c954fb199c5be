"""Who people are, and what each of them may decide. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from holdfast._core.chain import Amount, StepUp
from holdfast.errors import InvalidTool

_NAME_LENGTH: Final = 512
_DAYS_14: Final = 14 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Whoever decides, as a channel has proved who it is.

    Attributes:
        id: Names one person, over all channels and accounts.
        roles: What the program vouches for; a ledger with a directory goes by that alone.
        limits: Up to which amount, in minor units by currency.
        is_human: Advice of a model or a service is never a decision.
        method: How they proved it: ``console``, ``slack``, ``webhook``, ``terminal``, ``code``, …
        at: When they did (aware); ``None`` when that is not known.
        mfa: With more than one factor.
        sees_all: Where they decide, the whole payload can be read.
    """

    id: str
    roles: frozenset[str] = frozenset()
    limits: Mapping[str, int] = field(default_factory=dict[str, int])
    is_human: bool = True
    method: str = "code"
    at: datetime | None = None
    mfa: bool = False
    sees_all: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", _name("id", self.id))
        object.__setattr__(self, "roles", frozenset(_names("roles", self.roles)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An entry of the directory.

    Attributes:
        accounts: By what channels know them, e.g. ``{"slack": "T0123/U0456", "oidc": "issuer|sub"}``.
        agents: Actors that are theirs: they never decide on what these ask.
        trained_until: After this they decide nothing (aware); ``None`` for no such rule.
    """

    id: str
    roles: frozenset[str] = frozenset()
    limits: Mapping[str, int] = field(default_factory=dict[str, int])
    accounts: Mapping[str, str] = field(default_factory=dict[str, str])
    agents: frozenset[str] = frozenset()
    is_human: bool = True
    trained_until: datetime | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", _name("id", self.id))
        object.__setattr__(self, "roles", frozenset(_names("roles", self.roles)))
        object.__setattr__(self, "agents", frozenset(_names("agents", self.agents)))
        object.__setattr__(self, "limits", _limits(self.limits))
        for channel, account in self.accounts.items():
            _name("account", channel)
            _name("account", account)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """Somebody decides in another's place, for a while.

    Nobody passes on what was passed on to them, and the smaller of both limits holds.

    Attributes:
        roles: Only in these; empty for all that the delegator has.
        since: From when on (aware).
        until: Until when (aware): at most 14 days after *since*.
    """

    frm: str
    to: str
    since: datetime
    until: datetime
    roles: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if _name("from", self.frm) == _name("to", self.to):
            raise InvalidTool(f"a delegation of {self.frm!r} to themselves", "name somebody else")
        length_s = (self.until - self.since).total_seconds()
        if not 0 < length_s <= _DAYS_14:
            raise InvalidTool("a delegation of no length, or of more than 14 days", "give it again later")
        object.__setattr__(self, "roles", frozenset(_names("roles", self.roles)))


class Directory:
    """The people who may be asked. What it does not know may decide nothing.

    Raises:
        InvalidTool: Two people have one id, or one account.
    """

    def __init__(self, people: Iterable[Person], delegations: Sequence[Delegation] = ()) -> None:
        self._people: dict[str, Person] = {}
        self._accounts: dict[tuple[str, str], str] = {}
        for person in people:
            if person.id in self._people:
                raise InvalidTool(f"two people are called {person.id!r}", "give each an id of their own")
            self._people[person.id] = person
            for place in person.accounts.items():
                if self._accounts.setdefault(place, person.id) != person.id:
                    raise InvalidTool(f"an account of {place[0]} is two people's", "let it be one person's")
        self._delegations = tuple(delegations)
        for given in self._delegations:
            if not {given.frm, given.to} <= self._people.keys():
                raise InvalidTool("a delegation of somebody unknown", "list both among the people")

    def find(self, person: str) -> Person | None:
        """Return the person of that id."""
        return self._people.get(person)

    def of_account(self, channel: str, account: str) -> Person | None:
        """Return whose account it is."""
        return self._people.get(self._accounts.get((channel, account), ""))

    def people(self) -> tuple[Person, ...]:
        """Return everybody, in the order of their ids."""
        return tuple(self._people[name] for name in sorted(self._people))

    def delegators(self, person: str, now: datetime) -> tuple[tuple[Person, Delegation], ...]:
        """Return in whose place somebody may decide at *now*."""
        return tuple(
            (self._people[given.frm], given)
            for given in self._delegations
            if given.to == person and given.since <= now < given.until
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """What somebody may use to decide: their own roles and limits, or another's whose place they take.

    Attributes:
        acts_for: Whose place they take; empty for their own.
        limits: ``None`` where nothing is known of any.
    """

    roles: frozenset[str]
    limits: Mapping[str, int]
    acts_for: str = ""

    def covers(self, amount: Amount | None) -> bool:
        """Whether a limit of theirs covers what is at stake."""
        if amount is None or amount.minor < 0:
            return False
        return amount.minor <= self.limits.get(amount.currency, -1)


def standings(
    principal: Principal, directory: Directory | None, now: datetime, handed: Sequence[str] = ()
) -> tuple[Standing, ...]:
    """Return in whose name *principal* may decide, their own first.

    Args:
        directory: Where roles and limits are looked up; without one the principal's own count.
        handed: By whom the question was handed over to them.
    """
    if directory is None:
        return (Standing(principal.roles, principal.limits),)
    person = directory.find(principal.id)
    if person is None or not is_fit(person, now):
        return ()
    found = [Standing(person.roles, person.limits)]
    for other, given in directory.delegators(person.id, now):
        if is_fit(other, now):
            roles = other.roles & given.roles if given.roles else other.roles
            found.append(Standing(roles, _least(person.limits, other.limits), other.id))
    for name in handed:
        other_person = directory.find(name)
        if other_person is not None and is_fit(other_person, now):
            limits = _least(person.limits, other_person.limits)
            found.append(Standing(other_person.roles, limits, other_person.id))
    return tuple(found)


def is_fit(person: Person, now: datetime) -> bool:
    """Whether somebody may decide anything at all."""
    return person.is_human and (person.trained_until is None or now < person.trained_until)


def proved(step_up: StepUp | None, principal: Principal, now: datetime) -> bool:
    """Whether *principal* signed in freshly and surely enough."""
    if step_up is None:
        return True
    if step_up.mfa and not principal.mfa:
        return False
    if step_up.max_age_s is None:
        return True
    return principal.at is not None and 0 <= (now - principal.at).total_seconds() <= step_up.max_age_s


def _least(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {currency: min(one[currency], other[currency]) for currency in one.keys() & other.keys()}


def _limits(given: Mapping[str, Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for currency, minor in given.items():
        amount = Amount(minor=minor, currency=currency)
        if amount.minor < 0:
            raise InvalidTool(f"a limit of {amount.minor} {amount.currency}", "give 0 or more")
        found[amount.currency] = amount.minor
    return found


def _names(what: str, given: Iterable[Any]) -> Iterable[str]:
    if isinstance(given, str):
        raise InvalidTool(f"{what} is text", "give a set of names")
    return [_name(what, name) for name in given]


def _name(what: str, given: Any) -> str:
    if not isinstance(given, str) or not given or not given.isprintable() or given != given.strip():
        raise InvalidTool(f"{what} {given!r:.80} names nobody", "give printable text without outer spaces")
    if len(given) > _NAME_LENGTH:
        raise InvalidTool(f"{what} is longer than {_NAME_LENGTH} characters", "give a shorter one")
    return given
