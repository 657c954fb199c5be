"""The state table is complete and honest, and the databases agree with it."""

from __future__ import annotations

import itertools
import re
from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._core.approval import ApprovalState
from holdfast._core.budget import HoldState, Per
from holdfast._core.dependency import BreakerState
from holdfast._core.execution import Pause, StepKind, StepState
from holdfast._core.notes import MemoryKind, Section
from holdfast._core.states import (
    DECIDED,
    FINISHED,
    TERMINAL,
    TRANSITIONS,
    Event,
    Safety,
    State,
    WorkflowStatus,
    step,
)
from holdfast.ports import Signal
from holdfast.stores.migrate import migrations

EVERY_PAIR = list(itertools.product([None, *State], Event))


def test_every_pair_of_state_and_event_is_decided() -> None:
    assert DECIDED.keys() == set(EVERY_PAIR)


@pytest.mark.parametrize(("state", "event"), EVERY_PAIR, ids=lambda word: str(word or "new"))
def test_a_step_leads_where_the_table_says_or_is_refused(state: State | None, event: Event) -> None:
    leads_to = DECIDED[state, event]

    if leads_to is None:
        assert (state, event) not in TRANSITIONS
        with pytest.raises(ValueError, match=f"no transition from {state} by {event}"):
            step(state, event)
    else:
        assert step(state, event) is TRANSITIONS[state, event] is leads_to


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_nothing_leaves_a_terminal_state_and_only_notes_are_added(state: State) -> None:
    assert {event: after for (frm, event), after in TRANSITIONS.items() if frm is state} == {
        Event.NOTE: state
    }


def test_what_is_done_stays_done_but_for_its_compensation() -> None:
    """A done effect never becomes failed, unknown, or anything that could run again."""
    leads_to = {after for (frm, _), after in TRANSITIONS.items() if frm is State.SUCCEEDED}

    assert leads_to == {State.SUCCEEDED, State.COMPENSATED}
    assert TERMINAL | {State.SUCCEEDED} == FINISHED


def test_doubt_is_left_by_evidence_only() -> None:
    """I2, IDE-13."""
    ways_out = {
        event: after for (frm, event), after in TRANSITIONS.items() if frm is State.UNKNOWN is not after
    }

    assert ways_out == {Event.RESOLVE_DONE: State.SUCCEEDED, Event.RESOLVE_NOT_DONE: State.RETRYABLE}


def test_failed_is_entered_only_when_the_handler_says_that_nothing_happened() -> None:
    """X6: no other event leads there, and none from doubt or from done."""
    ways_in = {(frm, event) for (frm, event), after in TRANSITIONS.items() if after is State.FAILED}

    assert ways_in == {
        (State.PENDING, Event.FAIL),
        (State.RETRYABLE, Event.FAIL),
        (State.FAILED, Event.NOTE),
    }


def test_a_note_moves_nothing() -> None:
    for state in State:
        assert step(state, Event.NOTE) is state
    with pytest.raises(ValueError, match="no transition"):
        step(None, Event.NOTE)


def test_every_state_is_reached_from_nothing() -> None:
    reached: set[State | None] = {None}
    while more := {after for (frm, _), after in TRANSITIONS.items() if frm in reached} - reached:
        reached |= more

    assert reached == {None, *State}


@given(st.lists(st.sampled_from(Event), max_size=20))
def test_pending_is_entered_by_a_claim_or_a_take_over_only(events: list[Event]) -> None:
    """I1: nobody executes without having won the right to."""
    state: State | None = None
    for event in events:
        if (state, event) not in TRANSITIONS:
            continue
        before, state = state, step(state, event)
        if state is State.PENDING is not before:
            assert event is Event.CLAIM
        elif state is State.PENDING:
            assert event in {Event.TAKE_OVER, Event.NOTE}


@given(st.lists(st.sampled_from(Event), max_size=20))
def test_an_effect_that_may_have_happened_is_claimed_again_only_after_evidence(events: list[Event]) -> None:
    """I1: between two claims stands a word that the first one did nothing: release or resolve_not_done."""
    state: State | None = None
    excused = True
    for event in events:
        if (state, event) not in TRANSITIONS:
            continue
        state = step(state, event)
        if event is Event.CLAIM:
            assert excused
            excused = False
        elif event in {Event.RELEASE, Event.RESOLVE_NOT_DONE}:
            excused = True


WORDS: list[tuple[str, str, str, set[str]]] = [
    ("holdfast_effect", "state", "holdfast_state", {*State}),
    ("holdfast_effect", "safety", "holdfast_safety", {*Safety}),
    ("holdfast_audit", "event", "holdfast_event", {*Event}),
    ("holdfast_workflow", "status", "holdfast_status", {*WorkflowStatus}),
    ("holdfast_dependency", "state", "holdfast_breaker", {*BreakerState}),
    ("holdfast_signal", "outcome", "holdfast_evidence", {*get_args(get_type_hints(Signal)["outcome"])}),
    ("holdfast_execution", "status", "holdfast_status", {*WorkflowStatus}),
    ("holdfast_execution", "pause", "holdfast_pause", {*Pause}),
    ("holdfast_step", "kind", "holdfast_step_kind", {*StepKind}),
    ("holdfast_step", "state", "holdfast_step_state", {*StepState}),
    ("holdfast_approval", "state", "holdfast_approval_state", {*ApprovalState}),
    ("holdfast_memory", "kind", "holdfast_memory_kind", {*MemoryKind}),
    ("holdfast_handoff", "section", "holdfast_section", {*Section}),
    (
        "holdfast_hold",
        "state",
        "holdfast_hold_state",
        {HoldState.HELD, HoldState.SETTLED, HoldState.ASSUMED, HoldState.RELEASED},
    ),
]
"""Per list of words: table and column of the CHECK in SQLite, the enumerated type in PostgreSQL, the words."""
PER = ("holdfast_budget", "per")


def test_sqlite_lists_the_same_words_in_its_checks() -> None:
    """STA-05: the database refuses any other; no list stands there that is not compared here."""
    sql = "\n".join(migration.sql for migration in migrations("sqlite"))

    lists = {
        (table, column): _quoted(words)
        for table, body in re.findall(r"CREATE TABLE (\w+) \((.*?)^\)", sql, re.DOTALL | re.MULTILINE)
        for column, words in re.findall(r"CHECK \((\w+) IN \(([^)]*)\)", body)
    }

    assert lists == {(table, column): words for table, column, _, words in WORDS} | {PER: {*get_args(Per)}}


def test_postgres_lists_the_same_words_in_its_types() -> None:
    """STA-05: the database refuses any other; no list stands there that is not compared here."""
    sql = "\n".join(migration.sql for migration in migrations("postgres"))

    lists = {
        name: _quoted(words) for name, words in re.findall(r"CREATE TYPE (\w+) AS ENUM \(([^)]*)\)", sql)
    }

    assert lists == {name: words for _, _, name, words in WORDS}
    [windows] = re.findall(r"CHECK \(per IN \(([^)]*)\)", sql)
    assert _quoted(windows) == {*get_args(Per)}  # compared with text in every claim, so it is no type
    for table, column, name, _ in WORDS:
        [body] = re.findall(rf"CREATE TABLE {table} \((.*?)^\)", sql, re.DOTALL | re.MULTILINE)
        assert re.search(rf"^    {column} +{name} NOT NULL", body, re.MULTILINE)


def _quoted(words: str) -> set[str]:
    return set(re.findall(r"'(\w*)'", words))
