"""What a policy says: the same values whether it is written in Python or in YAML."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, TypeAlias

from holdfast._core.canonical import canonical
from holdfast._core.chain import DAY_S, Risk, Stage

FORMAT: Final = 1
Per: TypeAlias = Literal["everybody", "actor", "workflow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approve:
    """What a rule says when people have to decide.

    Attributes:
        chain: The name of the chain that says who.
        allows: With their approval the call goes ahead. Else the rule only adds to what others ask: a call
            that none of them would let go ahead is denied all the same.
    """

    chain: str
    allows: bool = True


Then: TypeAlias = Literal["allow", "deny"] | Approve


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. All rules that fit a call count, in no order: deny before approve before allow.

    Attributes:
        id: Its name, in each verdict that it has a part in.
        tool: Which tools' calls it is about: names, or patterns with ``*``.
        when: An expression in CEL; the rule counts for calls of which it is true.
        then: What follows.
        reason: For the model and for the record; never a value.
    """

    id: str
    tool: str | Sequence[str]
    when: str = "true"
    then: Then
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainStage:
    """One stage of a chain.

    Attributes:
        when: The stage is part of the chain only for calls of which this is true.
    """

    stage: Stage
    when: str = "true"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainRules:
    """Whom to ask; see :class:`holdfast._core.chain.Chain`."""

    stages: Sequence[ChainStage | Stage]
    valid_s: float = DAY_S
    apart: Sequence[str] = ()
    risk: Risk = "normal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """What one actor may do at most, whatever the rules say.

    Attributes:
        tools: Names, or patterns with ``*``.
        owner: Who answers for it: never decides about its calls. Empty when nobody is named.
    """

    tools: Sequence[str]
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """How sure an agent has to be of itself. One that does not say how sure it is counts as unsure.

    Attributes:
        review_below: Below that, people decide.
        reject_below: Below that, the answer is no.
        approve: The chain of those who decide.
    """

    review_below: float | None = None
    reject_below: float | None = None
    approve: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRules:
    """What the policy knows of a tool.

    Attributes:
        args: Types by argument, e.g. ``{"amount": "int"}``; ``None`` when the tool's own signature says it.
        optional: Values of the arguments that a call may leave out.
        is_open: It takes arguments beyond these; no rule sees them.
        amount: An expression: what is at stake, in the smallest unit of its currency.
        currency: An expression, or a code of three letters.
    """

    args: Mapping[str, str] | None = None
    optional: Mapping[str, Any] = field(default_factory=dict[str, Any])
    is_open: bool = False
    amount: str = ""
    currency: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Something to be counted of earlier calls: ``window.NAME`` in expressions.

    Attributes:
        tool: Of which tool's calls.
        over_s: How far it looks back.
        sum: The integer argument to add up; empty counts the calls.
        by: Only of calls whose arguments of these names are this call's.
        per: Only of this actor's, or this workflow's, calls.
    """

    tool: str
    over_s: float
    sum: str = ""
    by: Sequence[str] = ()
    per: Per = "everybody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A share of the calls that were allowed, for people to look at afterwards.

    Attributes:
        rate: From 0 to 1. Of several that fit a tool the largest holds.
    """

    rate: float
    tool: str = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySet:
    """Everything that a policy says.

    Attributes:
        roles: The roles that there are; when given, a chain must name no other.
        tests: Calls and what is expected of them; no part of the meaning.
        places: Where each part stands, for errors; no part of the meaning.
    """

    rules: Sequence[Rule]
    chains: Mapping[str, ChainRules] = field(default_factory=dict[str, ChainRules])
    agents: Mapping[str, Agent] = field(default_factory=dict[str, Agent])
    tools: Mapping[str, ToolRules] = field(default_factory=dict[str, ToolRules])
    windows: Mapping[str, Count] = field(default_factory=dict[str, Count])
    confidence: Mapping[str, Band] = field(default_factory=dict[str, Band])
    samples: Sequence[Sample] = ()
    roles: Sequence[str] | None = None
    tests: Sequence[Mapping[str, Any]] = field(default=(), compare=False)
    places: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)

    @property
    def version(self) -> str:
        """SHA-256 (hex) of what it says: the same for the same rules, however they are written or ordered."""
        rules = [{**_plain(rule), "tool": sorted(set(names(rule.tool)))} for rule in self.rules]
        told: dict[str, Any] = {
            "format": FORMAT,
            "rules": sorted(rules, key=lambda rule: str(rule["id"])),
            "chains": {name: _chain(chain) for name, chain in self.chains.items()},
            "agents": {
                name: {"tools": sorted(set(agent.tools)), "owner": agent.owner}
                for name, agent in self.agents.items()
            },
            "tools": {name: _plain(tool) for name, tool in self.tools.items()},
            "windows": {
                name: {**_plain(count), "over_s": float(count.over_s), "by": sorted(count.by)}
                for name, count in self.windows.items()
            },
            "confidence": {name: _plain(band) for name, band in self.confidence.items()},
            "samples": sorted([_plain(sample) for sample in self.samples], key=canonical),
            "roles": None if self.roles is None else sorted(set(self.roles)),
        }
        return hashlib.sha256(b"holdfast-policy\0" + canonical(told).encode()).hexdigest()


def names(tool: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names and patterns of a rule."""
    return (tool,) if isinstance(tool, str) else tuple(tool)


def staged(given: ChainStage | Stage) -> ChainStage:
    """Return a stage with its condition."""
    return given if isinstance(given, ChainStage) else ChainStage(stage=given)


def _chain(chain: ChainRules) -> dict[str, Any]:
    stages: list[dict[str, Any]] = []
    for given in chain.stages:
        one = staged(given)
        told = _plain(one.stage)
        told["timeout_s"] = float(one.stage.timeout_s)
        told["remind_s"] = [float(after_s) for after_s in one.stage.remind_s]
        stages.append({"stage": told, "when": one.when.strip()})
    return {
        "stages": stages,
        "valid_s": float(chain.valid_s),
        "apart": sorted(set(chain.apart)),
        "risk": chain.risk,
    }


def _plain(value: Any) -> dict[str, Any]:
    return {
        name: item.strip() if name in {"when", "amount", "currency"} and isinstance(item, str) else item
        for name, item in asdict(value).items()
    }
