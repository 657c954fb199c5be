"""What the outside tells of effects, in webhooks and the like: it never moves one backwards."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from typing import Any, Final, Literal

from holdfast._core.change import head_of
from holdfast._core.identity import read_result
from holdfast._core.model import Done, EffectKey, Evidence, Record, StillUnknown
from holdfast._core.plan import plan_move
from holdfast._core.states import Event, State
from holdfast._runtime.parts import Parts
from holdfast._runtime.reconcile import settle_by
from holdfast._runtime.record import commit_patiently
from holdfast.errors import InvalidCall, NotDone
from holdfast.ports import Query, Signal

_KEY: Final = re.compile(r"(?:v1:)?([0-9a-f]{64})")
_LENGTH: Final = 512
_SHORT: Final = 200
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
) -> tuple[Record | None, bool]:
    """Take a signal: keep it once, and let it settle the effect that it is about, if that is in doubt.

    Returns:
        The effect as it stands afterwards (``None``: none is known by that name), and whether the signal is
        new.

    Raises:
        InvalidCall: The subject or the signal's id is no printable text. Nothing was recorded.
        NotSerializable: The evidence has no JSON form. Nothing was recorded.
    """
    name = _name("subject", subject)
    record = await _subject_of(parts, tenant, name)
    told = _short(name) if record is None else record.key
    body = _body(parts, outcome, evidence)
    signal = Signal(
        tenant=tenant,
        subject=told,
        id=_unnamed(parts, outcome, body) if signal_id is None else _short(_name("signal_id", signal_id)),
        outcome=_WORDS[type(outcome).__name__],
        body=parts.stamp(tenant, EffectKey(told), actor).seal(body, "signal"),
        received_at=parts.runtime.now(),
    )
    is_new = await parts.store.put_signal(signal)
    if record is None:
        return None, is_new
    settles = {State.UNKNOWN: Done | NotDone, State.RETRYABLE: Done}.get(record.state)
    # A signal that is known already as well: its first coming may have ended half-way.
    if settles is not None and isinstance(outcome, settles):
        return await settle_by(parts, record, outcome, actor, source="signal"), is_new
    return (await _noted(parts, record, signal, actor) if is_new else record), is_new


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


async def _noted(parts: Parts, record: Record, signal: Signal, actor: str) -> Record:
    """Put the signal into the effect's trail; nothing moves."""
    details = {"signal": signal.id, "told": signal.outcome}
    until = parts.runtime.monotonic() + parts.settings.store_patience_s
    while True:
        stamp = parts.stamp(record.tenant, record.key, actor)
        change, head = plan_move(head_of(record), Event.NOTE, stamp, details=details)
        await commit_patiently(parts, change, until=until)
        found = (await parts.store.find(record.tenant, record.key)).record
        if found is None:
            return record
        if found.audit_hash == head.audit_hash or found.audit_seq > record.audit_seq + 20:
            return found
        if any(entry.hash == head.audit_hash for entry in await parts.store.trail(record.tenant, record.key)):
            return found
        record = found


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
