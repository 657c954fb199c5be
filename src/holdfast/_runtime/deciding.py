"""Stage 3: rules say whether a call may go ahead, must not, or is for people to decide. In doubt: not."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, NoReturn

from holdfast._core.chain import ANYBODY, RISKS, Chain
from holdfast._core.change import PlainOutcome
from holdfast._core.identity import canonical
from holdfast._core.model import JSON, EffectKey, Record
from holdfast._core.plan import plan_insert
from holdfast._core.redact import HIDDEN
from holdfast._core.states import Event, Safety, State
from holdfast._runtime.parts import Parts, Work
from holdfast._runtime.record import commit_patiently
from holdfast.errors import InvalidTool, PolicyDenied
from holdfast.ports import Allow, Ask, Deny, Facts, Query, Verdict, Window

_DENIED: Final = b"holdfast-denied/1\0"
_NOT_DONE: Final = frozenset({State.DENIED, State.CANCELLED, State.FAILED, State.RETRYABLE})
_MOST_COUNTED: Final = 10_000
_WORDS_LENGTH: Final = 2000
_UNDOING: Final = "undo"
TOO_MUCH: Final = 2**62
"""No limit is as wide."""


async def decide(parts: Parts, work: Work) -> Work:
    """Return *work* with what the rules say of it now.

    Where they say no, what was done is answered from the record all the same (I7), and nothing else: who
    claims looks there first. A read has no such answer: to look again is to do it again.

    Raises:
        PolicyDenied: They say no to a read. That is on record; nothing ran.
    """
    if parts.policy is not None:  # between attempts, and while people think, rules and the time go on
        work = replace(work, facts=replace(work.facts, now=parts.runtime.now()))
    verdict = await verdict_on(parts, work.facts)
    if isinstance(verdict, Deny) and work.contract.safety is Safety.READ:
        await refuse(parts, work, verdict)
    return work if verdict == work.verdict else replace(work, verdict=verdict)


async def refuse(parts: Parts, work: Work, verdict: Deny) -> NoReturn:
    """Put on record that rules say no.

    Raises:
        PolicyDenied: Always.
    """
    parts.tracer.noted("holdfast.denied", traced(work, rule=verdict.rule, policy=verdict.policy))
    if parts.policy is not None:
        await _put_on_record(parts, work, verdict)
    raise PolicyDenied(work.facts.tool, verdict.reason)


async def counted_again(parts: Parts, work: Work) -> Verdict:
    """Return what rules that count say now that the call's own claim is on record, for others to count.

    Of calls that are made at once each is within a limit, and all may not be: they see each other now.
    """
    if parts.policy is None or not isinstance(work.verdict, Allow):
        return work.verdict
    try:
        wanted = parts.policy.needs(work.facts)
    except Exception as error:  # noqa: BLE001 - fail closed
        return Deny(f"the policy failed ({type(error).__qualname__})")
    return await verdict_on(parts, work.facts) if wanted else work.verdict


async def verdict_on(parts: Parts, facts: Facts) -> Verdict:
    """Return what the ledger's policy and the tool's own contract say of a call."""
    said = declared(facts)
    if parts.policy is None:
        return said
    ruled = await ruled_on(parts, facts)
    if isinstance(ruled, Deny) and ruled.is_default and facts.undoes is not None:
        ruled = Allow("no rule forbids to undo what is on record", _UNDOING, ruled.policy)
    return stricter(ruled, said)


async def ruled_on(parts: Parts, facts: Facts) -> Verdict:
    """Return what the ledger's policy says, and no where it says nothing that can be understood."""
    policy = parts.policy
    if policy is None:
        return Allow()
    try:
        wanted = policy.needs(facts)
    except Exception as error:  # noqa: BLE001 - fail closed: a rule that cannot be evaluated allows nothing
        return Deny(f"the policy failed ({type(error).__qualname__})")
    if wanted:
        counted = {window.name: await _counted(parts, facts, window) for window in wanted}
        facts = replace(facts, windows=counted)
    try:
        verdict: Any = policy.decide(facts)
    except Exception as error:  # noqa: BLE001 - the same
        return Deny(f"the policy failed ({type(error).__qualname__})")
    if not isinstance(verdict, Allow | Ask | Deny):
        return Deny(f"the policy said {type(verdict).__name__}, which is no verdict")
    return verdict


def stricter(one: Verdict, other: Verdict) -> Verdict:
    """Return the stricter of two verdicts; of two that ask, one that asks all.

    *one* is the policy's: what else has people asked binds them to its version, and leaves out whom it does.
    """
    for verdict in (one, other):
        if isinstance(verdict, Deny):
            return verdict
    if not isinstance(other, Ask):
        return one
    if isinstance(one, Allow):
        apart = tuple(dict.fromkeys((*other.chain.apart, *one.apart)))
        chain = replace(other.chain, apart=apart) if one.apart else other.chain
        return replace(other, chain=chain, policy=other.policy or one.policy)
    if not isinstance(one, Ask) or other.chain in (one.chain, ANYBODY):
        return one
    stages = (*one.chain.stages, *other.chain.stages)
    apart = tuple(dict.fromkeys((*one.chain.apart, *other.chain.apart)))
    risk = RISKS[max(RISKS.index(one.chain.risk), RISKS.index(other.chain.risk))]
    valid_s = min(one.chain.valid_s, other.chain.valid_s)
    name = f"{one.chain.name}, {other.chain.name}"
    try:
        chain = Chain(name=name, stages=stages, valid_s=valid_s, apart=apart, risk=risk)
    except InvalidTool:  # nobody is left out for being one too many
        return Deny(f"its rules and its tool want {len(stages)} stages together", one.rule, one.policy)
    return replace(
        one, chain=chain, reason=f"{one.reason}; {other.reason}", amount=one.amount or other.amount
    )


