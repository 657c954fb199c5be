"""What a policy says of calls that nobody makes: a table of examples, and calls that are on record."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from holdfast._core.contract import Contract
from holdfast._core.model import EffectKey, Fingerprint, ToolCall
from holdfast._core.states import Safety
from holdfast._runtime.deciding import added, declared, stricter
from holdfast.errors import InvalidPolicy
from holdfast.policies.deciding import Policies
from holdfast.policies.kinds import is_mapping
from holdfast.ports import Allow, Ask, Facts, Verdict, Window

_CALL: Final = frozenset(
    {
        *("tool", "args", "actor", "tenant", "workflow_id", "confidence", "inferred", "environment", "now"),
        *("windows", "safety", "reversal", "intent", "key", "undoes"),
    }
)
_TEST: Final = frozenset({"name", "call", "expect", "rule", "chain", "why"})
_NOON: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)


def word(verdict: Verdict) -> str:
    """Return ``allow``, ``ask`` or ``deny``."""
    return "allow" if isinstance(verdict, Allow) else "ask" if isinstance(verdict, Ask) else "deny"


def ruled(policies: Policies, facts: Facts) -> Verdict:
    """Return what a ledger with these rules decides: what a tool itself declares comes on top of them."""
    verdict = stricter(policies.decide(facts), declared(facts))
    if isinstance(verdict, Ask) and not verdict.rule:
        return replace(verdict, rule="requires_approval", policy=policies.version)
    return verdict


def facts_of(call: Mapping[str, Any], *, where: str = "call", contract: Contract | None = None) -> Facts:
    """Return the facts of a call that is written down.

    Raises:
        InvalidPolicy: It cannot be understood.
    """
    strange = sorted(set(call) - _CALL)
    if strange:
        what, fix = f"{strange[0][:80]!r} means nothing in a call", f"use {', '.join(sorted(_CALL))}"
        raise InvalidPolicy(where, "", what, fix)
    tool, args = call.get("tool"), call.get("args", {})
    if not isinstance(tool, str) or not is_mapping(args):
        raise InvalidPolicy(where, "", "a call without tool and args", 'say {"tool": "...", "args": {...}}')
    told, moment = _declared_in(call, contract or Contract(), where)
    workflow_id = call.get("workflow_id", "workflow")
    return Facts(
        tenant=call.get("tenant", "default"),
        actor=call.get("actor", "agent"),
        workflow_id=workflow_id,
        tool=tool,
        key=EffectKey(call.get("key", "v1:" + "0" * 64)),
        fingerprint=Fingerprint("0" * 64),
        args=args,
        call=ToolCall(workflow_id=workflow_id, tool=tool, args=args),
        contract=told,
        confidence=call.get("confidence"),
        inferred=tuple(call.get("inferred", ())),
        environment=call.get("environment", "production"),
        now=moment,
        windows=call.get("windows", {}),
        undoes=EffectKey(call["undoes"]) if call.get("undoes") else None,
    )


def _declared_in(call: Mapping[str, Any], known: Contract, where: str) -> tuple[Contract, datetime]:
    now = call.get("now", _NOON)
    try:
        told = replace(
            known,
            safety=Safety(call.get("safety", known.safety)),
            reversal=call.get("reversal", known.reversal),
            intent=call.get("intent", known.intent),
        )
        return told, datetime.fromisoformat(now) if isinstance(now, str) else now
    except (ValueError, TypeError) as error:
        raise InvalidPolicy(where, "", f"the call cannot be read: {error}", "mend it") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One example and what the policy says of it.

    Attributes:
        wrong: What is not as expected; empty when all is.
    """

    name: str
    expected: str
    verdict: Verdict
    wrong: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """All examples of a policy.

    Attributes:
        never: Rules that counted for none of them.
    """

    tried: tuple[Tried, ...]
    never: tuple[str, ...]


