"""Evidence for effects in doubt: signals from outside, the tool's own probe and reconciler, or a person."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from holdfast._core.change import Committed, PlainOutcome, Retrying, head_of
from holdfast._core.contract import Contract, Reconciler, evidence, name_outside
from holdfast._core.decide import on_evidence, used_up
from holdfast._core.identity import read_result
from holdfast._core.model import Done, EffectKey, Evidence, Record, StillUnknown
from holdfast._core.plan import plan_move
from holdfast._core.states import Event, Safety, State
from holdfast._runtime.heed import heed
from holdfast._runtime.parts import Parts, effect_of
from holdfast._runtime.proof import DONE, keep_done
from holdfast._runtime.record import commit_patiently
from holdfast._runtime.stops import HandlerTimeout
from holdfast.errors import (
    EffectNotFound,
    InvalidCall,
    InvalidTool,
    NotDone,
    NotResolvable,
    NotSerializable,
)
from holdfast.ports import Found, Signal

MAYBE_ANOTHER: Final = "told of one attempt, and there were several: which one is not said"
_REASON_LENGTH: Final = 2000


@dataclass(frozen=True, slots=True)
class _DoneWithGap(Done):
    """Evidence that the effect happened, from an attempt whose result could not be kept.

    Attributes:
        gap: Why.
    """

    gap: str = ""


def has_evidence(contract: Contract) -> bool:
    """Whether the author of the tool says how to look for evidence."""
    return contract.probe is not None or contract.reconcile is not None


async def was_told(parts: Parts, record: Record) -> bool:
    """Whether the outside told of the effect, in a signal."""
    return bool(await parts.store.signals(record.tenant, record.key))


async def reconcile(
    parts: Parts, record: Record, contract: Contract, actor: str, *, next_look_s: float | None = None
) -> Record:
    """Look for evidence about an effect in doubt and apply it: signals first, then the tool's own sources.

    A source that raises has found nothing. Two at once are harmless: the second to write looks again.

    Args:
        next_look_s: When nothing was found: how long until the sweeper looks again.

    Returns:
        The effect as it stands afterwards.
    """
    after, _ = await settle(parts, record, contract, actor, next_look_s=next_look_s)
    return after


async def settle(
    parts: Parts, record: Record, contract: Contract, actor: str, *, next_look_s: float | None = None
) -> tuple[Record, bool]:
    """Do what :func:`reconcile` does; say as well whether "not done" was found too early to be believed."""
    found, source = await _look(parts, record, contract)
    return await _settled(parts, record, found, actor, source, next_look_s, contract)


async def settle_by(
    parts: Parts, record: Record, found: Evidence, contract: Contract | None, actor: str, *, source: str
) -> Record:
    """Apply evidence that somebody else brought, for what it is worth; return the effect after it."""
    if record.state is State.RETRYABLE and isinstance(found, Done):
        details = {"source": source}
        return await _apply(
            parts, record, Event.RESOLVE_DONE, actor, _outcome(parts, found, contract), details
        )  # proof, whatever was believed meanwhile
    after, _ = await _settled(parts, record, found, actor, source, None, contract)
    return after


async def _settled(
    parts: Parts,
    record: Record,
    found: Evidence,
    actor: str,
    source: str,
    next_look_s: float | None,
    contract: Contract | None = None,
) -> tuple[Record, bool]:
    if isinstance(found, NotDone) and record.key in parts.lingering:
        found = StillUnknown("found nothing, but the handler is still running in a thread of this process")
    now = (await parts.store.find(record.tenant, record.key)).now
    event = on_evidence(found, record, now, parts.settings.skew)
    if isinstance(event, StillUnknown):
        details = {"reconciled": "still_unknown", "why": event.why}
        later = None if next_look_s is None else Retrying(delay_s=next_look_s)
        after = await _apply(parts, record, Event.NOTE, actor, None, details, later)
        return after, isinstance(found, NotDone)
    patience = None
    if event is Event.RESOLVE_NOT_DONE:
        patience = Retrying(delay_s=await _asked_s(parts, record))
    outcome = _outcome(parts, found, contract)
    after = await _apply(parts, record, event, actor, outcome, {"source": source}, patience)
    return after, False


async def _asked_s(parts: Parts, record: Record) -> float | None:
    """Return what is left of the time that the other side asked for when the last attempt ended in doubt."""
    if record.error is None:
        return None
    entries = tuple(await parts.store.trail(record.tenant, record.key))
    doubt = next((entry for entry in reversed(entries) if entry.event is Event.DOUBT), None)
    text = None if doubt is None else parts.plain_bodies((doubt,))[doubt.seq]
    asked_s = json.loads(text).get("retry_after_s") if text else None
    if doubt is None or asked_s is None:
        return None
    left_s = asked_s - (parts.runtime.now() - doubt.at).total_seconds()
    return min(left_s, asked_s) if left_s > 0 else None


async def _look(parts: Parts, record: Record, contract: Contract) -> tuple[Evidence, str]:
    """Return the first evidence that there is, and where it is from; else why there is none."""
    found = told_of(parts, record, await parts.store.signals(record.tenant, record.key))
    if not isinstance(found, StillUnknown):
        return found, "signal"
    sources = {"probe": contract.probe, "reconciler": contract.reconcile}
    asked = {name: source for name, source in sources.items() if source is not None}
    whys = [found.why] if found.why else []
    if not asked and not whys:
        what = f"tool {record.tool!r} has no reconciler"
        raise InvalidTool(what, "declare reconcile=..., or settle it with `holdfast resolve`")
    for name, source in asked.items():
        found = await _ask(parts, record, source, f"the {name}")
        if not isinstance(found, StillUnknown):
            return found, name
        whys.append(found.why)
    return StillUnknown("; ".join(whys)), ""


def told_of(parts: Parts, record: Record, signals: Sequence[Signal]) -> Evidence:
    """Return what *signals* amount to: what was once told to be done is done, whatever comes late.

    "Not done" speaks for one attempt, and a signal does not say for which: it counts only if there was but
    one, and only if it came after that had ended, so that neither a late nor an old one is leave to repeat.
    """
    ended_at = record.deadline_at or record.lease_until
    done = next((signal for signal in signals if signal.outcome == "done"), None)
    undone = [
        s for s in signals if s.outcome == "not_done" and record.attempt == 1 and s.received_at > ended_at
    ]
    if done is not None:
        body: Any = json.loads(parts.opened(done.tenant, EffectKey(done.subject), done.body, "signal"))
        gap = body.get("result_gap")
        return Done(body.get("result")) if gap is None else _DoneWithGap(None, gap)
    if undone:
        return NotDone()
    if any(signal.outcome == "not_done" for signal in signals):
        return StillUnknown(MAYBE_ANOTHER if record.attempt > 1 else "the outside said so while it was at it")
    return StillUnknown("the outside has not said how it ended" if signals else "")


async def look_first(parts: Parts, record: Record, contract: Contract, actor: str) -> Record:
    """Look for what speaks against another attempt: what the outside told, and what a probe sees.

    Returns:
        The effect: as it was, when nothing speaks against another attempt; else settled, or in doubt.
    """
    told = told_of(parts, record, await parts.store.signals(record.tenant, record.key))
    if isinstance(told, Done):
        return await settle_by(parts, record, told, contract, actor, source="signal")
    if contract.probe is None or contract.safety is not Safety.UNSAFE:
        return record
    found = await _ask(parts, record, contract.probe, "the probe")
    match found:
        case NotDone():
            return record
        case Done():
            details = {"source": "probe"}
            outcome = _outcome(parts, found, contract)
            return await _apply(parts, record, Event.RESOLVE_DONE, actor, outcome, details)
        case StillUnknown(why):
            return await doubted(parts, record, actor, why=why)


async def doubted(
    parts: Parts, record: Record, actor: str, *, why: str = "its retries are used up"
) -> Record:
    """Take an effect that might have been tried again for one in doubt."""
    return await _apply(parts, record, Event.DOUBT, actor, None, {"why": why})


async def resolve(
    parts: Parts, record: Record, found: Evidence, contract: Contract | None, *, by: str, reason: str
) -> Record:
    """Apply a person's evidence to an effect in doubt. A person's "not done" counts at once.

    Args:
        contract: What is declared of its tool: it may say where a result has the name given outside.

    Raises:
        NotResolvable: The effect is not in doubt. Nothing changed.
        InvalidCall: No name or no reason was given. Nothing changed.
        NotSerializable: The result has no JSON form. Nothing changed.
    """
    if not (_is_told(by) and by.isprintable() and _is_told(reason)):
        raise InvalidCall(
            "evidence without a name and a reason", "say by= whom, and the reason= (what was seen)"
        )
    details = {"source": "person", "by": by[:200], "reason": reason[:_REASON_LENGTH]}
    if record.state is not State.UNKNOWN:
        raise NotResolvable(record.key, record.state)
    match found:
        case Done(result):
            read_result(
                result, max_bytes=parts.settings.max_result_bytes
            )  # refused here, not recorded as a gap
            outcome = _outcome(parts, found, contract)
            after = await _apply(parts, record, Event.RESOLVE_DONE, by, outcome, details)
            _demand(after, State.SUCCEEDED)
        case NotDone():
            fresh = Retrying(renews=True)  # a person's word begins a new budget of retries
            after = await _apply(parts, record, Event.RESOLVE_NOT_DONE, by, None, details, fresh)
            _demand(after, State.RETRYABLE)
        case StillUnknown(why):
            after = await _apply(parts, record, Event.NOTE, by, None, {**details, "why": why})
    return after


def _demand(after: Record, wanted: State) -> None:
    """Refuse to let somebody's word vanish: another's was there first."""
    if after.state is not wanted:
        raise NotResolvable(after.key, after.state)


async def bury(
    parts: Parts, record: Record, event: Event, actor: str, contract: Contract | None = None
) -> Found:
    """End a dead worker's claim by *event*, if its lease is over still; return the effect as it is then.

    Args:
        contract: What is declared of the tool: an attempt that ended by a death counts like any other.
    """
    is_spent = contract is not None and used_up(record, contract)
    uncertain = True if record.safety is Safety.IDEMPOTENT else None
    change, _ = plan_move(
        head_of(record),
        event,
        parts.stamp(record.tenant, record.key, actor),
        lease_over=True,
        retrying=Retrying(uncertain=uncertain, spent=is_spent or None),
        details={"why": "the worker's lease ran out without an outcome", "owner": record.owner},
    )
    until = parts.runtime.monotonic() + parts.settings.store_patience_s
    answer = await commit_patiently(parts, change, until=until)
    if isinstance(answer, Committed):
        parts.bus.ring(record.key)
    return await parts.store.find(record.tenant, record.key)


def _is_told(text: Any) -> bool:
    return isinstance(text, str) and bool(text.strip())


async def _ask(parts: Parts, record: Record, source: Reconciler, name: str) -> Evidence:
    timeout_s = parts.settings.reconcile_timeout_s
    try:
        answer: Any = await parts.runtime.ask(source, effect_of(parts, record), timeout_s=timeout_s)
    except NotDone as error:
        return error
    except HandlerTimeout:
        return StillUnknown(f"{name} took longer than {timeout_s:g} s")
    except Exception as error:  # noqa: BLE001 - no evidence is what it found; the type is noted
        return StillUnknown(f"{name} raised {type(error).__qualname__}")
    return evidence(answer, source=name)


def _outcome(parts: Parts, found: Evidence, contract: Contract | None = None) -> PlainOutcome | None:
    if not isinstance(found, Done):
        return None
    if isinstance(found, _DoneWithGap):
        return PlainOutcome(result_gap=found.gap)
    try:
        read = read_result(found.result, max_bytes=parts.settings.max_result_bytes)
        outside = None if contract is None else name_outside(contract, read.plain)
        return PlainOutcome(result=read.text, external_id=outside)
    except NotSerializable as error:
        return PlainOutcome(result_gap=f"{error.path} {error.why}")


async def _apply(
    parts: Parts,
    record: Record,
    event: Event,
    actor: str,
    outcome: PlainOutcome | None,
    details: dict[str, Any],
    retrying: Retrying | None = None,
) -> Record:
    stamp = parts.stamp(record.tenant, record.key, actor)
    change, after = plan_move(
        head_of(record), event, stamp, outcome=outcome, details=details, retrying=retrying
    )
    answer = await parts.store.commit(change)
    if isinstance(answer, Committed):
        parts.bus.ring(record.key)
    found = (await parts.store.find(record.tenant, record.key)).record
    if found is None:
        raise EffectNotFound(record.key)
    if isinstance(answer, Committed) or found.audit_hash == after.audit_hash or event is Event.NOTE:
        return found
    only_noted = (found.state, found.fence, found.attempt) == (record.state, record.fence, record.attempt)
    # "Done" is proof, whatever was written first by somebody who saw less.
    is_proof = event is Event.RESOLVE_DONE and found.state in {State.UNKNOWN, State.RETRYABLE}
    if only_noted or is_proof:
        return await _apply(parts, found, event, actor, outcome, details, retrying)
    source = str(details.get("source"))
    if event is not Event.RESOLVE_DONE or source == "signal":  # a signal is put to it by who took it
        return found
    told = f"{source} of attempt {record.attempt}"
    while found.state not in DONE:
        if found.state in {State.UNKNOWN, State.RETRYABLE}:
            return await _apply(parts, found, event, actor, outcome, details, retrying)
        signal, is_new = await keep_done(parts, found, outcome, told, actor)
        found, is_noted = await heed(parts, found, signal, actor, is_new=is_new, who=f"the {told}")
        if is_noted:
            break
    return found
