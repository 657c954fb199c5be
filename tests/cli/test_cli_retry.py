"""`holdfast retry` grants a new budget; `show`, `effects` and `doctor` tell what became of the old one."""

from __future__ import annotations

import pytest
from shopkeeping import BUSY, PATIENT, THROTTLED, charge, on_terminal, raising, spent, uncoloured

from holdfast import SyncLedger
from holdfast.errors import EffectFailed

GRANT = ("--by", "ops@acme.example", "--reason", "the provider is back")
ORDER = "order-500"


@pytest.fixture
def ledger(home):
    """The shop's ledger, in the hands of one worker."""
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        yield ledger


def test_retries_that_are_used_up_stay_so_in_every_process_until_a_person_grants_more(ledger, run, read):
    """RET-11: the budget is the effect's: attempts are on record, and count for all workers."""
    key = spent(ledger, ORDER)
    again = raising(RuntimeError("busy"))
    options = {"retry": PATIENT, "classify": lambda _: BUSY}

    with SyncLedger("sqlite:///holdfast.db") as other, pytest.raises(EffectFailed) as refused:
        other.run(charge(ORDER), again, **options)
    told = read("show", key)[0]
    granted = run("retry", key, *GRANT)
    with SyncLedger("sqlite:///holdfast.db") as third, pytest.raises(RuntimeError):
        third.run(charge(ORDER), again, **options)

    assert refused.value.spent
    assert (told["attempt"], told["spent"], told["state"]) == (3, True, "retryable")
    assert (granted.exit_code, granted.stdout) == (0, f"{key}\tretryable\n")
    assert again.calls == 3
    after = read("show", key)[0]
    assert (after["attempt"], after["spent"]) == (6, True)


def test_every_attempt_is_shown_with_its_time_its_error_what_it_was_taken_for_and_the_delay(ledger, read):
    """RET-21: the whole history; the same is in the audit trail."""
    key = spent(ledger, ORDER)

    [effect] = read("show", key)

    attempts = effect["attempts"]
    assert [attempt["number"] for attempt in attempts] == [1, 2, 3]
    assert {(attempt["error"], attempt["fault"]) for attempt in attempts} == {
        ("RuntimeError", "transient (503)")
    }
    assert all(attempt["started_at"] <= attempt["ended_at"] for attempt in attempts)
    assert [attempt["delay_s"] is None for attempt in attempts] == [False, False, True]
    ends = [event["details"] for event in effect["story"] if event["event"] == "release"]
    assert [end.get("delay_s") for end in ends] == [attempt["delay_s"] for attempt in attempts]
    assert [end["fault"] for end in ends] == ["transient (503)"] * 3
    assert effect["error"] == {
        "type": "RuntimeError",
        "message": "busy",
        "kind": "transient",
        "status": 503,
    }


def test_a_terminal_shows_the_attempts_and_that_there_will_be_no_more(ledger):
    """RET-21."""
    key = spent(ledger, ORDER)

    shown = uncoloured(on_terminal(["show", key]))

    assert "used up: no attempt without a person's word" in shown
    assert shown.count("transient (503)") >= 3
    assert f"next: holdfast retry {key} --by YOU --reason WHAT_HAS_CHANGED" in shown


def test_a_pipe_gets_what_each_attempt_was_taken_for_and_the_delay_as_last_cells(ledger, run):
    """RET-21."""
    key = spent(ledger, ORDER)

    rows = [line.split("\t") for line in run("show", key).stdout.splitlines()]

    facts = {row[0]: row[1] for row in rows if len(row) == 2}
    assert (facts["spent"], facts["uncertain"]) == ("true", "false")
    executions = [row for row in rows if row[0] == "execution"]
    assert [row[6] for row in executions] == ["transient (503)"] * 3
    assert float(executions[0][7]) >= 0
    assert executions[2][7] == ""


