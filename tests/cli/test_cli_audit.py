"""`holdfast audit verify` finds what was altered, and does not cry wolf."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest
from shopkeeping import alter, charge, doubtful

from holdfast import SyncLedger


def test_a_trail_as_it_was_written_is_verified(shop, read, run):
    [report] = read("audit", "verify")

    assert (report["ok"], report["chains"], report["problems"]) == (True, 4, [])
    assert run("audit", "verify").exit_code == 0


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE holdfast_audit SET actor = 'someone else' WHERE seq = 1", "hash does not fit"),
        ("DELETE FROM holdfast_audit WHERE seq = 1", "missing"),
        ("UPDATE holdfast_effect SET args = '{}' WHERE workflow_id = 'order-123'", "altered on record: args"),
        ("UPDATE holdfast_effect SET state = 'succeeded' WHERE state = 'unknown'", "record says succeeded"),
    ],
)
def test_what_was_altered_is_found_and_is_exit_7(shop, home, run, read, statement, what):
    alter(home / "holdfast.db", statement)

    result = run("audit", "verify")

    assert result.exit_code == 7
    assert what in result.stdout
    [report] = read("audit", "verify")
    assert not report["ok"]
    assert all(set(problem) == {"key", "seq", "what"} for problem in report["problems"])


def test_other_tenants_trails_are_verified_when_asked_for(shop, read):
    with SyncLedger("sqlite:///holdfast.db", tenant="acme") as ledger:
        ledger.run(charge("order-1"), lambda **_: 1)

    assert read("audit", "verify")[0]["chains"] == 4
    assert read("audit", "verify", "--tenant", "acme")[0]["chains"] == 1
    assert read("audit", "verify", "--all-tenants")[0]["chains"] == 5


def test_a_person_sees_how_far_it_has_come_and_a_pipe_does_not(shop, run):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "holdfast", "audit", "verify"]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)

    assert "\r\x1b[Kchecked 4 effects ...\r\x1b[Kchecked 4 effects, 7 audit entries: no problem" in shown
    assert "..." not in run("audit", "verify").stderr


class Sealing:
    """A codec that the command line does not have."""

    def seal(self, text, *, context):
        return json.dumps({"enc": "test", "kid": "1", "ct": text.encode().hex()}, separators=(",", ":"))

    def open(self, text, *, context):
        return bytes.fromhex(json.loads(text)["ct"]).decode()


@pytest.fixture
def sealed(home):
    with SyncLedger("sqlite:///holdfast.db", codec=Sealing()) as ledger:
        paid = ledger.call(charge("order-1"), lambda **_: {"id": "ch_1"}).key
        doubtful(ledger, charge("order-2"))
    return paid


def test_a_sealed_ledger_is_not_called_broken(sealed, run, read):
    result = run("audit", "verify")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "2 effects sealed with a codec" in result.stderr
    assert read("audit", "verify")[0]["unreadable"] == 2


def test_a_sealed_effect_is_shown_without_its_contents(sealed, run, read):
    [effect] = read("show", sealed)

    assert (effect["state"], effect["args"], effect["result"]) == ("succeeded", None, None)
    assert [event["event"] for event in effect["story"]] == ["claim", "succeed"]
    assert run("unknown").exit_code == 0


def test_a_sealed_payload_cannot_be_compared_and_that_is_told(sealed, run):
    result = run("show", sealed, "--diff", "-", stdin="{}")

    assert result.exit_code == 1
    assert "sealed with a codec" in result.stderr
