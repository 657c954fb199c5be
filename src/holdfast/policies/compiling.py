"""From what a policy says to what can be asked, tool by tool; nothing is left to find out by a call."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from holdfast._core.chain import Stage
from holdfast.policies.cel import Conditions, Expression, Expressions, Misspelt, Wanted, facts_in, touched
from holdfast.policies.checking import MOST_STAGES, Refuser
from holdfast.policies.model import Approve, Band, Count, PolicySet, Rule, ToolRules, names, staged
from holdfast.policies.patterns import among, is_name, named
from holdfast.policies.shapes import MISSING, Argument, ToolShape, read_type
from holdfast.policies.signatures import shape_of_tool

_CODE: Final = re.compile("[A-Za-z]{3}")
_SEGMENTS: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
_ARGS: Final = "args."
_WINDOW: Final = "window."


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPolicy:
    """Everything that is asked about one tool's calls.

    Attributes:
        wanted: The arguments that its expressions touch.
        facts: What else they touch.
        conditions: Those of the rules, by number.
        chains: Stages of the chains that its calls may need, with their conditions.
        currency: A code of three letters, or an expression; ``None`` when nothing is at stake.
        agents: Who may call it; ``None`` for anybody.
        rate: The share of its allowed calls that people look at.
    """

    shape: ToolShape
    expressions: Expressions
    wanted: frozenset[str]
    facts: frozenset[str]
    rules: tuple[tuple[Rule, Expression], ...]
    conditions: Conditions
    bands: tuple[tuple[str, Band], ...]
    windows: tuple[tuple[str, Count], ...]
    chains: Mapping[str, tuple[tuple[Stage, Expression], ...]]
    amount: Expression | None
    currency: Expression | str | None
    agents: frozenset[str] | None
    rate: float


def compiled(policy: PolicySet, tools: Any, refuse: Refuser) -> dict[str, ToolPolicy]:
    """Return the policy of each tool that a rule is about.

    Args:
        tools: The tools that there are, by name or as they were declared; ``None`` for those that the
            policy itself declares.

    Raises:
        InvalidPolicy: An expression, a name or a pattern means nothing.
    """
    shapes = _shapes(policy, tools, refuse)
    _check_patterns(policy, shapes, refuse)
    _check_windows(policy, shapes, refuse)
    return {
        name: _Compiling(policy, name, shape, refuse).done()
        for name, shape in shapes.items()
        if any(name in _about(rule, shapes) for rule in policy.rules)
    }


def _about(rule: Rule, tools: Iterable[str]) -> frozenset[str]:
    return frozenset[str]().union(*(among(pattern, tools) for pattern in names(rule.tool)))


def _shapes(policy: PolicySet, tools: Any, refuse: Refuser) -> dict[str, ToolShape]:
    if tools is None:
        found: dict[str, ToolShape] = {}
        for name, told in policy.tools.items():
            found[name] = _declared(f"tool {name}", told, None, refuse)
    else:
        found = {name: shape_of_tool(given) for name, given in named(tools).items()}
        for name, told in policy.tools.items():
            if name not in found:
                raise refuse(f"tool {name}", "there is no such tool", _known(found))
            found[name] = _declared(f"tool {name}", told, found[name], refuse)
    for name in found:
        if not is_name(name):
            what = f"the tool's name {ascii(name)[:80]} has characters that could be taken for others"
            raise refuse(f"tool {ascii(name)[1:-1][:80]}", what, "use visible ASCII without '*'")
    if not found:
        raise refuse("", "it knows no tools", "give tools=..., or declare them under tools:")
    return found


def _declared(part: str, told: ToolRules, code: ToolShape | None, refuse: Refuser) -> ToolShape:
    """Return a tool's shape as the policy declares it; what its code says as well must be the same."""
    if told.args is None:
        if code is None:
            raise refuse(part, "nothing says which arguments it has", "give args, or load with tools=...")
        return code
    found: dict[str, Argument] = {}
    declared: Mapping[str, Any] = told.args
    for name, kind in declared.items():
        known = read_type(kind) if isinstance(kind, str) else None
        if known is None or not _SEGMENTS.fullmatch(name):
            fix = "use int, float, bool, string, list(...), map(...), int or null ..."
            raise refuse(part, f"the argument {name[:80]!r} has no type", fix)
        default = told.optional.get(name, MISSING)
        if default is not MISSING and known.misfit(default):
            raise refuse(part, f"what stands for {name!r} is not of its type", "give one that is")
        found[f"{_ARGS}{name}"] = Argument(tuple(name.split(".")), known, "", default)
    strange = told.optional.keys() - told.args.keys()
    if strange:
        raise refuse(part, f"{min(strange)!r} is optional, but no argument", "declare it under args")
    if code is None:
        return ToolShape(found, told.is_open)
    return _agreed(part, found, code, refuse)


