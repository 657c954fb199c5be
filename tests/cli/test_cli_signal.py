"""`holdfast signal` passes on by hand what a webhook would have told, and never moves an effect backwards."""

from __future__ import annotations

import pytest
from shopkeeping import charge, doubtful

from holdfast import SyncLedger

CHARGED = ("--result", '{"id": "ch_2"}')


@pytest.fixture
def key(shop):
    """The effect in doubt."""
    return shop.doubtful


@pytest.mark.parametrize("how", ["whole", "short", "idempotency key"])
def test_word_from_outside_settles_doubt(key, run, read, how):
    """IDE-27: matched by identity."""
    subject = {"whole": key, "short": key[:9], "idempotency key": key[3:]}[how]

    result = run("signal", subject, "done", *CHARGED)

    assert (result.exit_code, result.stdout) == (0, f"{key}\tsucceeded\tnew\n")
    assert "the effect is succeeded" in result.stderr
    [effect] = read("show", key)
    assert effect["result"] == {"id": "ch_2"}
    assert effect["story"][-1]["note"].startswith("source: signal")


def test_what_the_outside_says_was_done_is_what_callers_get(key, run):
    """IDE-27."""
    run("signal", key, "done", *CHARGED)

    with SyncLedger("sqlite:///holdfast.db") as ledger:
        assert ledger.run(charge("order-124"), lambda **_: pytest.fail("it ran again")) == {"id": "ch_2"}


@pytest.mark.parametrize("late", ["still_unknown", "not_done"])
def test_a_late_signal_moves_nothing_backwards(key, run, read, late):
    """IDE-27: 'succeeded', then a late 'processing': it stays succeeded; the signal is in the story."""
    run("signal", key, "done", *CHARGED, "--id", "evt_2")

    result = run("signal", key, late, "--id", "evt_1")

    assert (result.exit_code, result.stdout) == (0, f"{key}\tsucceeded\tnew\n")
    [effect] = read("show", key)
    assert effect["result"] == {"id": "ch_2"}
    assert "signal: evt_1" in effect["story"][-1]["note"]
    assert run("audit", "verify").exit_code == 0


def test_a_signal_that_comes_twice_counts_once(key, run, read):
    """IDE-27: duplicates are ignored."""
    words = ("signal", key, "done", *CHARGED, "--id", "evt_1")
    run(*words)
    before = read("show", key)

    result = run(*words)

    assert (result.exit_code, result.stdout) == (0, f"{key}\tsucceeded\tknown\n")
    assert "told before" in result.stderr
    assert read("show", key) == before


def test_a_signal_before_the_call_returns_counts_when_the_answer_is_lost(home, run, read):
    """IDE-27, IDE-15: the webhook was quicker than the answer, which never came."""
    call = charge("order-1")

    def loses_its_answer(**_):
        [pending] = read("effects")
        assert run("signal", pending["key"], "done", *CHARGED).stdout.endswith("\tpending\tnew\n")
        raise ConnectionError("reset by peer")

    with SyncLedger("sqlite:///holdfast.db") as ledger:
        assert ledger.run(call, loses_its_answer) == {"id": "ch_2"}
        assert ledger.run(call, lambda **_: pytest.fail("it ran again")) == {"id": "ch_2"}


def test_an_effect_is_found_by_what_the_outside_calls_it(shop, run, read):
    """IDE-27: by identity, whoever gave it."""
    [paid] = read("effects", "--state", "succeeded")

    result = run("signal", "ch_1", "done", "--evidence", '{"status": "succeeded"}')

    assert paid["external_id"] == "ch_1"
    assert (result.exit_code, result.stdout) == (0, f"{shop.paid}\tsucceeded\tnew\n")


def test_json_tells_the_subject_whether_it_is_new_and_the_effect(key, read):
    """INT-08."""
    [told] = read("signal", key[:9], "still_unknown", "--evidence", '{"status": "processing"}')

    assert (told["subject"], told["is_new"], told["effect"]["state"]) == (key, True, "unknown")


def test_a_name_that_nobody_knows_is_exit_3_and_its_signal_is_kept(shop, run, read):
    """IDE-27, INT-13."""
    result = run("signal", "ch_404", "done")

    assert (result.exit_code, result.stdout) == (3, "\t\tnew\n")
    assert "no effect goes by the name 'ch_404'" in result.stderr
    assert read("signal", "ch_404", "done") == [{"subject": "ch_404", "is_new": False, "effect": None}]


def test_bare_digits_are_a_name_and_no_start_of_a_key(key, run, read):
    """IDE-27: an order number must not settle the effect whose key happens to start like it."""
    result = run("signal", key[3:9], "done")

    assert result.exit_code == 3
    assert f"to mean the key that starts so, write v1:{key[3:9]}" in result.stderr
    assert read("show", key)[0]["state"] == "unknown"


def test_not_done_that_comes_too_early_leaves_doubt_and_says_until_when(home, run):
    """IDE-15: a request may still be on its way."""
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        key = doubtful(ledger, charge("order-1"), timeout="1h")

    result = run("signal", key, "not_done")

    assert (result.exit_code, result.stdout) == (6, f"{key}\tunknown\tnew\n")
    assert "still in doubt: " in result.stderr
    assert "the last attempt may act until" in result.stderr


def test_processing_is_no_answer_and_no_failure(key, run):
    result = run("signal", key, "still_unknown")

    assert (result.exit_code, result.stdout) == (0, f"{key}\tunknown\tnew\n")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("DOUBT", "maybe"), 2, "'still_unknown'"),
        (("DOUBT", "done", "--result", "{"), 2, "--result is not JSON"),
        (("DOUBT", "done", "--result", "NaN"), 2, "$"),
        (("DOUBT", "done", "--evidence", "[" * 100_000), 2, "--evidence is not JSON"),
        (("DOUBT", "not_done", "--result", "1"), 2, "only what is done has a result"),
        (("DOUBT", "done", "--id", "evt\x1b[2J"), 2, "signal_id is no printable text"),
        (("", "done"), 2, "subject is no printable text"),
        (("v1:000000", "done"), 3, "[effect-not-found]"),
    ],
)
def test_a_word_that_cannot_be_understood_changes_nothing(key, run, read, words, code, told):
    """INT-13."""
    result = run("signal", *(key if word == "DOUBT" else word for word in words))

    assert (result.exit_code, result.stdout) == (code, "")
    assert told in result.stderr
    assert read("show", key)[0]["state"] == "unknown"


def test_another_tenants_effect_is_not_reached(key, run, read):
    assert run("signal", key, "done", "--tenant", "acme").exit_code == 3
    assert read("show", key)[0]["state"] == "unknown"
