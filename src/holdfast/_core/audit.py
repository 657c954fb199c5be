"""The audit trail: one hash chain per effect, verifiable after its contents were erased.

Each entry covers the one before it (I6). The chain covers a salted hash of the contents, not the contents,
so that erasing body and salt leaves a chain that still verifies. With a key configured the chain is an
HMAC: whoever can write the database but does not hold the key cannot forge an entry.
What a chain alone cannot show is the deletion of a whole effect.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from holdfast._core.model import EffectKey, Record
from holdfast._core.states import DECIDED, Event, State
from holdfast._core.value import value
from holdfast.errors import AttemptInfo

VERSION: Final = "holdfast-audit/1"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_compact: Final = json.JSONEncoder(separators=(",", ":")).encode
_quoted: Final = json.encoder.encode_basestring_ascii
_STARTS: Final = frozenset({Event.CLAIM, Event.TAKE_OVER})
_ENDS: Final = frozenset(Event) - _STARTS - {Event.NOTE, Event.ASK}


@value
class AuditEntry:
    """One transition of one effect; at the same time the event that sinks will be told.

    Attributes:
        seq: 1, 2, … within the effect.
        state: The state that the event led to.
        at: When, by the clock of the process that wrote it (aware, UTC).
        body: JSON text of the details, possibly in a codec's envelope; ``None`` once erased.
        salt: Goes into the content hashes; ``None`` once erased.
        content_hash: SHA-256 of salt and plain body.
        prev: Hash of the entry before; empty for the first.
        hash: Covers all of the above; keyed when the ledger has an audit key.
        keyed: Whether *hash* is an HMAC.
    """

    tenant: str
    key: EffectKey
    seq: int
    event: Event
    state: State
    fence: int
    attempt: int
    actor: str
    at: datetime
    body: str | None
    salt: bytes | None
    content_hash: bytes
    prev: bytes
    hash: bytes
    keyed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that should not be in an audit trail.

    Attributes:
        seq: The first bad entry, or 0 when it concerns the effect itself.
        what: What was found.
    """

    key: str
    seq: int
    what: str


def salted(salt: bytes, text: str) -> bytes:
    """Return the hash that stands for *text* in a chain."""
    return hashlib.sha256(salt + text.encode("utf-8", "surrogatepass")).digest()


def micros(moment: datetime) -> int:
    """Return *moment* as microseconds since 1970, UTC."""
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def make_entry(
    *,
    tenant: str,
    key: EffectKey,
    seq: int,
    event: Event,
    state: State,
    fence: int,
    attempt: int,
    actor: str,
    at: datetime,
    body: Mapping[str, Any],
    salt: bytes,
    prev: bytes,
    secret: bytes | None,
) -> AuditEntry:
    """Return the entry that follows the one whose hash is *prev*."""
    text = _compact(body)
    content_hash = salted(salt, text)
    digest = _digest(tenant, key, seq, event, state, fence, attempt, actor, at, content_hash, prev, secret)
    return AuditEntry(
        tenant=tenant,
        key=key,
        seq=seq,
        event=event,
        state=state,
        fence=fence,
        attempt=attempt,
        actor=actor,
        at=at,
        body=text,
        salt=salt,
        content_hash=content_hash,
        prev=prev,
        hash=digest,
        keyed=secret is not None,
    )


def _digest(
    tenant: str,
    key: str,
    seq: int,
    event: Event,
    state: State,
    fence: int,
    attempt: int,
    actor: str,
    at: datetime,
    content_hash: bytes,
    prev: bytes,
    secret: bytes | None,
) -> bytes:
    """Hash the compact JSON list of all that an entry says."""
    text = (
        f'["{VERSION}",{_quoted(tenant)},{_quoted(key)},{seq},"{event}","{state}",{fence},{attempt},'
        f'{_quoted(actor)},{micros(at)},"{content_hash.hex()}","{prev.hex()}"]'
    ).encode()
    return hashlib.sha256(text).digest() if secret is None else hmac.digest(secret, text, "sha256")


def verify(
    record: Record | None,
    entries: Sequence[AuditEntry],
    *,
    plain: Mapping[int, str | None],
    secret: bytes | None,
) -> list[Problem]:
    """Check one effect's chain, from its first entry to the record itself.

    Args:
        record: The effect as it stands, payloads decoded.
        entries: Its entries by ``seq``.
        plain: Decoded body per ``seq``; ``None`` for an erased one.
        secret: The ledger's audit key; without it keyed hashes are checked by their links only.
    """
    problems: list[Problem] = []
    state: State | None = None
    prev = b""
    fence = 0
    for number, entry in enumerate(entries, 1):
        found = _entry_problem(entry, number, state, prev, fence, plain.get(entry.seq), secret)
        if found is not None:
            problems.append(Problem(key=entry.key, seq=entry.seq, what=found))
            break
        state, prev, fence = entry.state, entry.hash, entry.fence
    if not problems and record is not None:
        problems += _record_problems(record, entries, plain)
    elif record is None and entries:
        problems.append(Problem(key=entries[0].key, seq=0, what="the effect itself is missing"))
    return problems


