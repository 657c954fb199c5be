"""I6: whoever alters, removes, reorders or invents entries of a trail, or the record it ends in, is found out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._core.audit import AuditEntry, attempts, make_entry, micros, salted, verify
from holdfast._core.change import Committed, Head, NewEffect, PlainOutcome, Stamp
from holdfast._core.model import EffectKey, Fingerprint, Record
from holdfast._core.plan import plan_insert, plan_move
from holdfast._core.states import Event, Safety, State
from holdfast._runtime.drive import run_sync
from holdfast.errors import AttemptInfo
from holdfast.stores.memory import MemoryStore
from holdfast.testing import FakeClock

KEY = EffectKey("v1:" + "0" * 64)
NEW = NewEffect(
    tenant="t",
    key=KEY,
    fingerprint=Fingerprint("f" * 64),
    workflow_id="w",
    tool="charge",
    intent="charge_card",
    safety=Safety.IDEMPOTENT,
    args='{"amount":100}',
    call_id="call_1",
)
SECRET = b"a key of at least sixteen bytes"
STORY = (Event.RELEASE, Event.CLAIM, Event.NOTE, Event.SUCCEED, Event.NOTE)


class Case:
    """A record and its trail, as a store has them."""

    def __init__(self, *events: Event, secret: bytes | None = None) -> None:
        self.clock = FakeClock()
        self.secret = secret
        self._store = MemoryStore(clock=self.clock)
        self._salt = 0
        change, self.head = plan_insert(NEW, Event.CLAIM, self._stamp(), owner="o", lease_s=10.0)
        assert isinstance(self._store.apply(change), Committed)
        for event in events:
            self.head = self._move(self.head, event)

    def _stamp(self) -> Stamp:
        self.clock.advance(1)
        self._salt += 1
        return Stamp(
            actor="agent",
            at=self.clock(),
            salt=self._salt.to_bytes(16),
            secret=self.secret,
            seal=lambda text, _: text,
        )

    def _move(self, head: Head, event: Event) -> Head:
        outcome = {
            Event.SUCCEED: PlainOutcome(result='{"id":1}'),
            Event.RELEASE: PlainOutcome(error='{"type":"NotDone","message":""}', error_type="NotDone"),
        }.get(event)
        change, after = plan_move(head, event, self._stamp(), owner="p", lease_s=10.0, outcome=outcome)
        assert isinstance(self._store.apply(change), Committed)
        return after

    @property
    def record(self) -> Record:
        found = run_sync(self._store.find("t", KEY)).record
        assert found is not None
        return found

    @property
    def trail(self) -> list[AuditEntry]:
        return list(run_sync(self._store.trail("t", KEY)))


def problems(
    record: Record | None, trail: list[AuditEntry], secret: bytes | None = None
) -> list[tuple[int, str]]:
    """What verification finds: (entry, what)."""
    plain = {entry.seq: entry.body for entry in trail}
    return [(found.seq, found.what) for found in verify(record, trail, plain=plain, secret=secret)]


@pytest.mark.parametrize("secret", [None, SECRET], ids=["plain", "keyed"])
@pytest.mark.parametrize("length", range(len(STORY) + 1))
def test_a_whole_trail_has_no_problems(secret: bytes | None, length: int) -> None:
    case = Case(*STORY[:length], secret=secret)

    assert problems(case.record, case.trail, secret) == []


@pytest.mark.parametrize("at", range(len(STORY) + 1))
def test_a_removed_entry_is_missed(at: int) -> None:
    case = Case(*STORY)
    trail = case.trail
    del trail[at]

    assert problems(case.record, trail)


@pytest.mark.parametrize("at", range(len(STORY)))
def test_swapped_entries_are_noticed(at: int) -> None:
    case = Case(*STORY)
    trail = case.trail
    trail[at], trail[at + 1] = trail[at + 1], trail[at]

    assert problems(case.record, trail)


ALTERATIONS: dict[str, Callable[[AuditEntry], AuditEntry]] = {
    "tenant": lambda entry: replace(entry, tenant="u"),
    "key": lambda entry: replace(entry, key=EffectKey("v1:" + "1" * 64)),
    "seq": lambda entry: replace(entry, seq=entry.seq + 1),
    "event": lambda entry: replace(entry, event=Event.DOUBT),
    "state": lambda entry: replace(entry, state=State.UNKNOWN),
    "fence": lambda entry: replace(entry, fence=entry.fence + 1),
    "attempt": lambda entry: replace(entry, attempt=entry.attempt + 1),
    "actor": lambda entry: replace(entry, actor="somebody"),
    "at": lambda entry: replace(entry, at=entry.at + timedelta(microseconds=1)),
    "body": lambda entry: replace(entry, body=(entry.body or "") + " "),
    "salt": lambda entry: replace(entry, salt=bytes(16)),
    "content_hash": lambda entry: replace(entry, content_hash=bytes(32)),
    "prev": lambda entry: replace(entry, prev=bytes(32)),
    "hash": lambda entry: replace(entry, hash=bytes(32)),
}


@pytest.mark.parametrize("at", range(len(STORY) + 1))
@pytest.mark.parametrize("alteration", ALTERATIONS.values(), ids=ALTERATIONS.keys())
@pytest.mark.parametrize("secret", [None, SECRET], ids=["plain", "keyed"])
def test_an_altered_entry_is_noticed_wherever_it_is(
    at: int, alteration: Callable[[AuditEntry], AuditEntry], secret: bytes | None
) -> None:
    case = Case(*STORY, secret=secret)
    trail = case.trail
    trail[at] = alteration(trail[at])

    assert problems(case.record, trail, secret)


def forged(after: AuditEntry, event: Event, state: State, secret: bytes | None = None) -> AuditEntry:
    """An entry that continues the trail, made by somebody who can write the database."""
    return make_entry(
        tenant="t",
        key=KEY,
        seq=after.seq + 1,
        event=event,
        state=state,
        fence=after.fence + (event is not Event.NOTE),
        attempt=after.attempt,
        actor="agent",
        at=after.at,
        body={},
        salt=bytes(16),
        prev=after.hash,
        secret=secret,
    )


def test_an_entry_invented_at_the_end_does_not_fit_the_record() -> None:
    case = Case(*STORY)
    trail = [*case.trail, forged(case.trail[-1], Event.NOTE, State.SUCCEEDED)]

    assert problems(case.record, trail) == [(7, "the record counts 6 entries, the trail ends at 7")]


def test_a_trail_cut_at_its_end_does_not_fit_the_record() -> None:
    case = Case(*STORY)

    assert problems(case.record, case.trail[:-1]) == [(5, "the record counts 6 entries, the trail ends at 5")]


def test_an_invented_entry_must_be_a_transition_of_the_table() -> None:
    case = Case(*STORY)
    trail = [*case.trail, forged(case.trail[-1], Event.FAIL, State.FAILED)]

    [(seq, what)] = problems(case.record, trail)

    assert (seq, what) == (7, "fail cannot lead from succeeded to failed")


def test_whoever_lacks_the_key_cannot_continue_a_keyed_trail() -> None:
    """An attacker who writes both entry and record is found out by the key alone."""
    case = Case(*STORY, secret=SECRET)
    for secret in (None, b"another key of some length"):
        entry = forged(case.trail[-1], Event.NOTE, State.SUCCEEDED, secret)
        record = replace(case.record, audit_seq=entry.seq, audit_hash=entry.hash)

        assert [seq for seq, _ in problems(record, [*case.trail, entry], SECRET)] == [7]

    entry = forged(case.trail[-1], Event.NOTE, State.SUCCEEDED, SECRET)
    record = replace(case.record, audit_seq=entry.seq, audit_hash=entry.hash)
    assert problems(record, [*case.trail, entry], SECRET) == []


def test_a_ledger_with_a_key_does_not_accept_trails_without() -> None:
    case = Case(*STORY)

    assert problems(case.record, case.trail, SECRET) == [
        (1, "is not keyed although the ledger has an audit key")
    ]


def test_without_the_key_a_keyed_trail_is_checked_by_its_links() -> None:
    case = Case(*STORY, secret=SECRET)

    assert problems(case.record, case.trail) == []
    assert problems(case.record, case.trail[1:])


TAMPERINGS: dict[str, dict[str, Any]] = {
    "state": {"state": State.FAILED},
    "fence": {"fence": 9},
    "attempt": {"attempt": 9},
    "audit_seq": {"audit_seq": 5},
    "audit_hash": {"audit_hash": bytes(32)},
    "args": {"args": '{"amount":999}'},
    "result": {"result": '{"id":2}'},
    "result erased": {"result": None},
    "result_gap": {"result_gap": "$ is a set"},
    "error": {"error": '{"type":"E","message":""}'},
    "tool": {"tool": "refund"},
    "intent": {"intent": "refund"},
    "workflow_id": {"workflow_id": "x"},
    "safety": {"safety": Safety.READ},
    "fingerprint": {"fingerprint": "e" * 64},
    "call_id": {"call_id": "call_2"},
    "actor": {"actor": "somebody"},
    "external_id": {"external_id": "ch_2"},
    "undoes": {"undoes": "v1:" + "f" * 64},
    "uncertain": {"uncertain": True},
    "spent": {"spent": True},
}


@pytest.mark.parametrize("tampering", TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_an_altered_record_does_not_fit_its_trail(tampering: dict[str, Any]) -> None:
    """State, result, arguments and all that says what the effect is."""
    case = Case(*STORY)

    assert problems(replace(case.record, **tampering), case.trail)


def test_a_record_without_a_trail_and_a_trail_without_a_record_are_noticed() -> None:
    case = Case(*STORY)

    assert problems(case.record, []) == [(0, "has no audit entries")]
    assert problems(None, case.trail) == [(0, "the effect itself is missing")]
    assert problems(None, []) == []


@pytest.mark.parametrize("secret", [None, SECRET], ids=["plain", "keyed"])
def test_a_trail_verifies_after_its_contents_were_erased(secret: bytes | None) -> None:
    """The chain covers a salted hash; body and salt may go, one by one or all."""
    case = Case(*STORY, secret=secret)
    for at in range(len(case.trail)):
        trail = case.trail
        trail[at] = replace(trail[at], body=None, salt=None)
        assert problems(case.record, trail, secret) == []

    erased = [replace(entry, body=None, salt=None) for entry in case.trail]
    assert problems(replace(case.record, args="erased"), erased, secret) == []


def test_an_erased_entry_still_cannot_be_altered() -> None:
    case = Case(*STORY)
    erased = [replace(entry, body=None, salt=None) for entry in case.trail]
    erased[1] = replace(erased[1], actor="somebody")

    assert problems(case.record, erased) == [(2, "its hash does not fit its contents")]


def test_a_salt_kept_from_a_content_makes_it_unguessable() -> None:
    """STA-19: equal contents have different hashes."""
    assert salted(b"a" * 16, "100") != salted(b"b" * 16, "100")
    assert salted(b"a" * 16, "\ud800") != salted(b"a" * 16, "?")


def test_attempts_tell_of_every_execution() -> None:
    """IDE-21: number, times, outcome and error of each."""
    case = Case(*STORY)
    times = [entry.at for entry in case.trail]
    plain = {entry.seq: entry.body for entry in case.trail}

    assert attempts(case.trail, plain) == (
        AttemptInfo(1, times[0], times[1], State.RETRYABLE, "NotDone"),
        AttemptInfo(2, times[2], times[4], State.SUCCEEDED, None),
    )


def test_an_attempt_that_died_has_no_end_of_its_own() -> None:
    case = Case(Event.TAKE_OVER, Event.SUCCEED)
    times = [entry.at for entry in case.trail]

    first, second = attempts(case.trail, {})

    assert (first.number, first.started_at, first.ended_at) == (1, times[0], None)
    assert (second.number, second.started_at, second.ended_at) == (2, times[1], times[2])


@given(st.datetimes(timezones=st.just(UTC)))
def test_moments_are_counted_exactly(moment: datetime) -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros(moment)) == moment


def test_a_body_is_plain_json_whatever_it_says() -> None:
    entry = make_entry(
        tenant="t",
        key=KEY,
        seq=1,
        event=Event.NOTE,
        state=State.PENDING,
        fence=1,
        attempt=1,
        actor="ü \u2028",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        body={"why": "💳 \0"},
        salt=bytes(16),
        prev=b"",
        secret=None,
    )

    assert entry.body is not None
    assert json.loads(entry.body) == {"why": "💳 \0"}