def declared(facts: Facts) -> Verdict:
    """Return what the tool's own contract says: ask when ``requires_approval`` is true, or cannot tell."""
    rule = facts.contract.requires_approval
    if rule is False:
        return _ALLOWED
    try:
        answer: object = rule(facts.call) if callable(rule) else rule
    except Exception as error:  # noqa: BLE001 - fail closed: who cannot be asked whether to ask is not believed
        return Ask(f"the approval rule failed ({type(error).__qualname__})")
    if inspect.iscoroutine(answer):
        answer.close()  # a rule that has to be waited for cannot be asked: a person is
    if isinstance(answer, Allow | Ask | Deny):
        return answer
    if isinstance(answer, Chain):
        return Ask("the tool requires approval", chain=answer)
    # A rule that forgot to answer is no rule that lets pass.
    return _ALLOWED if answer is False else Ask("the tool requires approval")


_ALLOWED: Final = Allow()


async def _counted(parts: Parts, facts: Facts, window: Window) -> int:
    """Count the calls that were made before, or what they come to. What is not known to be undone counts."""
    since = facts.now - timedelta(seconds=window.over_s)
    query = Query(
        tenant=facts.tenant,
        tool=window.tool,
        workflow_id=window.workflow_id,
        since=since,
        limit=_MOST_COUNTED,
    )
    total = 0
    records = await parts.store.effects(query)
    if len(records) == _MOST_COUNTED:
        return TOO_MUCH  # more than anybody looks through
    for record in records:
        if record.key == facts.key or (record.state in _NOT_DONE and not record.uncertain):
            continue
        if window.actor is not None and record.actor != window.actor:
            continue
        total += _weight(parts, facts, window, record)
    return total


def _weight(parts: Parts, facts: Facts, window: Window, record: Record) -> int:
    args: Any = json.loads(parts.opened(record.tenant, record.key, record.args, "args"))
    for name in window.by:
        told = args.get(name)
        # What guards have hidden on record may be this call's as well as any other's: it counts.
        if HIDDEN not in _text(told) and _text(told) != _text(facts.args.get(name)):
            return 0
    if window.sum_of is None:
        return 1
    return added(args.get(window.sum_of))


def added(amount: object) -> int:
    """Return what an argument that is on record adds to a sum."""
    if isinstance(amount, float) and amount.is_integer():
        amount = int(amount)
    if not isinstance(amount, int) or isinstance(amount, bool):
        return TOO_MUCH  # what cannot be added up makes no room for more
    return max(amount, 0)  # nor does what goes the other way


def _text(value: JSON) -> str:
    return canonical(value)


async def _put_on_record(parts: Parts, work: Work, verdict: Deny) -> None:
    """Keep that the rules said no, under a key of its own: under other rules the call may be made."""
    new = work.new
    text = json.dumps([new.key, verdict.policy, verdict.rule, verdict.reason])
    key = EffectKey("v1:" + hashlib.sha256(_DENIED + text.encode("utf-8", "surrogatepass")).hexdigest())
    said = {"type": "PolicyDenied", "message": verdict.reason[:_WORDS_LENGTH]}
    change, _ = plan_insert(
        replace(new, key=key),
        Event.DENY,
        parts.stamp(work.tenant, key, work.actor),
        outcome=PlainOutcome(error=json.dumps(said), error_type="PolicyDenied"),
        details={"verdict": told_of(verdict), "of": new.key},
    )
    until = parts.runtime.monotonic() + parts.settings.store_patience_s
    await commit_patiently(parts, change, until=until)  # a conflict: it is on record already


def traced(work: Work, **more: str) -> dict[str, str]:
    """Return what a trace tells of a call that people or rules decide on; never its arguments."""
    told = {
        "holdfast.key": work.key,
        "holdfast.workflow_id": work.new.workflow_id,
        "gen_ai.tool.name": work.new.tool,
        "gen_ai.tool.call.id": work.new.call_id or "",
        **{f"holdfast.{name}": value for name, value in more.items()},
    }
    return {name: value for name, value in told.items() if value}


def told_of(verdict: Verdict) -> Mapping[str, Any]:
    """Return what an audit entry says of a verdict."""
    kind = {Allow: "allow", Ask: "ask", Deny: "deny"}[type(verdict)]
    told = {
        "is": kind,
        "rule": verdict.rule,
        "policy": verdict.policy,
        "reason": verdict.reason[:_WORDS_LENGTH],
    }
    if isinstance(verdict, Allow) and verdict.sampled:
        told["sampled"] = "yes"
    return told
