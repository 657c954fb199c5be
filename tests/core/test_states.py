"""The state table is complete and honest, and the databases agree with it."""

from __future__ import annotations

import itertools
import re
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


COLUMNS: list[tuple[str, type[StrEnum]]] = [
    ("state", State),
    ("safety", Safety),
    ("event", Event),
    ("status", WorkflowStatus),
]


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
@pytest.mark.parametrize(("column", "words"), COLUMNS)
def test_both_dialects_list_the_same_words(dialect: str, column: str, words: type[StrEnum]) -> None:
    """STA-05: the databases refuse any other; in CHECKs here, in enumerated types there."""
    sql = "\n".join(migration.sql for migration in migrations(dialect))
    lists = re.findall(
        rf"(?:CHECK \({column} IN|TYPE holdfast_{column} AS ENUM) \(([^)]*)\)", sql, re.IGNORECASE
    )

    assert lists
    for found in lists:
        assert set(re.findall(r"'(\w+)'", found)) == {str(word) for word in words}