def try_tests(policies: Policies, contracts: Mapping[str, Contract] | None = None) -> Trial:
    """Ask a policy about the examples that it brings along.

    Raises:
        InvalidPolicy: One cannot be understood.
    """
    tried: list[Tried] = []
    counted: set[str] = set()
    for number, test in enumerate(policies.policy.tests, 1):
        where = f"test {number}"
        strange = sorted(set(test) - _TEST)
        call = test.get("call")
        if strange or not is_mapping(call) or test.get("expect") not in {"allow", "ask", "deny"}:
            fix = (
                "say {call: {tool: ..., args: ...}, expect: allow | ask | deny}; rule, chain, why may follow"
            )
            raise InvalidPolicy(where, "", "it cannot be understood", fix)
        facts = facts_of(call, where=where, contract=(contracts or {}).get(str(call.get("tool"))))
        verdict = ruled(policies, facts)
        counted.update(policies.asked(facts))
        name = str(test.get("name", f"{number}: {facts.tool}"))
        wrong = _wrong(test, verdict) or _idle(test, verdict, policies)
        tried.append(Tried(name=name, expected=str(test["expect"]), verdict=verdict, wrong=wrong))
    never = [rule.id for rule in policies.policy.rules if rule.id not in counted]
    return Trial(tried=tuple(tried), never=tuple(sorted(never)))


def _wrong(test: Mapping[str, Any], verdict: Verdict) -> str:
    found = word(verdict)
    if found != test["expect"]:
        return f"it is {found}: {verdict.reason or verdict.rule}"
    rules = verdict.rule.split(", ")
    if "rule" in test and test["rule"] not in rules:
        return f"it is decided by {verdict.rule or 'no rule'}, not by {test['rule']}"
    chain = verdict.chain.name if isinstance(verdict, Ask) else ""
    if "chain" in test and chain != test["chain"]:
        return f"it asks {chain or 'nobody'}, not {test['chain']}"
    if "why" in test and str(test["why"]).lower() not in verdict.reason.lower():
        return f"it is because {verdict.reason!r}"
    return ""


def _idle(test: Mapping[str, Any], verdict: Verdict, policies: Policies) -> str:
    """Say why a test would pass whatever the rules say; empty when it would not."""
    if "why" in test and not str(test["why"]).strip():
        return "an empty why fits any reason: say a part of it"
    if test["expect"] != "deny" or "why" in test or "rule" in test:
        return ""
    if test["call"]["tool"] not in policies.tools:
        return "it is denied because no rule is about the tool, whatever they say: say so by why"
    if verdict.rule.startswith("window "):
        return "it is denied because its call has no windows to count in: give them, or say so by why"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A call that is on record.

    Attributes:
        counts: It is not known not done.
    """

    facts: Facts
    counts: bool = True


@dataclass(slots=True)
class Past:
    """Calls that were made before, oldest first, to count what rules want counted."""

    _calls: dict[str, list[Recorded]] = field(default_factory=dict[str, list[Recorded]])

    def add(self, call: Recorded) -> None:
        """Note one that was made after all others."""
        self._calls.setdefault(call.facts.tool, []).append(call)

    def counted(self, facts: Facts, window: Window) -> int:
        """Return what *window* is just before *facts*."""
        earlier = self._calls.get(window.tool, [])
        start = bisect_left(
            earlier, facts.now - timedelta(seconds=window.over_s), key=lambda call: call.facts.now
        )
        total = 0
        for call in earlier[start:]:
            if call.counts and _belongs(call.facts, facts, window):
                total += added(call.facts.args.get(window.sum_of)) if window.sum_of else 1
        return total


def _belongs(earlier: Facts, facts: Facts, window: Window) -> bool:
    is_same = all(_same(earlier.args.get(name), facts.args.get(name)) for name in window.by)
    is_actor = window.actor is None or earlier.actor == window.actor
    return is_same and is_actor and (window.workflow_id is None or earlier.workflow_id == window.workflow_id)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def replayed(
    calls: Sequence[Recorded], policies: Iterable[Policies]
) -> Iterator[tuple[Facts, tuple[Verdict, ...]]]:
    """Ask several policies about calls that were made, oldest first, and count as they would have."""
    asked = tuple(policies)
    past = Past()
    for call in calls:
        verdicts: list[Verdict] = []
        for one in asked:
            counted = {window.name: past.counted(call.facts, window) for window in one.needs(call.facts)}
            verdicts.append(ruled(one, replace(call.facts, windows=counted)))
        yield call.facts, tuple(verdicts)
        past.add(call)
