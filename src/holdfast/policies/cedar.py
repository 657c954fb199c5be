"""Rules in Cedar, for those who have them already: the same port, the same checks, denied on any diagnostic.

Cedar by itself skips a policy that goes wrong, a forbid as well as a permit, and then decides without it.
Here each call is put to it with a schema that is made from the tools' own arguments, every policy is checked
against that schema when it is loaded, and only "Allow" without a single diagnostic is a yes.

A forbid whose ``@id`` is ``approval:CHAIN|why`` is lifted by people: it says ``unless
{ context.approved.contains("CHAIN") }``. When all forbids that hold a call back are of that kind, and the
call would go ahead without them, people are asked.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from holdfast._core.canonical import canonical
from holdfast._core.chain import Amount
from holdfast.errors import InvalidPolicy, MissingExtra
from holdfast.policies.asking import joined
from holdfast.policies.cedar_schema import context_of, schema_of, seen
from holdfast.policies.checking import Refuser, check_chains
from holdfast.policies.model import ChainRules, PolicySet, staged
from holdfast.policies.patterns import named
from holdfast.policies.sections import plain
from holdfast.policies.shapes import ArgType, ToolShape
from holdfast.policies.signatures import shape_of_tool
from holdfast.ports import Allow, Ask, Deny, Facts, Verdict, Window

log: Final = logging.getLogger("holdfast.policies")
_APPROVAL: Final = "approval:"
_MOST_CHARACTERS: Final = 256 * 1024


class CedarPolicies:
    """Rules in Cedar: a :class:`holdfast.ports.Policy`. Needs ``pip install 'holdfast[cedar]'``.

    The principal is ``Agent::"actor"``; a call of a tool is the action ``Action::"tool"`` on
    ``Tool::"tool"``, and its arguments are ``context.args``.

    Args:
        text: The policies; each has an ``@id`` of its own.
        tools: See :class:`holdfast.policies.Policies`.
        chains: By name; their stages have no conditions.
        stakes: By tool, the arguments that hold an amount and its currency (or a code of three letters).

    Attributes:
        schema: What the policies are checked against.
        version: SHA-256 (hex) of what they say.

    Raises:
        InvalidPolicy: They do not fit the schema, or a chain is unknown. They decide nothing.
        MissingExtra: cedarpy is not installed.
    """

    def __init__(
        self,
        text: str,
        *,
        tools: Any,
        chains: Mapping[str, ChainRules] | None = None,
        stakes: Mapping[str, tuple[str, str]] | None = None,
        where: str = "policy.cedar",
    ) -> None:
        self._cedar = _cedarpy()
        self._shapes = {name: shape_of_tool(given) for name, given in named(tools).items()}
        self._chains = dict(chains or {})
        self._stakes = dict(stakes or {})
        self.schema = schema_of(self._shapes, where)
        self._ids = self._checked(text, where)
        self._policies = self._cedar.PolicySet.from_str(text)
        self._schema = self._cedar.Schema.from_str(self.schema)
        self._entities = self._cedar.Entities.from_json_str("[]")
        self._check_chains(where)
        told = json.loads(self._cedar.policies_to_json_str(text))["staticPolicies"].values()
        said: dict[str, Any] = {
            "policies": sorted(told, key=lambda one: str(one["annotations"]["id"])),
            "chains": PolicySet(rules=(), chains=self._chains).version,
            "stakes": {name: list(pair) for name, pair in self._stakes.items()},
        }
        self.version = hashlib.sha256(b"holdfast-cedar\0" + canonical(said).encode()).hexdigest()

    def needs(self, facts: Facts) -> Sequence[Window]:
        """Return nothing: nothing is counted for these rules."""
        del facts
        return ()

    def decide(self, facts: Facts) -> Verdict:
        """Return whether the call may go ahead."""
        try:
            return self._decided(facts)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody said yes
            log.error("no decision on a call of %.80r: %s", facts.tool, type(error).__name__)  # noqa: TRY400
            return Deny(f"no decision could be made ({type(error).__name__})", "", self.version)

    def _decided(self, facts: Facts) -> Verdict:
        shape = self._shapes.get(facts.tool)
        if shape is None:
            return Deny("no tool of this name is declared", "", self.version, is_default=True)
        is_undo = facts.undoes is not None and "args.undoes" not in shape.arguments
        values, wrong = shape.values({} if is_undo else facts.args, seen(shape))
        if wrong:
            return Deny(wrong, "arguments", self.version)
        context = context_of(facts, values)
        is_allowed, rules, wrong = self._ask(facts, context)
        if wrong:
            return Deny(wrong, "", self.version)
        amount = self._amount(facts.tool, values)
        if is_allowed:
            return Allow("", ", ".join(rules), self.version)
        if not rules or not all(rule.startswith(_APPROVAL) for rule in rules):
            refusing = [rule for rule in rules if not rule.startswith(_APPROVAL)]
            told = f"policy {refusing[0]} forbids it" if refusing else "no policy permits it"
            return Deny(told, ", ".join(refusing), self.version, is_default=not refusing)
        return self._asked(facts, context, rules, amount)

    def _asked(
        self, facts: Facts, context: dict[str, Any], rules: list[str], amount: Amount | None
    ) -> Verdict:
        chains = [_chain_of(rule) for rule in rules]
        is_allowed, _, wrong = self._ask(facts, {**context, "approved": sorted(set(chains))})
        if wrong or not is_allowed:
            return Deny("it would not go ahead with an approval either", ", ".join(rules), self.version)
        stages = [staged(one).stage for name in sorted(set(chains)) for one in self._chains[name].stages]
        chain = joined(chains, self._chains, stages, "")
        if chain is None:
            return Deny("nobody could approve it", ", ".join(rules), self.version)
        told = "; ".join(dict.fromkeys(rule.partition("|")[2].strip() or rule for rule in rules))
        return Ask(told, ", ".join(rules), self.version, chain, amount)

    def _ask(self, facts: Facts, context: dict[str, Any]) -> tuple[bool, list[str], str]:
        """Return whether Cedar allows it, the ids of the policies that decided, and what went wrong."""
        request = {
            "principal": {"type": "Agent", "id": facts.actor},
            "action": {"type": "Action", "id": facts.tool},
            "resource": {"type": "Tool", "id": facts.tool},
            "context": context,
        }
        answer = self._cedar.is_authorized(request, self._policies, self._entities, self._schema)
        if answer.diagnostics.errors:
            return False, [], "a policy has no answer for this call"
        decision = answer.decision
        if decision not in {self._cedar.Decision.Allow, self._cedar.Decision.Deny}:
            return False, [], "there is no decision on this call"
        rules = sorted(self._ids[reason] for reason in answer.diagnostics.reasons)
        return decision is self._cedar.Decision.Allow and bool(rules), rules, ""

    def _amount(self, tool: str, values: Mapping[str, Any]) -> Amount | None:
        if tool not in self._stakes:
            return None
        name, currency = self._stakes[tool]
        minor = values[f"args.{name}"]
        if minor < 0:
            msg = "a negative amount, which no limit covers"
            raise ValueError(msg)
        return Amount(minor=minor, currency=values.get(f"args.{currency}", currency))

    def _checked(self, text: str, where: str) -> dict[str, str]:
        """Return the ``@id`` of each policy by Cedar's own name for it."""
        if not text.strip() or len(text) > _MOST_CHARACTERS:
            raise InvalidPolicy(
                where, "", "it is empty, or too long", "write policies: what none permits is denied"
            )
        try:
            told = json.loads(self._cedar.policies_to_json_str(text))
            found = self._cedar.validate_policies(text, self.schema)
        except ValueError as error:
            raise InvalidPolicy(where, "", f"it is no Cedar: {_one_line(error)}", "mend it") from error
        ids = {name: one.get("annotations", {}).get("id", "") for name, one in told["staticPolicies"].items()}
        if told.get("templates"):
            raise InvalidPolicy(where, "", "it has templates", "write policies without slots")
        if not found.validation_passed or found.errors:
            wrong = found.errors[0]
            part = f"policy {plain(ids.get(wrong.policy_id) or wrong.policy_id)}"
            raise InvalidPolicy(
                where, part, _one_line(wrong.error), "mend it, or see .schema for what there is"
            )
        seen: set[str] = set()
        for one in ids.values():
            if not one.strip() or one in seen:
                what = "a policy has no @id, or another one's"
                raise InvalidPolicy(where, plain(one), what, "give each its own")
            seen.add(one)
        return ids

    def _check_chains(self, where: str) -> None:
        told = PolicySet(rules=(), chains=self._chains)
        check_chains(told, Refuser(where, {}))
        for name, chain in self._chains.items():
            if any(staged(one).when.strip() != "true" for one in chain.stages):
                what = "a stage has a condition, which Cedar does not decide"
                raise InvalidPolicy(where, f"chain {name}", what, "give a chain, and a forbid, for each case")
        for one in self._ids.values():
            if one.startswith(_APPROVAL) and _chain_of(one) not in self._chains:
                raise InvalidPolicy(
                    where, f"policy {one[:80]}", "there is no such chain", "add it to chains="
                )
        for tool, (amount, currency) in self._stakes.items():
            known = self._shapes.get(tool, ToolShape()).arguments
            kinds = [known[f"args.{one}"].type for one in (amount, currency) if f"args.{one}" in known]
            is_code = len(currency) == 3 and currency.isascii() and currency.isalpha()  # noqa: PLR2004
            if kinds != ([ArgType("int")] if is_code else [ArgType("int"), ArgType("string")]):
                what = "they are no int and no string argument of it"
                raise InvalidPolicy(where, f"stakes of {plain(tool)}", what, "name an amount and a currency")


def _chain_of(rule: str) -> str:
    return rule.removeprefix(_APPROVAL).partition("|")[0].strip()


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:300]


def _cedarpy() -> Any:
    try:
        import cedarpy  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtra("cedar", "cedarpy") from error
    return cedarpy
