"""What the outside tells of effects, in webhooks and the like: it never moves one backwards."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from holdfast._core.change import WorkflowStop, head_of
from holdfast._core.contract import Contract
from holdfast._core.identity import read_result
from holdfast._core.model import Alert, Done, EffectKey, Evidence, Record, StillUnknown
from holdfast._core.plan import plan_move
from holdfast._core.states import Event, State
from holdfast._runtime.parts import Parts
from holdfast._runtime.reconcile import MAYBE_ANOTHER, settle_by, told_of
from holdfast._runtime.record import commit_patiently
from holdfast.errors import InvalidCall, NotDone
from holdfast.errors.effects import resume_hint
from holdfast.ports import Query, Signal

_KEY: Final = re.compile(r"(?:v1:)?([0-9a-f]{64})")
_LENGTH: Final = 512
_SHORT: Final = 200
_UNDONE: Final = frozenset({State.FAILED, State.DENIED, State.CANCELLED})
_WORDS: Final[dict[str, Literal["done", "not_done", "still_unknown"]]] = {
    "Done": "done",
    "NotDone": "not_done",
    "StillUnknown": "still_unknown",
}


async def observe(
    parts: Parts,
    tenant: str,
    subject: str,
    outcome: Evidence,
    *,
    evidence: Any,
    signal_id: str | None,
    actor: str,
    contracts: Callable[[], Mapping[str, Contract]],
) -> tuple[Record | None, bool]:
    """Take a signal: keep it once, and let it settle the effect that it is about, if that is in doubt.

    Args:
        contracts: What is declared of the ledger's tools, by name.

    Returns:
        The effect as it stands afterwards (``None``: none is known by that name), and whether the signal is
        new.

    Raises:
        InvalidCall: The subject or the signal's id is no printable text. Nothing was recorded.
        NotSerializable: The evidence has no JSON form. Nothing was recorded.
    """
    name = _name("subject", subject)
    record = await _subject_of(parts, tenant, name)
    told = EffectKey(_short(_as_key(name))) if record is None else record.key
    body = _body(parts, outcome, evidence)
    signal = Signal(
        tenant=tenant,
        subject=told,
        id=_unnamed(parts, outcome, body) if signal_id is None else _short(_name("signal_id", signal_id)),
        outcome=_WORDS[type(outcome).__name__],
        body=parts.stamp(tenant, told, actor).seal(body, "signal"),
        received_at=(await parts.store.find(tenant, told)).now,  # the clock that attempts end by
    )
    is_new = await parts.store.put_signal(signal)
    if record is None:  # who claimed it meanwhile may have looked before this was kept
        record = (await parts.store.find(tenant, told)).record
    if record is None:
        return None, is_new
    return await _applied(parts, record, signal, outcome, contracts, actor, is_new=is_new), is_new


async def _applied(
    parts: Parts,
    record: Record,
    signal: Signal,
    outcome: Evidence,
    contracts: Callable[[], Mapping[str, Contract]],
    actor: str,
    *,
    is_new: bool,
) -> Record:
    """Let a signal that is kept do what it can about its effect, which may move meanwhile."""
    while True:
        settles = {State.UNKNOWN: Done | NotDone, State.RETRYABLE: Done}.get(record.state)
        # A signal that is known already as well: its first coming may have ended half-way.
        if settles is not None and isinstance(outcome, settles):
            found = await _worth(parts, record, outcome)
            if not isinstance(found, StillUnknown):
                contract = contracts().get(record.tool)
                after = await settle_by(parts, record, found, contract, actor, source="signal")
                if isinstance(found, Done) and after.state in {State.UNKNOWN, State.RETRYABLE}:
                    record = after  # it moved meanwhile, to another word's: "done" is proof all the same
                    continue
                return after
        refutes = isinstance(outcome, Done) and record.state in _UNDONE
        if not is_new and not (refutes and not await _is_noted(parts, record, signal)):
            return record
        after, is_noted = await _noted(parts, record, signal, actor, refutes=refutes)
        if is_noted:
            if refutes:
                _tell(parts, after)
            return after
        record = after


async def _worth(parts: Parts, record: Record, outcome: Evidence) -> Evidence:
    """Return what the outside has told, *outcome* included; each word counts from its first coming."""
    if isinstance(outcome, Done):
        return outcome
    return told_of(parts, record, await parts.store.signals(record.tenant, record.key))


async def _subject_of(parts: Parts, tenant: str, name: str) -> Record | None:
    """Return the effect that *name* means: its key, its idempotency key, or what the outside calls it."""
    key = _KEY.fullmatch(name)
    if key is not None:
        found = (await parts.store.find(tenant, EffectKey(f"v1:{key[1]}"))).record
        if found is not None:
            return found
    known = await parts.store.effects(Query(tenant=tenant, external_id=name, limit=2))
    if len(known) > 1:
        what = f"{len(known)} effects are called {name[:80]!r} outside"
        raise InvalidCall(what, "name the one that is meant by its key; nothing was recorded")
    return known[0] if known else None


def _as_key(name: str) -> str:
    """Return *name* as effects are called: one that is not known yet may be named by its idempotency key."""
    key = _KEY.fullmatch(name)
    return name if key is None else f"v1:{key[1]}"


async def _noted(
    parts: Parts, record: Record, signal: Signal, actor: str, *, refutes: bool
) -> tuple[Record, bool]:
    """Put the signal into the effect's trail; return the effect, and whether the note is in it.

    It is not when the effect moved meanwhile: then the signal may be worth something else.

    Args:
        refutes: It tells that what is on record as not done was done: the workflow stops for a person.
    """
    details = {"signal": signal.id, "told": signal.outcome}
    if signal.outcome == "not_done" and record.state is State.UNKNOWN:
        quiet_at = (record.deadline_at or record.lease_until).isoformat()
        early = f"too early: the last attempt may act until {quiet_at}; it has to be told again after that"
        details["why"] = MAYBE_ANOTHER if record.attempt > 1 else early
    until = parts.runtime.monotonic() + parts.settings.store_patience_s
    while True:
        workflow = None
        if refutes:
            stopped = await parts.store.workflow(record.tenant, record.workflow_id)
            earlier = None if stopped is None else stopped.stopped
            what = f"the outside says that {record.tool[:60]} is done, which is {record.state}"
            workflow = WorkflowStop(reason=f"{what}; besides: {earlier[:300]}" if earlier else what)
        stamp = parts.stamp(record.tenant, record.key, actor)
        change, head = plan_move(head_of(record), Event.NOTE, stamp, details=details, workflow=workflow)
        await commit_patiently(parts, change, until=until)
        found = (await parts.store.find(record.tenant, record.key)).record
        if found is None:
            return record, True
        is_ours = found.audit_hash == head.audit_hash or any(
            entry.hash == head.audit_hash for entry in await parts.store.trail(record.tenant, record.key)
        )
        if is_ours and refutes:
            parts.known.stopped.add((record.tenant, record.workflow_id))
        if is_ours or (found.state, found.fence) != (record.state, record.fence):
            return found, is_ours
        record = found


async def _is_noted(parts: Parts, record: Record, signal: Signal) -> bool:
    entries = tuple(e for e in await parts.store.trail(record.tenant, record.key) if e.event is Event.NOTE)
    bodies = [body for body in parts.plain_bodies(entries).values() if body is not None]
    return any(json.loads(body).get("signal") == signal.id for body in bodies)


def _tell(parts: Parts, record: Record) -> None:
    """Tell people that the record is wrong; nothing leaves its state, so it is theirs to mend."""
    message = (
        f"the outside says that effect {record.key} ({record.tool}) is done, but it is {record.state}: "
        f"nobody will undo it; see `holdfast show {record.key}`, set it right outside, then let the "
        f"workflow go on with {resume_hint(record.workflow_id)}"
    )
    parts.alerts.tell(
        Alert(
            code="done_after_all",
            message=message,
            tenant=record.tenant,
            subject=record.key,
            workflow_id=record.workflow_id,
            at=parts.runtime.now(),
        )
    )


def _body(parts: Parts, outcome: Evidence, evidence: Any) -> str:
    limit = parts.settings.max_result_bytes
    told: dict[str, Any] = {}
    if isinstance(outcome, Done):
        told["result"] = read_result(outcome.result, max_bytes=limit).plain
    if isinstance(outcome, StillUnknown):
        told["why"] = outcome.why[:2000]
    if evidence is not None:
        told["evidence"] = read_result(evidence, max_bytes=limit).plain
    return json.dumps(told, sort_keys=True)


def _unnamed(parts: Parts, outcome: Evidence, body: str) -> str:
    """Name a signal that brings no id: the same words twice are the same signal.

    Where payloads are sealed a plain hash of one would let anybody try what it says; without a key to make it
    with there is no such name, and each signal is a new one.
    """
    text = f"{type(outcome).__name__} {body}".encode("utf-8", "surrogatepass")
    secret = parts.settings.audit_secret
    if secret is not None:
        return hmac.digest(secret, text, "sha256").hex()
    return hashlib.sha256(text).hexdigest() if parts.codec is None else parts.runtime.token().hex()


def _short(name: str) -> str:
    """Return *name*, or its hash where it is longer than an index takes."""
    raw = name.encode("utf-8", "surrogatepass")
    return name if len(raw) <= _SHORT else f"sha256:{hashlib.sha256(raw).hexdigest()}"


def _name(what: str, value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isprintable() or len(value) > _LENGTH:
        raise InvalidCall(
            f"{what} is no printable text of 1 to {_LENGTH} characters", "pass the name as it came"
        )
    return value


def read_outcome(outcome: Any) -> Evidence:
    """Read what a signal says: evidence, or one of the words ``done``, ``not_done``, ``still_unknown``.

    Raises:
        InvalidCall: It is neither.
    """
    if isinstance(outcome, Done | StillUnknown | NotDone):
        return outcome
    words: dict[Any, Evidence] = {
        "done": Done(),
        "not_done": NotDone(),
        "still_unknown": StillUnknown(),
        NotDone: NotDone(),
        StillUnknown: StillUnknown(),
    }
    try:
        return words[outcome]
    except (KeyError, TypeError):
        what = f"a signal's outcome is {type(outcome).__name__}"
        raise InvalidCall(what, "pass Done(result), NotDone() or StillUnknown(why)") from None
