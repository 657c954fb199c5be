"""`holdfast reap` deletes old finished effects, never anything else, and never unasked."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest
from shopkeeping import charge, doubtful

from holdfast import SyncLedger

OLD = ("--older-than", "0.001ms")


def test_finished_effects_are_deleted_and_unfinished_ones_listed(shop, run, read):
    """IDE-20: retention; what is unfinished or unknown is never reaped silently but listed for a person."""
    [report] = read("reap", *OLD, "--yes")

    assert report["removed"] == 1
    assert set(report["kept"]) == {shop.doubtful, shop.declined, shop.waiting}
    assert run("show", shop.paid).exit_code == 3
    assert {effect["key"] for effect in read("effects")} == set(report["kept"])
    assert run("audit", "verify").exit_code == 0


def test_a_reaped_effect_would_run_again(shop, run):
    """IDE-20: a reaped key's reuse is documented behaviour."""
    run("reap", *OLD, "--yes")

    with SyncLedger("sqlite:///holdfast.db") as ledger:
        assert not ledger.call(charge("order-123"), lambda **_: 2).replayed
    assert "would run again" in " ".join(run("reap", "--help").stdout.split())


def test_a_dry_run_tells_the_same_and_deletes_nothing(shop, read):
    """IDE-20."""
    before = read("effects")

    [rehearsed] = read("reap", *OLD, "--dry-run")

    assert read("effects") == before
    [done] = read("reap", *OLD, "--yes")
    assert (rehearsed["removed"], set(rehearsed["kept"])) == (done["removed"], set(done["kept"]))
    assert (rehearsed["dry_run"], done["dry_run"]) == (True, False)


def test_what_is_young_is_neither_deleted_nor_listed(shop, read):
    for how in ("--dry-run", "--yes"):
        assert read("reap", "--older-than", "30d", how) == [
            {"removed": 0, "kept": [], "dry_run": how == "--dry-run"}
        ]


def test_nothing_is_deleted_when_nobody_can_be_asked(shop, run, read):
    result = run("reap", *OLD)

    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert len(read("effects")) == 4


@pytest.mark.parametrize(("answer", "left"), [(b"n\n", 4), (b"y\n", 3)])
def test_a_person_is_asked_and_no_is_the_default(shop, read, answer, left):
    ours, theirs = pty.openpty()
    os.write(ours, answer)
    command = [sys.executable, "-m", "holdfast", "reap", *OLD]
    done = subprocess.run(command, stdin=theirs, capture_output=True, text=True, check=False)
    os.close(theirs)
    os.close(ours)

    assert "for good? [y/N]" in done.stderr
    assert len(read("effects")) == left


@pytest.mark.parametrize("length", ["soon", "0s", "-1d", ""])
def test_a_length_of_time_that_is_none_is_refused(shop, run, length):
    result = run("reap", "--older-than", length, "--yes")

    assert result.exit_code == 2
    assert "3d" in result.stderr


def test_other_tenants_are_not_reaped(shop, run, read):
    with SyncLedger("sqlite:///holdfast.db", tenant="acme") as ledger:
        ledger.run(charge("order-2"), lambda **_: 1)
        doubtful(ledger, charge("order-1"))

    assert read("reap", *OLD, "--yes", "--tenant", "acme")[0]["removed"] == 1
    assert run("show", shop.paid).exit_code == 0