def _entry_problem(
    entry: AuditEntry,
    number: int,
    state: State | None,
    prev: bytes,
    fence: int,
    body: str | None,
    secret: bytes | None,
) -> str | None:
    if entry.seq != number:
        return f"entry {number} is missing (found {entry.seq})"
    if entry.prev != prev:
        return "does not continue the entry before it"
    if DECIDED.get((state, entry.event)) is not entry.state:
        return f"{entry.event} cannot lead from {state} to {entry.state}"
    if entry.fence != fence + (entry.event is not Event.NOTE):
        return f"fence {entry.fence} does not follow {fence}"
    if body is not None and (entry.salt is None or salted(entry.salt, body) != entry.content_hash):
        return "its contents were altered"
    if entry.keyed and secret is None:
        return None
    expected = _digest(
        entry.tenant,
        entry.key,
        entry.seq,
        entry.event,
        entry.state,
        entry.fence,
        entry.attempt,
        entry.actor,
        entry.at,
        entry.content_hash,
        entry.prev,
        secret if entry.keyed else None,
    )
    if not hmac.compare_digest(expected, entry.hash):
        return "its hash does not fit its contents"
    if secret is not None and not entry.keyed:
        return "is not keyed although the ledger has an audit key"
    return None


def _record_problems(
    record: Record, entries: Sequence[AuditEntry], plain: Mapping[int, str | None]
) -> Iterable[Problem]:
    if not entries:
        yield Problem(key=record.key, seq=0, what="has no audit entries")
        return
    last = entries[-1]
    if (record.audit_seq, record.audit_hash) != (last.seq, last.hash):
        what = f"the record counts {record.audit_seq} entries, the trail ends at {last.seq}"
        yield Problem(key=record.key, seq=last.seq, what=what)
    if (record.state, record.fence) != (last.state, last.fence):
        what = f"the record says {record.state} (fence {record.fence}), the trail {last.state} ({last.fence})"
        yield Problem(key=record.key, seq=last.seq, what=what)
    if record.attempt != last.attempt:
        what = f"the record counts {record.attempt} attempts, the trail {last.attempt}"
        yield Problem(key=record.key, seq=last.seq, what=what)
    altered = [name for name, bound in _bound(record, entries, plain).items() if not bound]
    if altered:
        yield Problem(key=record.key, seq=last.seq, what=f"altered on record: {', '.join(altered)}")


_FACTS: Final = ("workflow_id", "tool", "intent", "fingerprint", "call_id", "undoes")
_REBOUND: Final = ("args", "safety", "result", "result_gap", "error", "external_id", "uncertain", "spent")


def _bound(record: Record, entries: Sequence[AuditEntry], plain: Mapping[int, str | None]) -> dict[str, bool]:
    """Say of each column that the trail binds whether it is as bound; erased entries bind none."""
    found: dict[str, bool] = {}
    for entry in entries:
        text = plain.get(entry.seq)
        if text is None or entry.salt is None:
            for name in _REBOUND:  # it may have said something newer than what was bound before
                found.pop(name, None)
            continue
        body: dict[str, Any] = json.loads(text)
        if entry.seq == 1:
            found |= {name: body.get(name) == getattr(record, name) for name in _FACTS}
            found["args"] = _is_bound(record.args, entry.salt, body.get("args_sha256"))
            found["actor"] = entry.actor == record.actor
            found |= {name: not getattr(record, name) for name in ("external_id", "spent")}
        if entry.seq > 1 and "args_sha256" in body:  # people changed them along with an approval
            found["args"] = _is_bound(record.args, entry.salt, body["args_sha256"])
        for name in ("safety", "external_id", "uncertain", "spent"):
            if name in body:
                found[name] = body[name] == getattr(record, name)
        if "result_sha256" in body:
            found["result"] = _is_bound(record.result, entry.salt, body["result_sha256"])
            found["result_gap"] = body.get("result_gap") == record.result_gap
            found["error"] = _is_bound(record.error, entry.salt, body.get("error_sha256"))
    return found


def _is_bound(text: str | None, salt: bytes, bound: str | None) -> bool:
    if text is None or bound is None:
        return text is bound
    return hmac.compare_digest(salted(salt, text).hex(), bound)


def attempts(entries: Iterable[AuditEntry], plain: Mapping[int, str | None]) -> tuple[AttemptInfo, ...]:
    """Return every execution that the trail tells of."""
    found: list[AttemptInfo] = []
    for entry in entries:
        text = plain.get(entry.seq)
        body: dict[str, Any] = json.loads(text) if text else {}
        is_open = bool(found) and found[-1].ended_at is None
        is_read = entry.event is Event.OBSERVE or (entry.event is Event.RELEASE and "error_type" in body)
        if entry.event in _STARTS or (is_read and not is_open):
            found.append(AttemptInfo(len(found) + 1, entry.at, None, entry.state, None))
            is_open = True
        if is_open and entry.event in _ENDS:
            found[-1] = AttemptInfo(
                found[-1].number,
                found[-1].started_at,
                entry.at,
                entry.state,
                body.get("error_type"),
                body.get("fault"),
                body.get("delay_s"),
            )
    return tuple(found)
