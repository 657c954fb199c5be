"""One effect, whole: its facts, its attempts, and its story entry by entry."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from holdfast._core.audit import attempts
from holdfast._core.redact import redact_names
from holdfast._core.states import Event, State
from holdfast._runtime.drive import run_sync
from holdfast.cli.fields import attempt_fields, effect_fields, story_fields
from holdfast.cli.next_step import next_steps
from holdfast.cli.output import clock, compact, is_terminal, ndjson, say, screen_table, span, tsv
from holdfast.cli.session import Opened, Session
from holdfast.errors import AttemptInfo
from holdfast.ledger import AuditEvent, EffectRecord

_STORY_HEADS: Final = ("#", "when", "after", "event", "state", "actor", "note")
_ATTEMPT_HEADS: Final = ("attempt", "started", "took", "outcome", "error", "taken for", "next due after")
_WIDE: Final = 60
"""JSON longer than this is laid out over several lines."""


def show_story(here: Opened, session: Session, record: EffectRecord) -> None:
    """Print all that the ledger knows of one effect."""
    events = here.ledger.audit(record.key)
    trail = run_sync(here.store.trail(record.tenant, record.key))
    tries = attempts(trail, {entry.seq: entry.body for entry in trail})
    if session.as_json or not is_terminal():
        fields = {**effect_fields(record), "undone_by": _undone_by(events)}
        told = [attempt_fields(attempt) for attempt in tries], [story_fields(event) for event in events]
        if session.as_json:
            ndjson({**fields, "attempts": told[0], "story": told[1]})
        else:
            _show_in_pipe(fields, *told)
    else:
        screen_table(("", ""), _facts(record, _undone_by(events)))
        screen_table(_ATTEMPT_HEADS, [_attempt_row(attempt) for attempt in tries], title="Attempts")
        screen_table(_STORY_HEADS, list(_story_rows(events)), title="Story")
    for step in next_steps(session, record):
        say(f"next: {step}")


def _show_in_pipe(
    fields: Mapping[str, Any], tries: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]
) -> None:
    """Print rows whose first cell says what they are."""
    for name, value in fields.items():
        tsv((name, _cell(value)))
    for attempt in tries:
        tsv(("execution", *(_cell(value) for value in attempt.values())))
    for event in events:
        tsv(("story", *(_cell(event[name]) for name in ("seq", "at", "event", "state", "actor", "note"))))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else compact(value)


def _undone_by(events: Sequence[AuditEvent]) -> str | None:
    """Return the key of the effect that undid this one."""
    found = [event.details.get("by_effect") for event in events if event.event is Event.COMPENSATE]
    return found[-1] if found else None


def _facts(record: EffectRecord, undone_by: str | None) -> Iterator[tuple[str, str]]:
    yield "key", record.key
    yield "state", record.state
    yield "tool", record.tool if record.intent == record.tool else f"{record.tool} (to {record.intent})"
    yield "workflow", record.workflow_id
    yield "safety", record.safety
    yield "actor", record.actor
    if record.call_id is not None:
        yield "call id", record.call_id
    yield "created", clock(record.created_at)
    yield "updated", clock(record.updated_at)
    if record.external_id is not None:
        yield "external id", record.external_id
    if record.undoes is not None:
        yield "undoes", record.undoes
    if undone_by is not None:
        yield "undone by", undone_by
    yield from _prospects(record)
    if record.state is State.PENDING:
        left = (record.lease_until - datetime.now(UTC)).total_seconds()
        yield "lease", f"over for {span(-left)}" if left < 0 else f"for {span(left)} more"
    if record.args is None:
        yield "payload", "sealed: it can be read with the ledger's codec only"
        return
    yield from _laid_out("args", redact_names(record.args))
    if record.result_gap is not None:
        yield "result", f"done, but not recorded: {record.result_gap}"
    elif record.state in {State.SUCCEEDED, State.COMPENSATED}:
        yield from _laid_out("result", redact_names(record.result))
    if record.error is not None:
        yield "error", f"{record.error.type}: {record.error.message}"


def _prospects(record: EffectRecord) -> Iterator[tuple[str, str]]:
    """Say what may still come of an effect by itself."""
    if record.retry_at is not None and record.state in {State.RETRYABLE, State.UNKNOWN}:
        yield "next look" if record.state is State.UNKNOWN else "next attempt", clock(record.retry_at)
    if record.spent:
        yield "retries", "used up: no attempt without a person's word"
    if record.uncertain:
        yield "uncertain", "an attempt may have acted; the same may be sent again"


def _laid_out(name: str, value: Any) -> Iterator[tuple[str, str]]:
    text = compact(value)
    lines = [text] if len(text) <= _WIDE else json.dumps(value, ensure_ascii=False, indent=2).split("\n")
    for number, line in enumerate(lines):
        yield name if number == 0 else "", line


def _attempt_row(attempt: AttemptInfo) -> tuple[str, ...]:
    ended = attempt.ended_at
    took = "-" if ended is None else span((ended - attempt.started_at).total_seconds())
    return (
        str(attempt.number),
        clock(attempt.started_at),
        took,
        "no record" if ended is None else attempt.outcome,
        attempt.error or "-",
        attempt.fault or "-",
        "-" if attempt.delay_s is None else span(attempt.delay_s),
    )


def _story_rows(events: Sequence[AuditEvent]) -> Iterator[tuple[str, ...]]:
    before: datetime | None = None
    for event in events:
        after = "-" if before is None else f"+{span((event.at - before).total_seconds())}"
        yield str(event.seq), clock(event.at), after, event.event, event.state, event.actor, event.note
        before = event.at
