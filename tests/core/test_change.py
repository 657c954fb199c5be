"""What is written together: each transition with its guard, its audit entry and its workflow's count of doubt."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdfast._core.audit import salted
from holdfast._core.budget import SettleHold
from holdfast._core.change import (
    Admission,
    AppendAudit,
    Change,
    Head,
    InsertEffect,
    MoveEffect,
    NewEffect,
    Outcome,
    PlainOutcome,
    Retrying,
    ReviewWorkflow,
    Stamp,
    WorkflowStop,
)
from holdfast._core.model import EffectKey, Fingerprint
from holdfast._core.plan import plan_insert, plan_move
from holdfast._core.states import TRANSITIONS, Event, Safety, State

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SALT = bytes(range(16))
KEY = EffectKey("v1:" + "0" * 64)
NEW = NewEffect(
    tenant="t",
    key=KEY,
    fingerprint=Fingerprint("f" * 64),
    workflow_id="w",
    tool="charge",
    intent="charge_card",
    safety=Safety.UNSAFE,
    args='{"amount":100}',
    call_id="call_1",
)
HEAD = Head(
    tenant="t",
    key=KEY,
    workflow_id="w",
    state=State.PENDING,
    fence=3,
    attempt=2,
    audit_seq=5,
    audit_hash=b"h" * 32,
    at=NOW,
)
OUTCOME = PlainOutcome(result='{"id":1}', result_gap=None, error='{"type":"E"}', error_type="E")
ADMISSION = Admission(dependency="stripe", obeys=True)
CLAIMS = {Event.CLAIM, Event.TAKE_OVER}
CERTAIN = {Event.SUCCEED, Event.RESOLVE_DONE, Event.RESOLVE_NOT_DONE, Event.OBSERVE}
FIRST = sorted(event for state, event in TRANSITIONS if state is None)
MOVES = sorted((state, event) for state, event in TRANSITIONS if state is not None)


def stamp(**other: Any) -> Stamp:
    plain = Stamp(actor="agent", at=NOW, salt=SALT, secret=None, seal=lambda text, _: text)
    return replace(plain, **other)


def body(change: Change) -> dict[str, Any]:
    [entry] = [op.entry for op in change.ops if isinstance(op, AppendAudit)]
    assert entry.body is not None
    found: dict[str, Any] = json.loads(entry.body)
    return found


def entry(change: Change) -> str:
    [appended] = [op.entry for op in change.ops if isinstance(op, AppendAudit)]
    return appended.body or ""


def inserted(change: Change) -> InsertEffect:
    [insert] = [op for op in change.ops if isinstance(op, InsertEffect)]
    return insert


def moved(change: Change) -> MoveEffect:
    [move] = [op for op in change.ops if isinstance(op, MoveEffect)]
    return move


@pytest.mark.parametrize("event", FIRST)
def test_an_insert_and_its_entry_say_the_same(event: Event) -> None:
    """I6."""
    change, head = plan_insert(NEW, event, stamp(), owner="o", lease_s=10.0, timeout_s=60.0, outcome=OUTCOME)

    [insert, append] = change.ops
    assert isinstance(insert, InsertEffect)
    assert isinstance(append, AppendAudit)
    state = TRANSITIONS[None, event]
    executes = event not in {Event.ASK, Event.DENY}
    assert (insert.state, insert.attempt) == (append.entry.state, append.entry.attempt) == (state, executes)
    assert (append.entry.seq, append.entry.fence, append.entry.prev) == (1, 1, b"")
    assert insert.audit_hash == append.entry.hash == head.audit_hash
    assert (head.state, head.fence, head.attempt, head.audit_seq) == (state, 1, executes, 1)
    assert (insert.owner, insert.lease_s, insert.timeout_s, insert.at) == ("o", 10.0, 60.0, NOW)


def test_an_insert_keeps_what_makes_the_effect() -> None:
    """OBS-03, IDE-14."""
    change, _ = plan_insert(NEW, Event.CLAIM, stamp())

    told = body(change)
    assert told["args_sha256"] == salted(SALT, NEW.args).hex()
    assert {name: told[name] for name in ("workflow_id", "tool", "intent", "safety", "call_id")} == {
        "workflow_id": "w",
        "tool": "charge",
        "intent": "charge_card",
        "safety": "unsafe",
        "call_id": "call_1",
    }
    assert "amount" not in str(told)  # the trail binds the arguments, it does not repeat them


@pytest.mark.parametrize(("state", "event"), MOVES)
def test_a_move_guards_what_its_writer_saw_and_its_entry_continues_the_trail(
    state: State, event: Event
) -> None:
    """I3, I6: for every transition of the table."""
    head = replace(HEAD, state=state)

    change, after = plan_move(head, event, stamp(), owner="o", lease_s=10.0, lease_over=True, outcome=OUTCOME)

    move, append = change.ops[0], change.ops[-1]
    assert isinstance(move, MoveEffect)
    assert isinstance(append, AppendAudit)
    assert (move.frm, move.fence, move.prev, move.lease_over) == (state, 3, HEAD.audit_hash, True)
    assert move.to is append.entry.state is after.state is TRANSITIONS[state, event]
    assert append.entry.prev == HEAD.audit_hash
    assert append.entry.seq == after.audit_seq == 6
    assert move.audit_hash == append.entry.hash == after.audit_hash
    assert append.entry.fence == after.fence == (3 if event is Event.NOTE else 4)
    executes = event in {Event.CLAIM, Event.TAKE_OVER, Event.OBSERVE}
    assert append.entry.attempt == after.attempt == 2 + executes
    assert after.at == NOW


@pytest.mark.parametrize(("state", "event"), MOVES)
def test_only_a_claim_has_an_owner_and_a_lease(state: State, event: Event) -> None:
    change, _ = plan_move(
        replace(HEAD, state=state),
        event,
        stamp(),
        owner="o",
        safety=Safety.READ,
        lease_s=10.0,
        timeout_s=60.0,
    )

    [move, *_] = change.ops
    assert isinstance(move, MoveEffect)
    given = (move.owner, move.safety, move.lease_s, move.timeout_s)
    claims = event in {Event.CLAIM, Event.TAKE_OVER}
    assert given == (("o", Safety.READ, 10.0, 60.0) if claims else (None, None, None, None))
    assert body(change).get("safety") == ("read" if claims else None)


@pytest.mark.parametrize(("state", "event"), MOVES)
def test_doubt_is_counted_into_its_workflow_and_out_of_it(state: State, event: Event) -> None:
    change, after = plan_move(replace(HEAD, state=state), event, stamp())

    reviews = [op for op in change.ops if isinstance(op, ReviewWorkflow)]
    delta = (after.state is State.UNKNOWN) - (state is State.UNKNOWN)
    assert [(review.delta, review.workflow_id) for review in reviews] == ([(delta, "w")] if delta else [])


@pytest.mark.parametrize(
    ("event", "lease_over", "ends"),
    [
        (Event.SUCCEED, False, True),
        (Event.DOUBT, False, True),
        (Event.DOUBT, True, False),  # said of the dead: nobody knows whether it still acts
        (Event.RELEASE, True, False),
        (Event.TAKE_OVER, True, False),
        (Event.NOTE, False, False),
    ],
)
def test_an_attempt_ends_when_its_own_worker_says_so(event: Event, lease_over: bool, ends: bool) -> None:
    change, _ = plan_move(HEAD, event, stamp(), lease_over=lease_over)

    [move, *_] = change.ops
    assert isinstance(move, MoveEffect)
    assert move.ends_attempt is ends


def test_payloads_are_sealed_and_their_hashes_are_of_the_plain_text() -> None:
    """STA-19: what is stored is the envelope; what is chained is salted, so nobody can guess it."""
    sealed = stamp(seal=lambda text, _: f"<{text}>")

    inserted, head = plan_insert(NEW, Event.CLAIM, sealed)
    moved, _ = plan_move(head, Event.SUCCEED, sealed, outcome=OUTCOME)

    [insert, first] = inserted.ops
    assert isinstance(insert, InsertEffect)
    assert isinstance(first, AppendAudit)
    assert insert.args == '<{"amount":100}>'
    assert first.entry.body is not None
    assert first.entry.body.startswith("<{")
    assert first.entry.content_hash == salted(SALT, first.entry.body[1:-1])
    [move, second] = moved.ops
    assert isinstance(move, MoveEffect)
    assert isinstance(second, AppendAudit)
    assert move.outcome == Outcome(result='<{"id":1}>', result_gap=None, error='<{"type":"E"}>')
    assert second.entry.body is not None
    assert salted(SALT, '{"id":1}').hex() in second.entry.body


def test_equal_writes_of_two_writers_are_told_apart_by_their_salt() -> None:
    """I3: the same outcome at the same time from the same place is still somebody else's."""
    first, _ = plan_move(HEAD, Event.SUCCEED, stamp(), outcome=OUTCOME)
    second, _ = plan_move(HEAD, Event.SUCCEED, stamp(salt=bytes(16)), outcome=OUTCOME)

    assert first.ops[0] != second.ops[0]


