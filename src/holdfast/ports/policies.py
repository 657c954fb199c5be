"""What rules know of a call, and what they may say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal, Protocol, TypeAlias

from holdfast._core.chain import ANYBODY, Amount, Chain
from holdfast._core.contract import Contract
from holdfast._core.model import JSON, EffectKey, Fingerprint, ToolCall
from holdfast._core.needs import TOOL, Needs

_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Something to be counted of the calls that were made before, for a rule that asks for it.

    What is in doubt, waits or is under way counts; what is known not done does not.

    Attributes:
        name: Under which it is found in :attr:`Facts.windows`.
        tool: Of which tool's calls.
        over_s: How far it looks back, in seconds.
        sum_of: An integer argument to add up; ``None`` counts the calls.
        by: Only of calls whose arguments of these names are what this call's are.
        actor: Only of this actor's calls; ``None`` for everybody's.
        workflow_id: Only of this workflow's calls.
    """

    name: str
    tool: str
    over_s: float
    sum_of: str | None = None
    by: tuple[str, ...] = ()
    actor: str | None = None
    workflow_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What policies, guards and pricers may know of a call. ``args`` is plain JSON.

    Attributes:
        confidence: What the agent says of its own certainty, 0 to 1; ``None`` when it says nothing.
        inferred: Arguments that nobody told the agent: it made them out by itself.
        environment: Where this ledger works, e.g. ``production``.
        now: When it is asked (aware, UTC).
        windows: What was counted for the rules, by the name of its :class:`Window`.
        undoes: The effect on record that the call undoes, as ``compensate`` has it made; ``None`` for every
            call that is made for its own sake. No caller says this of its own call.
        needs: What one attempt of it may spend at most.
    """

    tenant: str
    actor: str
    workflow_id: str
    tool: str
    key: EffectKey
    fingerprint: Fingerprint
    args: Mapping[str, JSON]
    call: ToolCall
    contract: Contract
    confidence: float | None = None
    inferred: tuple[str, ...] = ()
    environment: str = "production"
    now: datetime = _NEVER
    windows: Mapping[str, int] = field(default_factory=dict[str, int])
    undoes: EffectKey | None = None
    needs: Needs = TOOL


@dataclass(frozen=True, slots=True)
class Allow:
    """Go ahead.

    Attributes:
        reason: Why, for the record.
        rule: The rule that said so; empty when none had to.
        policy: The version of the rules, SHA-256 (hex); empty when there are none.
        sampled: People look at it afterwards.
        apart: Who must not decide, should somebody else want people to: the agent's owner, for example.
    """

    reason: str = ""
    rule: str = ""
    policy: str = ""
    sampled: bool = False
    apart: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """A person has to decide; *chain* says who.

    Attributes:
        amount: What is at stake; ``None`` when nothing says so, and then no limit covers it.
    """

    reason: str
    rule: str = ""
    policy: str = ""
    chain: Chain = ANYBODY
    amount: Amount | None = None


@dataclass(frozen=True, slots=True)
class Deny:
    """Not allowed.

    Attributes:
        is_default: Nothing forbids it either: no rule is about it. What undoes an effect on record goes ahead
            all the same, for else it would stand for want of a rule.
    """

    reason: str
    rule: str = ""
    policy: str = ""
    is_default: bool = False


Verdict: TypeAlias = Allow | Ask | Deny
VerdictName: TypeAlias = Literal["allow", "ask", "deny"]


class Policy(Protocol):
    """Rules as code. Pure, no state; one that raises denies."""

    def needs(self, facts: Facts) -> Sequence[Window]:
        """Return what has to be counted before this call can be decided on."""
        ...

    def decide(self, facts: Facts) -> Verdict:
        """Return whether the call may go ahead."""
        ...
