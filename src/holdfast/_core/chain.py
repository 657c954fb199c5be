"""Whom a call has to be asked of: the stages of an approval, in order, and what each of them needs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, TypeAlias, get_args

from holdfast.errors import InvalidTool

Risk: TypeAlias = Literal["low", "normal", "high"]
"""How much harm a wrong decision does: it chooses how a question may be answered, never whether."""

DAY_S: Final = 86_400.0
RISKS: Final[tuple[Risk, ...]] = get_args(Risk)
"""From the least to the most."""

_MOST_STAGES: Final = 8
_MOST_REMINDERS: Final = 16
_LONGEST_S: Final = 366 * DAY_S


def _positive(name: str, given_s: Any) -> None:
    if not isinstance(given_s, int | float) or isinstance(given_s, bool) or not 0 < given_s <= _LONGEST_S:
        raise InvalidTool(f"{name} of {given_s!r} s", "give seconds, more than 0 and at most a year")


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """What is at stake, in the smallest unit of its currency.

    Attributes:
        minor: Whole cents, yen, …; never a float.
        currency: Its code in lower case, e.g. ``eur``.
    """

    minor: int
    currency: str

    def __post_init__(self) -> None:
        minor: Any = self.minor
        if not isinstance(minor, int) or isinstance(minor, bool):
            raise InvalidTool(f"an amount of type {type(minor).__name__}", "give whole minor units")
        currency: Any = self.currency
        if not isinstance(currency, str) or not currency.isascii() or not currency.isalpha():
            raise InvalidTool("an amount without a currency", "name it, e.g. 'eur'")
        object.__setattr__(self, "currency", currency.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUp:
    """How freshly, and how surely, whoever decides must have proved who they are.

    Attributes:
        mfa: By more than one factor.
        max_age_s: At most so many seconds before; ``None`` for any time.
    """

    mfa: bool = False
    max_age_s: float | None = None

    def __post_init__(self) -> None:
        if self.max_age_s is not None:
            _positive("max_age", self.max_age_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of a chain.

    Attributes:
        role: Who may decide: who has this role; everybody known when empty.
        quorum: So many distinct people have to approve. One denial ends it.
        limited: Only those whose own limit covers what is at stake. Whoever has none in that
            currency does not decide.
        timeout_s: After so many seconds without a decision the answer is no.
        remind_s: Reminders, so many seconds after the stage began.
        escalate: After *escalate_s* this role may decide as well; nobody's right is taken away by it.
        escalate_s: ``None`` when it is not escalated.
        step_up: How whoever decides must have signed in; ``None`` for anyhow.
    """

    role: str = ""
    quorum: int = 1
    limited: bool = False
    timeout_s: float = 7 * DAY_S
    remind_s: tuple[float, ...] = ()
    escalate: str = ""
    escalate_s: float | None = None
    step_up: StepUp | None = None

    def __post_init__(self) -> None:
        quorum: Any = self.quorum
        if not isinstance(quorum, int) or isinstance(quorum, bool) or not 1 <= quorum <= 100:  # noqa: PLR2004
            raise InvalidTool(f"a stage with quorum={quorum!r}", "give a whole number from 1 to 100")
        _positive("timeout", self.timeout_s)
        if len(self.remind_s) > _MOST_REMINDERS:
            raise InvalidTool(f"a stage with {len(self.remind_s)} reminders", f"at most {_MOST_REMINDERS}")
        for after_s in self.remind_s:
            _positive("remind", after_s)
        if bool(self.escalate) is not (self.escalate_s is not None):
            raise InvalidTool(
                "a stage that says half of its escalation", "give escalate and escalate_s, or neither"
            )
        if self.escalate_s is not None:
            _positive("escalate_s", self.escalate_s)
        if max((*self.remind_s, self.escalate_s or 0.0)) >= self.timeout_s:
            raise InvalidTool("a stage that reminds or escalates after its timeout", "let it happen earlier")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Who has to approve a call, in which order.

    Whoever asked, the agent and the person on whose behalf it acts, never decides; nor does *apart*.

    Attributes:
        name: For people.
        stages: At least one; each begins when the one before has its quorum.
        valid_s: So long an approval waits for the call to be made. It is used once, or never.
        apart: Further people who must not decide, by their ids.
        risk: High: no decision from where the whole payload cannot be read, nor without a second look.
    """

    name: str = "approval"
    stages: tuple[Stage, ...] = field(default=(Stage(),))
    valid_s: float = DAY_S
    apart: tuple[str, ...] = ()
    risk: Risk = "normal"

    def __post_init__(self) -> None:
        if not self.stages or len(self.stages) > _MOST_STAGES:
            what = f"a chain of {len(self.stages)} stages"
            raise InvalidTool(what, f"give 1 to {_MOST_STAGES}: what nobody is asked about nobody approved")
        _positive("valid_s", self.valid_s)
        if self.risk not in RISKS:
            raise InvalidTool(f"a chain of risk {self.risk!r}", f"use one of {', '.join(RISKS)}")

    @property
    def version(self) -> str:
        """SHA-256 (hex) of all that it says: an approval given under another one is none."""
        return hashlib.sha256(chain_text(self).encode()).hexdigest()


ANYBODY: Final = Chain()
"""One decision by anybody who is known and did not ask: what ``requires_approval=True`` means."""


def chain_text(chain: Chain) -> str:
    """Return *chain* as JSON, the same text for equal chains."""
    return json.dumps(asdict(chain), sort_keys=True, separators=(",", ":"))


def read_chain(told: dict[str, Any]) -> Chain:
    """Return the chain that :func:`chain_text` told of."""
    known: dict[str, Any] = {**told, "apart": tuple(told["apart"])}
    known["stages"] = tuple(_read_stage(stage) for stage in told["stages"])
    return Chain(**known)


def _read_stage(told: dict[str, Any]) -> Stage:
    step_up: dict[str, Any] | None = told["step_up"]
    known: dict[str, Any] = {**told, "remind_s": tuple(told["remind_s"])}
    known["step_up"] = None if step_up is None else StepUp(**step_up)
    return Stage(**known)
