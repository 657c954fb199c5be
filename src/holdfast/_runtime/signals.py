"""What the outside tells of effects, in webhooks and the like: it never moves one backwards."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from holdfast._core.contract import Contract
from holdfast._core.identity import read_result
from holdfast._core.model import Done, EffectKey, Evidence, Record, StillUnknown
from holdfast._core.states import State
from holdfast._runtime.heed import heed
from holdfast._runtime.parts import Parts
from holdfast._runtime.proof import DONE
from holdfast._runtime.reconcile import MAYBE_ANOTHER, settle_by, told_of
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
        # A signal that is known already as well: whoever took it first may not have come to this.
        if settles is not None and isinstance(outcome, settles):
            found = await _worth(parts, record, outcome)
            if not isinstance(found, StillUnknown):
                contract = contracts().get(record.tool)
                after = await settle_by(parts, record, found, contract, actor, source="signal")
                if isinstance(found, Done) and after.state not in DONE:
                    record = after  # it moved meanwhile, to another word's: "done" is proof all the same
                    continue
                return after
        is_proof = isinstance(outcome, Done) and record.state not in DONE
        if not is_new and not is_proof:  # proof is put to it again: its first coming may have ended half-way
            return record
        record, is_noted = await heed(parts, record, signal, actor, is_new=is_new, why=_why(record, signal))
        if is_noted:
            return record


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


def _why(record: Record, signal: Signal) -> str:
    """Say why a "not done" is no more than a note."""
    if signal.outcome != "not_done" or record.state is not State.UNKNOWN:
        return ""
    if record.attempt > 1:
        return MAYBE_ANOTHER
    quiet_at = (record.deadline_at or record.lease_until).isoformat()
    return f"too early: the last attempt may act until {quiet_at}; it has to be told again after that"


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
