"""What people want of a budget's cap, and whether it is for them to say. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, get_args

from holdfast._core.budget import EVERYBODY, MOST, Level, Per
from holdfast._core.budgeting import AGENT, COUNTS, GLOBAL, SCOPE, TENANT, WORKFLOW
from holdfast._core.model import JSON
from holdfast._core.money import Money
from holdfast._core.people import Directory, Principal, standings
from holdfast.errors import InvalidCall, InvalidPrice

BUDGETS: Final = "budgets"
"""Who has this role in the directory may change caps."""

_EACH: Final = (AGENT, WORKFLOW, SCOPE)
_NOTHING: Final = "nothing changed"


@dataclass(frozen=True, slots=True)
class CapWish:
    """What somebody wants of a cap.

    Attributes:
        adds: So much more than now, or less; money in micro-units.
        to: So much in all; exactly one of both is given.
    """

    account: str
    unit: str
    per: Per
    adds: int | None
    to: int | None
    reason: str

    def owner(self, tenant: str) -> str:
        """Return whose budget it is, of those that a tenant falls under."""
        return EVERYBODY if self.account == GLOBAL else tenant

    @property
    def facts(self) -> dict[str, JSON]:
        """The wish, for the record."""
        told: Mapping[str, int | None] = {"add": self.adds, "to": self.to}
        amounts: dict[str, JSON] = {name: amount for name, amount in told.items() if amount is not None}
        where: dict[str, JSON] = {"account": self.account, "unit": self.unit, "per": self.per}
        return {**where, **amounts, "reason": self.reason}

    def raised(self, level: Level) -> int:
        """Return what people will have added in all after this.

        Raises:
            InvalidCall: The cap would be below nothing, or beyond all measure.
        """
        declared = level.cap - level.raised
        raised = level.raised + (self.adds or 0) if self.to is None else self.to - declared
        if not 0 <= declared + raised <= MOST or abs(raised) > MOST:
            what = f"the cap of {self.account}/{self.unit} would be {declared + raised}"
            raise InvalidCall(what, f"it is {level.cap}: leave it at 0 to {MOST}; {_NOTHING}")
        return raised


def cap_wish(account: Any, unit: Any, per: Any, add: Any, to: Any, reason: Any) -> CapWish:
    """Read what somebody wants.

    Raises:
        InvalidCall: It cannot be understood.
    """
    known = isinstance(account, str) and account.isprintable()
    if not known or not (account in {GLOBAL, TENANT} or any(account.startswith(each) for each in _EACH)):
        fix = "use 'global', 'tenant', 'agent:<id>', 'workflow:<id>' or 'scope:<name>'"
        raise InvalidCall(f"a budget of {ascii(account)[:80]}", f"{fix}; {_NOTHING}")
    if per not in get_args(Per):
        what = f"per={ascii(per)[:40]} is no window"
        raise InvalidCall(what, f"use one of {', '.join(map(repr, get_args(Per)))}; {_NOTHING}")
    if not isinstance(reason, str) or not reason.strip() or not reason.isprintable():
        raise InvalidCall("reason= is no printable text", f"say why; {_NOTHING}")
    if (add is None) is (to is None):
        raise InvalidCall("one of add= and to= is needed, and only one", f"say how much; {_NOTHING}")
    adds = None if add is None else _amount("add", unit, add)
    wanted = None if to is None else _amount("to", unit, to)
    return CapWish(account, unit, per, adds, wanted, reason[:2000])


def _amount(name: str, unit: Any, given: Any) -> int:
    if unit in COUNTS:
        if not isinstance(given, int) or isinstance(given, bool) or abs(given) > MOST:
            raise InvalidCall(f"{name}={ascii(given)[:40]} is no number of {unit}", f"give one; {_NOTHING}")
        return given
    code = unit.upper() if isinstance(unit, str) and unit == unit.lower() else ""
    try:
        return Money.parse(given, code).micros
    except InvalidPrice as error:
        what = f"{name}={ascii(given)[:40]} is no amount of {ascii(unit)[:40]}"
        units = f"{', '.join(sorted(COUNTS))}, or a currency's code in small letters"
        raise InvalidCall(what, f'units are {units}: unit="usd", {name}="5.00"; {_NOTHING}') from error


def why_not_theirs(wish: CapWish, who: Principal, directory: Directory | None, now: datetime) -> str:
    """Say why *who* may not change that cap; empty when they may.

    With a directory only its people may who have the role :data:`BUDGETS`, or act for one who has it; without
    one, whoever has the ledger in hand. Nobody changes what they, or an agent of theirs, may spend.
    """
    if not who.is_human:
        return "a program's word is no person's"
    person = None if directory is None else directory.find(who.id)
    own = {who.id} if person is None else {who.id, *person.agents, *person.accounts.values()}
    if wish.account in {f"{AGENT}{name}" for name in own}:
        return f"it is what {who.id}, or an agent of theirs, may spend, and nobody changes their own"
    if directory is None:
        return ""
    if not any(BUDGETS in standing.roles for standing in standings(who, directory, now)):
        return f"{who.id} is nobody who may change caps"
    return ""
