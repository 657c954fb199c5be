"""I6: whatever somebody writes into the database, `verify` says so; it never fails over it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from holdfast import Settings, SyncLedger, ToolCall
from holdfast.errors import PayloadSealed

CALLS = [ToolCall(workflow_id=f"order-{n}", tool="charge", args={"amount": n}) for n in range(3)]


@pytest.fixture
def url(tmp_path: Path) -> str:
    where = f"sqlite:///{tmp_path / 'ledger.db'}"
    with SyncLedger(where, settings=Settings(audit_key="k" * 32)) as ledger:
        for call in CALLS:
            ledger.run(call, lambda amount: {"paid": amount})
    return where


def write(url: str, statement: str) -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as db, db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE holdfast_audit SET state = 'bogus' WHERE id = 3",
        "UPDATE holdfast_audit SET at = 9000000000000000000 WHERE id = 3",
        "UPDATE holdfast_audit SET body = '{\"enc\":' WHERE id = 3",
        "UPDATE holdfast_audit SET body = 'nonsense' WHERE id = 3",
        "UPDATE holdfast_effect SET state = 'bogus' WHERE workflow_id = 'order-1'",
        "UPDATE holdfast_effect SET updated_at = 9000000000000000000 WHERE workflow_id = 'order-1'",
        "UPDATE holdfast_effect SET result = '{\"paid\":999}' WHERE workflow_id = 'order-1'",
    ],
)
def test_i6_what_no_ledger_would_have_written_is_a_finding_and_the_rest_is_checked(
    url: str, statement: str
) -> None:
    write(url, statement)

    with SyncLedger(url, settings=Settings(audit_key="k" * 32)) as ledger:
        report = ledger.verify()

    assert report.chains == 3
    looks_sealed = "enc" in statement  # it may be another ledger's, with the codec that this one lacks
    assert report.unreadable == looks_sealed
    assert len({problem.key for problem in report.problems}) == (not looks_sealed)
    assert report.ok is looks_sealed


def test_i6_contents_that_were_erased_are_counted_for_they_bind_the_record_to_nothing(url: str) -> None:
    write(url, "UPDATE holdfast_audit SET body = NULL WHERE id = 4")

    with SyncLedger(url, settings=Settings(audit_key="k" * 32)) as ledger:
        report = ledger.verify()

    assert (report.chains, report.unreadable) == (3, 1)


def test_a_damaged_envelope_is_told_as_what_it_is(url: str) -> None:
    write(url, "UPDATE holdfast_effect SET result = '{\"enc\":' WHERE workflow_id = 'order-1'")

    with SyncLedger(url) as ledger, pytest.raises(PayloadSealed, match="damaged"):
        ledger.run(CALLS[1], lambda amount: {"paid": amount})