def test_a_transition_that_the_table_refuses_is_never_planned() -> None:
    with pytest.raises(ValueError, match="no transition"):
        plan_move(replace(HEAD, state=State.SUCCEEDED), Event.CLAIM, stamp())
    with pytest.raises(ValueError, match="no transition"):
        plan_insert(NEW, Event.SUCCEED, stamp())


@pytest.mark.parametrize(("state", "event"), MOVES)
def test_only_a_claim_has_to_be_admitted(state: State, event: Event) -> None:
    """RET-16, RET-17: an outcome is recorded whatever became of its dependency and its workflow."""
    change, _ = plan_move(replace(HEAD, state=state), event, stamp(), admission=ADMISSION)

    assert moved(change).admission == (ADMISSION if event in CLAIMS else None)


def test_a_new_effect_is_admitted_by_its_insert() -> None:
    """RET-16."""
    asked, _ = plan_insert(NEW, Event.CLAIM, stamp(), admission=ADMISSION)
    unasked, _ = plan_insert(NEW, Event.CLAIM, stamp())

    assert [inserted(change).admission for change in (asked, unasked)] == [ADMISSION, None]


def test_a_compensation_names_what_it_undoes() -> None:
    """CMP-03, CMP-05: on the row and in its trail; any other effect names nothing."""
    undone = EffectKey("v1:" + "1" * 64)

    compensation, _ = plan_insert(NEW, Event.CLAIM, stamp(), undoes=undone)
    plain, _ = plan_insert(NEW, Event.CLAIM, stamp())

    assert (inserted(compensation).undoes, body(compensation)["undoes"]) == (undone, undone)
    assert inserted(plain).undoes is None
    assert "undoes" not in body(plain)


