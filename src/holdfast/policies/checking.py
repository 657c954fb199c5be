"""Checks of what a policy says that need no tool: names, numbers, what refers to what."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from holdfast._core.chain import Chain, Stage
from holdfast.errors import InvalidPolicy, InvalidTool
from holdfast.policies.model import Approve, Band, ChainRules, Count, PolicySet, Rule, Sample, staged
from holdfast.policies.sections import plain

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_MOST_RULES: Final = 1_000
_LONGEST_S: Final = 366 * 86_400.0
_LONGEST_REASON: Final = 500
MOST_STAGES: Final = 8


class Refuser:
    """Says where in a policy something is wrong."""

    def __init__(self, where: str, places: Mapping[str, str]) -> None:
        self._where = where
        self._places = places

    def __call__(self, part: str, what: str, fix: str) -> InvalidPolicy:
        return InvalidPolicy(self._places.get(part, self._where), part, what, fix)


def check(policy: PolicySet, refuse: Refuser, *, has_secret: bool) -> None:
    """Refuse a policy that contradicts itself, or would let through what nobody meant.

    Raises:
        InvalidPolicy: The first thing that is wrong.
    """
    for part, what, fix in _wrong(policy, has_secret=has_secret):
        raise refuse(part, what, fix)


def check_chains(policy: PolicySet, refuse: Refuser) -> None:
    """Refuse chains that nobody could keep, of a policy whose rules are written elsewhere.

    Raises:
        InvalidPolicy: The first thing that is wrong.
    """
    for name, chain in policy.chains.items():
        for part, what, fix in _chain(f"chain {name}", name, chain, policy):
            raise refuse(part, what, fix)


Wrong = Iterator[tuple[str, str, str]]


def _wrong(policy: PolicySet, *, has_secret: bool) -> Wrong:
    yield from _rules(policy)
    for name, chain in policy.chains.items():
        yield from _chain(f"chain {name}", name, chain, policy)
    for name, agent in policy.agents.items():
        if not name or not agent.tools or isinstance(agent.tools, str):
            yield f"agent {name}", "it has no list of tools", "name at least one, or drop the agent"
    for name, count in policy.windows.items():
        yield from _window(f"window {name}", name, count)
    for name, band in policy.confidence.items():
        yield from _band(f"confidence {name}", band, policy)
    yield from _samples(policy.samples, has_secret=has_secret)


def _rules(policy: PolicySet) -> Wrong:
    if not policy.rules:
        yield "", "it has no rules", "write some: what no rule allows is denied"
    if len(policy.rules) > _MOST_RULES:
        yield "", f"it has more than {_MOST_RULES} rules", "use patterns for tools, or conditions"
    for name, times in Counter(plain(str(rule.id)) for rule in policy.rules).items():
        if times > 1:
            yield f"rule {name}", "there are two rules of this id", "give each its own"
    for rule in policy.rules:
        yield from _rule(rule, policy)


def _rule(rule: Any, policy: PolicySet) -> Wrong:
    part = f"rule {plain(str(getattr(rule, 'id', '')))}"
    id_: Any = getattr(rule, "id", None)
    if not isinstance(rule, Rule) or not isinstance(id_, str) or not _ID.fullmatch(id_):
        yield part, "its id is no id", "use up to 64 letters, digits, '-', '_' and '.'"
    then: Any = rule.then
    if isinstance(then, Approve):
        if then.chain not in policy.chains:
            yield part, f"there is no chain {str(then.chain)[:80]!r}", _known("chains", policy.chains)
    elif then not in {"allow", "deny"}:
        yield part, "then is none of allow, deny, Approve(...)", "say one of the three"
    when: Any = rule.when
    if not isinstance(when, str) or not when.strip():
        yield part, "its condition is no text", "write an expression, or leave it out"
    reason: Any = rule.reason
    if not isinstance(reason, str) or len(reason) > _LONGEST_REASON:
        yield part, f"its reason is no text of up to {_LONGEST_REASON} characters", "shorten it"


def _chain(part: str, name: str, chain: ChainRules, policy: PolicySet) -> Wrong:
    stages = [staged(one) for one in chain.stages]
    if not _ID.fullmatch(name):
        yield part[:80], "its name is no name", "use up to 64 letters, digits, '-', '_' and '.'"
    if not stages:
        yield part, "it has no stages", "say who has to approve: nobody's approval is none"
    try:
        Chain(
            name=name,
            stages=tuple(one.stage for one in stages),
            valid_s=chain.valid_s,
            apart=tuple(chain.apart),
            risk=chain.risk,
        )
    except InvalidTool as error:
        yield part, error.what, error.fix
    for one in stages:
        stage: Any = one.stage
        condition: Any = one.when
        if not isinstance(stage, Stage) or not isinstance(condition, str):
            yield part, "a stage is no stage", "give Stage or ChainStage"
        for role in (stage.role, stage.escalate):
            if role and policy.roles is not None and role not in policy.roles:
                yield part, f"there is no role {role!r}", _known("roles", policy.roles)


def _window(part: str, name: str, count: Count) -> Wrong:
    over_s: Any = count.over_s
    if not _WORD.fullmatch(name):
        yield part[:80], "its name is no word", "use letters, digits and '_': expressions say window.NAME"
    if not isinstance(over_s, int | float) or isinstance(over_s, bool) or not 0 < over_s <= _LONGEST_S:
        yield part, "it does not say over how long", "give more than 0 and at most a year, e.g. over: 24h"
    if count.per not in {"everybody", "actor", "workflow"}:
        yield part, "per is none of everybody, actor, workflow", "say one of the three"


def _band(part: str, band: Band, policy: PolicySet) -> Wrong:
    edges = [edge for edge in (band.reject_below, band.review_below) if edge is not None]
    for edge in edges:
        number: Any = edge
        if not isinstance(number, int | float) or isinstance(number, bool) or not 0 <= number <= 1:
            yield part, "an edge is no number from 0 to 1", "say e.g. review_below: 0.7"
            return
    if not edges or edges != sorted(edges):
        yield part, "reject_below is above review_below, or both are missing", "reject less than is reviewed"
    if (band.review_below is None) is not (band.approve == ""):
        yield part, "it says half of who reviews", "give review_below and approve, or neither"
    if band.approve and band.approve not in policy.chains:
        yield part, f"there is no chain {band.approve[:80]!r}", _known("chains", policy.chains)


def _samples(samples: Any, *, has_secret: bool) -> Wrong:
    for sample in samples:
        rate: Any = sample.rate
        is_share = isinstance(rate, int | float) and not isinstance(rate, bool) and 0 <= rate <= 1
        if not isinstance(sample, Sample) or not is_share:
            yield "sample", "rate is no share from 0 to 1", "say it like 5% or 0.05"
    if samples and not has_secret:
        fix = "load it with secret=..., at least 16 random bytes, the same for all workers"
        yield "sample", "nothing keeps agents from knowing which calls are looked at", fix


def _known(what: str, names: Any) -> str:
    return f"the {what} are: {', '.join(sorted(names)[:10])}" if names else f"there are no {what}: add it"