def wait_an_hour(ledger):
    """The provider asks for an hour's patience."""
    with pytest.raises(RuntimeError):
        ledger.run(charge(ORDER), raising(RuntimeError("slow down")), classify=lambda _: THROTTLED)
    return ledger.effects(workflow_id=ORDER)[0].key


def test_the_next_attempt_is_told_when_it_is_far_away_and_a_person_may_make_it_due(ledger, run, read):
    """RET-05: Retry-After is kept on record. RET-11: a person's word begins a new budget."""
    key = wait_an_hour(ledger)
    waiting = read("show", key)[0]
    told = run("show", key).stderr

    run("retry", key, *GRANT)

    assert waiting["updated_at"] < waiting["retry_at"]
    assert not waiting["spent"]
    assert f"make the same call again from {waiting['retry_at'][:10]}" in told
    assert read("show", key)[0]["retry_at"] is None
    with SyncLedger("sqlite:///holdfast.db") as other:
        assert other.run(charge(ORDER), lambda **_: "paid") == "paid"


def test_a_grant_is_in_the_story_with_name_and_reason(ledger, run, read):
    """RET-11: audited."""
    key = spent(ledger, ORDER)

    result = run("retry", key[3:12], *GRANT)

    assert "by ops@acme.example: the provider is back" in result.stderr
    last = read("show", key)[0]["story"][-1]
    assert (last["event"], last["actor"]) == ("release", "ops@acme.example")
    assert "reason: the provider is back" in last["note"]
    assert run("audit", "verify").exit_code == 0


def test_a_listing_has_what_further_attempts_depend_on(ledger, read):
    """RET-11."""
    spent(ledger, ORDER)

    [effect] = read("effects")

    names = ("spent", "retry_at", "uncertain", "external_id", "undoes")
    assert [effect[name] for name in names] == [True, None, False, None, None]


def test_the_doctor_warns_of_effects_without_retries_left(ledger, read):
    """RET-11."""
    key = spent(ledger, ORDER)

    [check] = [item for item in read("doctor") if item["check"] == "spent effects"]

    assert (check["level"], check["says"]) == ("warn", f"1 effect without retries left: {key}")
    assert "holdfast retry KEY" in check["fix"]


def test_what_may_be_sent_again_although_it_may_have_acted_says_so(ledger, run, read):
    """IDE-15: an idempotent effect whose answer was lost is neither called done nor not done."""
    call = charge(ORDER)
    with pytest.raises(ConnectionError):
        ledger.run(call, raising(ConnectionError("reset")), safety="idempotent", retry=False)
    key = ledger.effects(workflow_id=ORDER)[0].key

    result = run("show", key)

    assert read("show", key)[0]["uncertain"]
    assert "next: it may be sent again" in result.stderr
    assert "not done" not in result.stderr


@pytest.mark.parametrize(("name", "code"), [("paid", 4), ("waiting", 5), ("doubtful", 6)])
def test_only_what_is_retryable_is_granted_more(shop, run, read, name, code):
    key = getattr(shop, name)
    before = read("show", key)

    result = run("retry", key, *GRANT)

    assert (result.exit_code, result.stdout) == (code, "")
    assert "only what is retryable may be tried again" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert read("show", key) == before


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("order-500", *GRANT), 2, "is not a key"),
        (("v1:000000", *GRANT), 3, "[effect-not-found]"),
        (("e785e3", "--by", "me"), 2, "--reason"),
        (("e785e3", "--reason", "r"), 2, "--by"),
        (("e785e3", "--by", " ", "--reason", "r"), 2, "--by or --reason is empty"),
        (("e785e3", "--by", "me\x1b[2J", "--reason", "r"), 2, "no printable text"),
    ],
)
def test_a_grant_that_is_incomplete_changes_nothing(shop, run, read, words, code, told):
    """INT-13."""
    before = read("show", shop.declined)

    result = run("retry", *words)

    assert (result.exit_code, result.stdout) == (code, "")
    assert told in result.stderr
    assert read("show", shop.declined) == before
