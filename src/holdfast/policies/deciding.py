"""Decisions on calls. Whatever is missing, of another type, unknown or odd is denied: nothing falls through.

All rules about a tool are asked, in no order that matters: deny wins over approve, approve over allow, and
what no rule allows is denied. So a rule can be added anywhere without being hidden by another one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from holdfast._core.chain import Amount, Chain, Stage
from holdfast.errors import InvalidPolicy
from holdfast.policies.asking import joined
from holdfast.policies.cel import Expression, Undecided
from holdfast.policies.checking import Refuser, check
from holdfast.policies.compiling import ToolPolicy, compiled
from holdfast.policies.model import Approve, Band, PolicySet, Rule
from holdfast.policies.sampling import is_sampled
from holdfast.ports import Allow, Ask, Deny, Facts, Verdict, Window

log: Final = logging.getLogger("holdfast.policies")
_LEAST_SECRET: Final = 16
_INT64: Final = range(-(2**63), 2**63)
_TEXTS: Final = ("actor", "environment", "tenant", "tool", "workflow_id")


class _Denied(Exception):
    """A call is denied, by which rule and why; never a value of the call."""

    def __init__(self, rule: str, reason: str, *, is_default: bool = False) -> None:
        super().__init__(rule, reason)
        self.rule = rule
        self.reason = reason
        self.is_default = is_default


class Policies:
    """Rules as code: a :class:`holdfast.ports.Policy`.

    Args:
        policy: What they say.
        tools: Handlers, declared tools or pydantic models by tool name, to check the rules against; ``None``
            when the policy itself declares its tools.
        secret: Keeps agents from knowing which calls are sampled: at least 16 random bytes, the same for
            all workers. Needed when anything is sampled.
        where: What errors call it.

    Attributes:
        policy: What they say.
        version: SHA-256 (hex) of what they say; in every verdict.

    Raises:
        InvalidPolicy: Anything in it is unknown, contradictory or of another type. It decides nothing.
    """

    def __init__(
        self, policy: PolicySet, *, tools: Any = None, secret: bytes | None = None, where: str = "policy"
    ) -> None:
        if secret is not None and len(secret) < _LEAST_SECRET:
            what = f"the secret has fewer than {_LEAST_SECRET} bytes"
            raise InvalidPolicy(where, "sample", what, "make one with secrets.token_bytes(32)")
        refuse = Refuser(where, policy.places)
        check(policy, refuse, has_secret=secret is not None)
        self._tools: Mapping[str, ToolPolicy] = compiled(policy, tools, refuse)
        self._secret = secret
        self.policy = policy
        self.version = policy.version

    @property
    def tools(self) -> tuple[str, ...]:
        """The tools that a rule is about; calls of all others are denied."""
        return tuple(sorted(self._tools))

    def needs(self, facts: Facts) -> Sequence[Window]:
        """Return what has to be counted before this call can be decided on."""
        tool = self._tools.get(facts.tool)
        if tool is None:
            return ()
        return tuple(
            Window(
                name=name,
                tool=count.tool,
                over_s=float(count.over_s),
                sum_of=count.sum or None,
                by=tuple(count.by),
                actor=facts.actor if count.per == "actor" else None,
                workflow_id=facts.workflow_id if count.per == "workflow" else None,
            )
            for name, count in tool.windows
        )

    def decide(self, facts: Facts) -> Verdict:
        """Return whether the call may go ahead."""
        try:
            return self._decided(facts)
        except _Denied as denied:
            return Deny(denied.reason, denied.rule, self.version, denied.is_default)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody said yes
            log.error("no decision on a call of %.80r: %s", facts.tool, type(error).__name__)  # noqa: TRY400
            return Deny(f"no decision could be made ({type(error).__name__})", "", self.version)

    def asked(self, facts: Facts) -> tuple[str, ...]:
        """Return the ids of the rules that count for this call; empty also when it cannot be told."""
        tool = self._tools.get(facts.tool)
        if tool is None:
            return ()
        try:
            given = tool.expressions.given(_values(tool, facts))
            return tuple(rule.id for rule in _counting(tool, given))
        except _Denied:
            return ()

    def _decided(self, facts: Facts) -> Verdict:
        tool = self._tools.get(facts.tool)
        if tool is None:
            raise _Denied("", "no rule is about a tool of this name", is_default=True)
        is_granted = tool.agents is None or facts.actor in tool.agents
        if not is_granted and facts.undoes is None:  # whoever is to undo something was granted that by others
            raise _Denied("agents", "this agent may not use this tool")
        given = tool.expressions.given(_values(tool, facts))
        counting = _counting(tool, given)
        amount = _amount(tool, given)
        for rule in counting:
            if rule.then == "deny":
                raise _Denied(rule.id, rule.reason or f"rule {rule.id} denies it")
        asking = [
            (rule.id, rule.then.chain, rule.reason) for rule in counting if isinstance(rule.then, Approve)
        ]
        is_allowed = any(
            rule.then == "allow" or (isinstance(rule.then, Approve) and rule.then.allows) for rule in counting
        )
        # What undoes goes ahead without a rule: then a rule that merely adds people has them asked.
        if not is_allowed and not (facts.undoes is not None and asking):
            raise _Denied("", "no rule allows it", is_default=True)
        asking += _unsure(tool, facts.confidence)
        if asking:
            chain = self._chain(tool, {chain for _, chain, _ in asking}, facts, given)
            ids = ", ".join(rule for rule, _, _ in asking)
            told = "; ".join(dict.fromkeys(reason for _, _, reason in asking if reason))
            return Ask(told or f"{ids}: asks {chain.name}", ids, self.version, chain, amount)
        sampled = self._secret is not None and is_sampled(self._secret, facts.key, tool.rate)
        ids = ", ".join(rule.id for rule in counting)
        told = "; ".join(dict.fromkeys(rule.reason for rule in counting if rule.reason))
        owner = self._owner(facts)
        return Allow(told, ids, self.version, sampled, apart=(owner,) if owner else ())

    def _chain(self, tool: ToolPolicy, wanted: set[str], facts: Facts, given: Any) -> Chain:
        """Return one chain with all stages that apply of all chains that are wanted."""
        stages: list[Stage] = []
        for name in sorted(wanted):
            stages += [stage for stage, when in tool.chains[name] if _answer(when, given, f"chain {name}")]
        chain = joined(wanted, self.policy.chains, stages, self._owner(facts))
        if chain is None:
            raise _Denied(f"chain {'+'.join(sorted(wanted))}", "no stage of the chain applies to this call")
        return chain

    def _owner(self, facts: Facts) -> str:
        agent = self.policy.agents.get(facts.actor)
        return "" if agent is None else agent.owner


def _counting(tool: ToolPolicy, given: Any) -> list[Rule]:
    """Return the rules that are true of a call.

    Raises:
        _Denied: One has no answer; whichever it is, the others do not count without it.
    """
    rules = tool.rules
    found = tool.conditions.ask(given, lambda n: _answer(rules[n][1], given, rules[n][0].id))
    return [rules[n][0] for n in found]


def _answer(when: Expression, given: Any, rule: str) -> bool:
    try:
        return when.ask(given) is True
    except Undecided as error:
        raise _Denied(rule, f"its condition has no answer for this call ({error})") from error


def _values(tool: ToolPolicy, facts: Facts) -> dict[str, Any]:
    """Return everything that expressions may name.

    Raises:
        _Denied: Something is missing, or of another type.
    """
    args: Mapping[str, Any] = facts.args
    if facts.undoes is not None and "args.undoes" not in tool.shape.arguments:
        args = {}  # it gets the effect itself; its argument is the library's own
    values, wrong = tool.shape.values(args, tool.wanted)
    if wrong:
        raise _Denied(_touching(tool, wrong.partition(" ")[0]), wrong)
    values |= {name: value for name, value in _known(facts).items() if name in tool.facts}
    for name, _ in tool.windows:
        counted = facts.windows.get(name)
        if type(counted) is not int or counted not in _INT64:
            raise _Denied(f"window {name}", "it was not counted")
        values[f"window.{name}"] = counted
    return values


def _known(facts: Facts) -> dict[str, Any]:
    """Return what is known of a call besides its arguments, each of its type, asked for or not."""
    values: dict[str, Any] = {name: _text(name, getattr(facts, name)) for name in _TEXTS}
    contract = facts.contract
    values["intent"] = _text("intent", contract.intent or facts.tool)
    values["safety"] = _text("safety", str(contract.safety))
    values["reversal"] = _text("reversal", contract.reversal)
    values["inferred"] = [_text("inferred", name) for name in facts.inferred]
    values["undoes"] = _text("undoes", facts.undoes or "")
    values["confidence"] = _sure(facts.confidence)
    now: Any = facts.now
    if not isinstance(now, datetime) or now.tzinfo is None:
        raise _Denied("now", "nobody knows what time it is")
    values["now"] = now.astimezone(UTC)
    return values


def _touching(tool: ToolPolicy, name: str) -> str:
    """Return the rules whose conditions name an argument, for the record."""
    found = [rule.id for rule, _ in tool.rules if name in rule.when]
    return ", ".join(found) or "arguments"


def _text(name: str, value: Any) -> str:
    if type(value) is not str:
        raise _Denied(name, f"{name} is no text")
    return value


def _sure(confidence: Any) -> float:
    """Return how sure the agent is, 0 when it does not say."""
    if confidence is None:
        return 0.0
    if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 <= confidence <= 1:
        raise _Denied("confidence", "confidence is no number from 0 to 1")
    return float(confidence)


def _unsure(tool: ToolPolicy, confidence: float | None) -> list[tuple[str, str, str]]:
    """Return whom to ask because the agent is not sure enough.

    Raises:
        _Denied: It is so unsure that nobody is asked.
    """
    asking: list[tuple[str, str, str]] = []
    for name, band in tool.bands:
        rule = f"confidence {name}"
        if _is_rejected(band, confidence):
            raise _Denied(rule, "the agent is too unsure of this call")
        if band.review_below is not None and (confidence is None or confidence < band.review_below):
            told = (
                "the agent does not say how sure it is" if confidence is None else "the agent is unsure of it"
            )
            asking.append((rule, band.approve, told))
    return asking


def _is_rejected(band: Band, confidence: float | None) -> bool:
    if band.reject_below is None:
        return False
    if confidence is None:  # unsure: a person decides where one may, else nobody does
        return band.review_below is None
    return confidence < band.reject_below


def _amount(tool: ToolPolicy, given: Any) -> Amount | None:
    """Return what is at stake.

    Raises:
        _Denied: It cannot be told, or no limit could cover it.
    """
    if tool.amount is None or tool.currency is None:
        return None
    try:
        minor = tool.amount.ask(given)
        currency = tool.currency if isinstance(tool.currency, str) else tool.currency.ask(given)
    except Undecided as error:
        raise _Denied("amount", f"what is at stake cannot be told ({error})") from error
    if minor < 0:
        raise _Denied("amount", "what is at stake is negative, which no limit covers")
    if len(currency) != 3 or not (currency.isascii() and currency.isalpha()):  # noqa: PLR2004
        raise _Denied("amount", "its currency is no code of three letters")
    return Amount(minor=minor, currency=currency)