def test_the_name_that_the_outside_gave_is_bound_to_the_trail_when_it_is_told() -> None:
    """IDE-27: outside names are no payload; what stays unsaid changes nothing."""
    named = replace(OUTCOME, external_id="ch_1")
    sealed = stamp(seal=lambda text, _: f"<{text}>")

    insert, head = plan_insert(NEW, Event.CLAIM, sealed, outcome=named)
    told, _ = plan_move(head, Event.SUCCEED, sealed, outcome=named)
    untold, _ = plan_move(HEAD, Event.SUCCEED, stamp(), outcome=OUTCOME)

    outcomes = [inserted(insert).outcome, moved(told).outcome, moved(untold).outcome]
    assert [outcome and outcome.external_id for outcome in outcomes] == ["ch_1", "ch_1", None]
    assert '"external_id":"ch_1"' in entry(told)
    assert "external_id" not in body(untold)


@pytest.mark.parametrize("said", [None, True, False])
@pytest.mark.parametrize(("state", "event"), MOVES)
def test_evidence_ends_what_is_uncertain_and_nothing_else_does(
    state: State, event: Event, said: bool | None
) -> None:
    """I2, RET-12: whatever the writer says; what is written is told in the trail, what stays is not."""
    change, _ = plan_move(replace(HEAD, state=state), event, stamp(), retrying=Retrying(uncertain=said))

    expected = False if event in CERTAIN else said
    assert moved(change).uncertain is expected
    assert json.loads(entry(change) or "{}").get("uncertain") is expected


