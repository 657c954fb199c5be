"""``holdfast policy simulate --since``: what other rules would have said of the calls that were made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from holdfast._core.contract import Contract
from holdfast._core.duration import seconds
from holdfast._core.model import ToolCall
from holdfast._core.states import Event, State
from holdfast.cli.effects import SHORT_KEY, moment
from holdfast.cli.output import Line, counted, listing, say
from holdfast.cli.session import Session, opened
from holdfast.ledger import EffectRecord, SyncLedger
from holdfast.policies import Policies
from holdfast.policies.trying import Recorded, replayed, word
from holdfast.ports import Facts

_HEADS: Final = ("key", "tool", "workflow", "before", "now", "rule", "reason")
_NOT_DONE: Final = frozenset({State.FAILED, State.CANCELLED, State.DENIED})
_SHOWN: Final = 5


def replay(
    session: Session,
    policies: Policies,
    earlier: Policies | None,
    contracts: Mapping[str, Contract],
    *,
    since: str,
    confidence: float | None,
    limit: int,
) -> int:
    """List the recorded calls that would be decided otherwise; return how many there are."""
    start = _start(since)
    asked = (policies,) if earlier is None else (policies, earlier)
    longest_s = max((count.over_s for one in asked for count in one.policy.windows.values()), default=0.0)
    with opened(session) as here:
        found = here.ledger.effects(since=start - timedelta(seconds=longest_s), limit=limit + 1)
        records = {record.key: record for record in reversed(found[:limit]) if record.undoes is None}
        calls = [
            _call(record, contracts.get(record.tool), confidence)
            for record in records.values()
            if record.args is not None
        ]
        lines: list[Line] = []
        rules: Counter[tuple[str, str]] = Counter()
        looked_at = 0
        for facts, (now, *before) in replayed(calls, asked):
            if facts.now < start:
                continue
            looked_at += 1
            was = word(before[0]) if before else _was(here.ledger, records[facts.key])
            if was != word(now):
                rules[word(now), now.rule or "no rule allows it"] += 1
                lines.append(_line(records[facts.key], was, word(now), now.rule, now.reason))
    listing(_HEADS, lines, as_json=session.as_json)
    for (verdict, rule), times in rules.most_common(_SHOWN):
        say(f"{times} of {looked_at:,} would now {verdict} ({rule})")
    if not rules:
        say(f"{looked_at:,} calls, and none would be decided otherwise")
    _say_gaps(found, len(records) - len(calls), limit, confidence)
    return len(lines)


def _say_gaps(found: list[EffectRecord], unreadable: int, limit: int, confidence: float | None) -> None:
    if len(found) > limit:
        say(f"these are the newest {limit:,}; there are more: raise --limit")
    if unreadable:
        say(f"left out: {counted(unreadable, 'call')} whose arguments are sealed or erased")
    if confidence is None:
        say("how sure agents were is not on record: --confidence says what to assume")


def _start(since: str) -> datetime:
    when = moment(since)
    if isinstance(when, datetime):
        return when
    return datetime.now(UTC) - timedelta(seconds=seconds(since, name="--since"))


def _call(record: EffectRecord, contract: Contract | None, confidence: float | None) -> Recorded:
    known = contract or Contract(intent=record.intent)
    args = record.args or {}
    facts = Facts(
        tenant=record.tenant,
        actor=record.actor,
        workflow_id=record.workflow_id,
        tool=record.tool,
        key=record.key,
        fingerprint=record.fingerprint,
        args=args,
        call=ToolCall(workflow_id=record.workflow_id, tool=record.tool, args=args),
        contract=replace(known, safety=record.safety),
        confidence=confidence,
        now=record.created_at,
    )
    return Recorded(facts=facts, counts=record.state not in _NOT_DONE)


def _was(ledger: SyncLedger, record: EffectRecord) -> str:
    """Return what was decided of a recorded call: it went ahead, people were asked, or rules said no."""
    if record.state is State.WAITING or _was_asked(ledger, record):
        return "ask"
    return "deny" if record.state is State.DENIED else "allow"


def _was_asked(ledger: SyncLedger, record: EffectRecord) -> bool:
    return any(entry.event is Event.ASK for entry in ledger.audit(record.key))


def _line(record: EffectRecord, was: str, now: str, rule: str, reason: str) -> Line:
    fields = {
        "key": record.key,
        "tool": record.tool,
        "workflow_id": record.workflow_id,
        "before": was,
        "now": now,
        "rule": rule,
        "reason": reason,
    }
    rest = (record.tool, record.workflow_id, was, now, rule, reason)
    return Line(fields=fields, cells=(record.key, *rest), brief=(record.key[:SHORT_KEY], *rest))
