"""Rules as they are loaded, and what they would say of a call that somebody thinks up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from datetime import datetime
from typing import Any, Final

from holdfast._core.contract import Contract
from holdfast._core.model import EffectKey, Fingerprint, ToolCall
from holdfast.console.plain import plain
from holdfast.ledger import Ledger
from holdfast.ports import Ask, Facts, Verdict

_NO_KEY: Final = EffectKey("v1:" + "0" * 64)


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One rule, as far as it tells of itself."""

    id: str
    tool: str
    when: str
    then: str
    reason: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """The policy that a ledger has.

    Attributes:
        kind: Its type; empty without any, and then only the tools' own contracts ask people.
        version: SHA-256 of what it says; empty when it does not tell.
        rules: None when it does not tell of any: it may be a program.
        chains: Whom to ask, by name, as JSON.
    """

    kind: str
    version: str
    rules: tuple[RuleRow, ...]
    chains: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trial:
    """A call that somebody thinks up."""

    tool: str
    args: Mapping[str, Any]
    actor: str
    workflow_id: str
    confidence: float | None
    environment: str
    windows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Said:
    """What the rules say of a trial.

    Attributes:
        counted: What they counted of earlier calls: as given in the trial, else 0.
        chain: Who would be asked, as JSON; ``None`` when nobody would.
        is_asked_anyway: The tool's own contract asks people, or decides by each call.
    """

    verdict: str
    reason: str
    rule: str
    policy: str
    counted: Mapping[str, int]
    chain: Any
    is_asked_anyway: bool


def loaded(ledger: Ledger) -> Loaded:
    """Say which rules hold here."""
    policy: Any = _policy_of(ledger)
    if policy is None:
        return Loaded("", "", (), {})
    current: Any = getattr(policy, "current", policy)
    told: Any = getattr(current, "policy", current)
    rules: Any = getattr(told, "rules", ())
    chains: Any = getattr(told, "chains", {})
    return Loaded(
        kind=type(policy).__name__,
        version=str(getattr(policy, "version", "") or ""),
        rules=tuple(map(_row, _sequence(rules))),
        chains=plain(chains) if isinstance(chains, Mapping) else {},
    )


def _policy_of(ledger: Ledger) -> Any:
    return ledger._engine.parts.policy  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def _row(rule: Any) -> RuleRow:
    def of(name: str) -> str:
        return _words(getattr(rule, name, ""))

    return RuleRow(of("id"), of("tool"), of("when"), of("then"), of("reason"))


def _sequence(told: Any) -> Sequence[Any]:
    found: Sequence[Any] = told if isinstance(told, Sequence) else ()  # pyright: ignore[reportUnknownVariableType]
    return found


def _words(told: Any) -> str:
    if isinstance(told, str):
        return told
    chain: Any = getattr(told, "chain", None)
    if is_dataclass(told) and isinstance(chain, str):
        return f"ask {chain}" if getattr(told, "allows", True) else f"ask {chain} as well"
    return ", ".join(map(str, _sequence(told))) or str(told)


def simulate(ledger: Ledger, trial: Trial, now: datetime) -> Said | None:
    """Return what the rules say of a call; nothing is recorded, and nothing runs. ``None`` without rules."""
    policy: Any = _policy_of(ledger)
    if policy is None:
        return None
    contract = _contract_of(ledger, trial.tool)
    facts = Facts(
        tenant=ledger._engine.tenant,  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        actor=trial.actor,
        workflow_id=trial.workflow_id,
        tool=trial.tool,
        key=_NO_KEY,
        fingerprint=Fingerprint("0" * 64),
        args=trial.args,
        call=ToolCall(workflow_id=trial.workflow_id, tool=trial.tool, args=trial.args),
        contract=contract,
        confidence=trial.confidence,
        environment=trial.environment,
        now=now,
    )
    return _said(policy, facts, trial.windows)


def _said(policy: Any, facts: Facts, given: Mapping[str, int]) -> Said:
    asks_anyway = facts.contract.requires_approval is not False
    try:
        counted = {window.name: given.get(window.name, 0) for window in policy.needs(facts)}
        verdict: Verdict = policy.decide(replace(facts, windows=counted))
    except Exception as error:  # noqa: BLE001 - what cannot be evaluated denies: that is what is shown
        why = f"the policy failed ({type(error).__qualname__})"
        return Said("deny", why, "", "", {}, None, asks_anyway)
    return Said(
        verdict=type(verdict).__name__.lower(),
        reason=verdict.reason,
        rule=verdict.rule,
        policy=verdict.policy,
        counted=counted,
        chain=plain(verdict.chain) if isinstance(verdict, Ask) else None,
        is_asked_anyway=asks_anyway,
    )


def _contract_of(ledger: Ledger, tool: str) -> Contract:
    known = ledger._engine.shared.tools.get(tool)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return Contract() if known is None else known.contract