@pytest.mark.parametrize("renews", [True, False])
@pytest.mark.parametrize("said", [None, True, False])
@pytest.mark.parametrize(("state", "event"), MOVES)
def test_a_success_or_a_new_budget_gives_retries_back_and_nothing_else_does(
    state: State, event: Event, said: bool | None, renews: bool
) -> None:
    """RET-11: spent retries stay spent over every other transition."""
    retrying = Retrying(spent=said, renews=renews)

    change, _ = plan_move(replace(HEAD, state=state), event, stamp(), retrying=retrying)

    expected = False if renews or event is Event.SUCCEED else said
    assert (moved(change).spent, moved(change).renews) == (expected, renews)
    told = json.loads(entry(change) or "{}")
    assert (told.get("spent"), told.get("renews", False)) == (expected, renews)


def test_the_trail_tells_when_the_next_attempt_is_due() -> None:
    """RET-21: the delay, for the history of attempts; to the millisecond, while the row has all of it."""
    change, _ = plan_move(HEAD, Event.RELEASE, stamp(), retrying=Retrying(delay_s=1.23456))
    at_once, _ = plan_move(HEAD, Event.RELEASE, stamp(), retrying=Retrying(delay_s=0.0))
    unsaid, _ = plan_move(HEAD, Event.RELEASE, stamp(), outcome=OUTCOME)

    assert (moved(change).delay_s, body(change)["delay_s"]) == (1.23456, 1.235)
    assert (moved(at_once).delay_s, body(at_once)["delay_s"]) == (0.0, 0.0)
    assert moved(unsaid).delay_s is None
    assert "delay_s" not in body(unsaid)


@pytest.mark.parametrize(("state", "event"), MOVES)
def test_any_transition_may_stop_its_workflow_or_let_it_go_on(state: State, event: Event) -> None:
    """RET-09, CMP-07: in the same change; a stop names the effect, what goes on names none."""
    head = replace(HEAD, state=state)

    stop, after = plan_move(head, event, stamp(), workflow=WorkflowStop(reason="401"))
    resume, _ = plan_move(head, event, stamp(), workflow=WorkflowStop(reason=None))

    doubts = (after.state is State.UNKNOWN) - (state is State.UNKNOWN)
    review = ReviewWorkflow(tenant="t", workflow_id="w", delta=doubts, at=NOW)
    stopped, resumed = (
        [op for op in change.ops[1:-1] if not isinstance(op, SettleHold)] for change in (stop, resume)
    )
    assert stopped == [replace(review, stop="401", stopped_by=KEY)]
    assert resumed == [replace(review, resumes=True)]


@pytest.mark.parametrize(("state", "event"), MOVES)
def test_whatever_ends_an_attempt_settles_what_it_held(state: State, event: Event) -> None:
    """COS-14: and nothing else does, but what is told of a doubt afterwards."""
    change, _ = plan_move(replace(HEAD, state=state), event, stamp())
    held_nothing, _ = plan_move(replace(HEAD, state=state, holds=False), event, stamp())

    ends = state is State.PENDING and event is not Event.NOTE
    settles = ends or event in {Event.RESOLVE_DONE, Event.RESOLVE_NOT_DONE}
    assert len([op for op in change.ops if isinstance(op, SettleHold)]) == settles
    assert not [op for op in held_nothing.ops if isinstance(op, SettleHold)]


def test_a_change_is_a_value() -> None:
    """It can be compared, printed and kept; it carries no connection, no callable and no clock."""
    first, _ = plan_move(HEAD, Event.SUCCEED, stamp(), outcome=OUTCOME)
    again, _ = plan_move(HEAD, Event.SUCCEED, stamp(), outcome=OUTCOME)
    later, _ = plan_move(HEAD, Event.SUCCEED, stamp(at=NOW + timedelta(microseconds=1)), outcome=OUTCOME)

    assert first == again != later
    assert hash(first) == hash(again)