def _agreed(part: str, told: dict[str, Argument], code: ToolShape, refuse: Refuser) -> ToolShape:
    joined = dict(code.arguments)
    for name, argument in told.items():
        known = joined.get(name)
        if known is None and not code.is_open:
            raise refuse(part, f"its code takes no {name}", "drop it, or mend the code")
        if known is not None and known.type is not None and replace(known.type, among=()) != argument.type:
            what = f"{name} is {argument.type}, and {known.type} in its code"
            raise refuse(part, what, "say the same, or leave it out here")
        if known is not None and known.default != argument.default:
            what = f"{name} has another default in its code"
            raise refuse(part, what, "say the same under optional")
        if known is None or known.type is None:
            joined[name] = argument
    return replace(code, arguments=joined)


def _check_patterns(policy: PolicySet, tools: Mapping[str, Any], refuse: Refuser) -> None:
    given = [(f"rule {rule.id}", pattern) for rule in policy.rules for pattern in names(rule.tool)]
    given += [(f"agent {name}", one) for name, agent in policy.agents.items() for one in agent.tools]
    given += [(f"confidence {pattern}", pattern) for pattern in policy.confidence]
    given += [("sample", sample.tool) for sample in policy.samples]
    given += [(f"rule {rule.id}", "") for rule in policy.rules if not names(rule.tool)]
    for part, pattern in given:
        if not among(pattern, tools):
            raise refuse(part, f"no tool is meant by {ascii(pattern)[:80]}", _known(tools))


def _check_windows(policy: PolicySet, tools: Mapping[str, ToolShape], refuse: Refuser) -> None:
    for name, count in policy.windows.items():
        part = f"window {name}"
        if count.tool not in tools:
            raise refuse(part, f"there is no tool {ascii(count.tool)[:80]}", _known(tools))
        arguments = tools[count.tool].arguments
        for one in (*([count.sum] if count.sum else []), *count.by):
            argument = arguments.get(f"{_ARGS}{one}")
            if argument is None or len(argument.path) > 1 or argument.type is None:
                raise refuse(part, f"{count.tool} has no argument {one[:80]!r}", "name one that it has")
            if argument.default is not MISSING:
                # What a call leaves out is not on record, and would count for nothing.
                what = f"calls of {count.tool} may leave out {one!r}, and it would not be counted"
                raise refuse(part, what, "count by arguments that each call brings")
        summed = arguments.get(f"{_ARGS}{count.sum}")
        if summed is not None and (
            summed.type is None or (summed.type.kind, summed.type.many) != ("int", "one")
        ):
            raise refuse(part, f"{count.sum!r} is no int", "add up whole numbers, e.g. cents")


def _known(tools: Iterable[str]) -> str:
    listed = sorted(ascii(name)[1:-1] for name in tools)
    return f"the tools are: {', '.join(listed[:10])}{', ...' if len(listed) > 10 else ''}"  # noqa: PLR2004


class _Compiling:
    """What a policy says of one tool, on its way to being asked."""

    def __init__(self, policy: PolicySet, name: str, shape: ToolShape, refuse: Refuser) -> None:
        self._policy = policy
        self._name = name
        self._shape = shape
        self._refuse = refuse
        types = {arg: one.type for arg, one in shape.arguments.items() if one.type is not None}
        self._expressions = Expressions(types, frozenset(policy.windows))
        self._touched: set[str] = set()
        self._facts: set[str] = set()

    def done(self) -> ToolPolicy:
        policy, told = self._policy, self._policy.tools.get(self._name, ToolRules())
        rules = sorted(
            (rule for rule in policy.rules if self._is_meant(names(rule.tool))), key=lambda rule: rule.id
        )
        asked = [(rule, self._compile(f"rule {rule.id}", rule.when, "bool")) for rule in rules]
        bands = [(one, band) for one, band in sorted(policy.confidence.items()) if self._is_meant([one])]
        amount, currency = self._stake(told)
        wanted_chains = {rule.then.chain for rule in rules if isinstance(rule.then, Approve)}
        wanted_chains |= {band.approve for _, band in bands if band.approve}
        chains = {name: self._chain(name, has_amount=amount is not None) for name in sorted(wanted_chains)}
        if sum(map(len, chains.values())) > MOST_STAGES:
            what = f"the chains of {self._name} have more than {MOST_STAGES} stages together"
            raise self._refuse("", what, "a call may need all of them at once: use fewer")
        windows = [name for name in policy.windows if f"{_WINDOW}{name}" in self._touched]
        self._check_by(windows)
        # By another type of value a call would be counted apart, and each of them for little.
        counting = [policy.windows[name] for name in windows]
        counting += [count for count in policy.windows.values() if count.tool == self._name]
        self._touched |= {f"{_ARGS}{one}" for count in counting for one in count.by}
        self._touched |= {f"{_ARGS}{one.sum}" for one in counting if one.sum and one.tool == self._name}
        return ToolPolicy(
            shape=self._shape,
            expressions=self._expressions,
            wanted=frozenset(self._touched & self._shape.arguments.keys()),
            facts=frozenset(self._facts),
            rules=tuple(asked),
            conditions=self._expressions.together([rule.when for rule in rules]),
            bands=tuple(bands),
            windows=tuple((name, policy.windows[name]) for name in sorted(windows)),
            chains=chains,
            amount=amount,
            currency=currency,
            agents=self._agents(),
            rate=max((one.rate for one in policy.samples if self._is_meant([one.tool])), default=0.0),
        )

    def _is_meant(self, patterns: Iterable[str]) -> bool:
        return any(among(pattern, [self._name]) for pattern in patterns)

    def _agents(self) -> frozenset[str] | None:
        agents = self._policy.agents
        if not agents:
            return None
        return frozenset(actor for actor, agent in agents.items() if self._is_meant(agent.tools))

    def _stake(self, told: ToolRules) -> tuple[Expression | None, Expression | str | None]:
        part = f"tool {self._name}"
        if bool(told.amount) is not bool(told.currency):
            raise self._refuse(part, "it has an amount without a currency, or the reverse", "give both")
        if not told.amount:
            return None, None
        amount = self._compile(part, told.amount, "int")
        currency = told.currency.strip()
        is_code = _CODE.fullmatch(currency) is not None
        return amount, currency.lower() if is_code else self._compile(part, currency, "string")

    def _chain(self, name: str, *, has_amount: bool) -> tuple[tuple[Stage, Expression], ...]:
        part = f"chain {name}"
        found: list[tuple[Stage, Expression]] = []
        for given in self._policy.chains[name].stages:
            one = staged(given)
            if one.stage.limited and not has_amount:
                what = f"a stage has limits, and nothing says what is at stake in {self._name}"
                raise self._refuse(part, what, "give the tool an amount and a currency")
            found.append((one.stage, self._compile(part, one.when, "bool")))
        return tuple(found)

    def _compile(self, part: str, text: str, wanted: Wanted) -> Expression:
        try:
            expression = self._expressions.compile(text, wanted)
        except Misspelt as error:
            what, fix = self._explained(text, error)
            raise self._refuse(part, f"{what} (for {self._name})", fix) from error
        self._facts |= facts_in(text)
        for name in touched(text):  # `args.note.contains` touches `args.note`
            parts = name.split(".")
            self._touched |= {".".join(parts[:n]) for n in range(2, len(parts) + 1)}
        return expression

    def _explained(self, text: str, why: Misspelt) -> tuple[str, str]:
        """Return what is wrong with an expression, and for arguments how to mend it."""
        for name in sorted(touched(text)):
            if not name.startswith(_ARGS):
                continue
            parts = name.split(".")
            prefixes = [".".join(parts[:n]) for n in range(2, len(parts) + 1)]
            known = [self._shape.arguments[one] for one in prefixes if one in self._shape.arguments]
            if not known:
                there = [one for one, argument in sorted(self._shape.arguments.items()) if argument.type]
                return f"{name} is no argument", f"there are: {', '.join(there[:10]) or 'none'}"
            if known[-1].type is None:
                return f"{name} {known[-1].why_not}", "declare its type, or use an argument of its own"
        if "on_behalf_of" in str(why):
            return "on_behalf_of is the agent's word", "name who must not decide: owner, or apart in a chain"
        return str(why), why.fix

    def _check_by(self, windows: Iterable[str]) -> None:
        for name in windows:
            for one in self._policy.windows[name].by:
                argument = self._shape.arguments.get(f"{_ARGS}{one}")
                if argument is None or argument.default is not MISSING or argument.type is None:
                    what = f"calls of {self._name} need not have the argument {one!r}, or it has no type"
                    raise self._refuse(f"window {name}", what, "count by what both tools' calls bring")
