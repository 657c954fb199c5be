"""What scripts rely on: the fields of --json, the columns of a pipe, the exit codes.

A field may be added here; renaming or removing one breaks somebody's script.
"""

from __future__ import annotations

import json

import pytest
from shopkeeping import doubtful

from holdfast import Budget, SyncLedger, ToolCall, errors
from holdfast._core.states import State
from holdfast.cli.exits import Exit, exit_for, exit_of

EFFECT = [
    *("key", "tenant", "workflow_id", "tool", "intent", "safety", "state", "attempt", "actor", "call_id"),
    *("fingerprint", "args", "result", "result_gap", "error", "lease_until"),
    *("created_at", "updated_at", "observed_at"),
    *("spent", "retry_at", "uncertain", "external_id", "undoes"),
]
ATTEMPT = ["number", "started_at", "ended_at", "outcome", "error", "fault", "delay_s"]
WORKFLOW = ["workflow_id", "tenant", "status", "open_reviews", "stopped", "stopped_by", "updated_at"]
STORY = ["seq", "at", "event", "state", "actor", "attempt", "fence", "note", "details", "hash"]

FIELDS = {
    "effects": EFFECT,
    "unknown": [
        *("key", "tenant", "workflow_id", "tool", "intent", "attempt", "since", "age_s", "why", "next"),
        "retry_at",
    ],
    "show DOUBT": [*EFFECT, "undone_by", "attempts", "story"],
    "show order-123": [
        *("workflow_id", "tenant", "status", "open_reviews", "effects", "stopped", "stopped_by"),
    ],
    "show DOUBT --diff args.json": ["path", "kind", "recorded", "offered"],
    "resolve DOUBT --still-unknown --by me --reason r": EFFECT,
    "signal DOUBT still_unknown": ["subject", "is_new", "effect"],
    "retry e785e3 --by me --reason r": EFFECT,
    "workflows": [*WORKFLOW, "next"],
    "resume order-124 --by me --reason r": WORKFLOW,
    "dependencies": [
        *("name", "tenant", "state", "retry_at", "good", "bad", "retries_left", "updated_at"),
    ],
    "budgets": [
        *("account", "unit", "per", "is_shared", "used", "held", "cap", "left", "percent", "raised"),
        "window_start",
    ],
    "budgets show workflow:order-1": ["account", "budgets", "costs", "factors"],
    "budgets costs": [
        *("name", "currency", "attempts", "money", "tokens", "wasted_money", "wasted_tokens"),
        *("assumed_money", "held_money"),
    ],
    "migrate --check --url sqlite:///new.db": ["migration", "status", "sha256"],
    "audit verify": ["ok", "chains", "entries", "unreadable", "problems"],
    "doctor": ["check", "level", "says", "fix"],
    "reap --older-than 30d --dry-run": ["removed", "kept", "dry_run"],
}


@pytest.fixture
def words(shop, home):
    """The words of a command, with the doubtful effect's key in place."""
    (home / "args.json").write_text("{}")
    with SyncLedger("sqlite:///holdfast.db", budgets={"workflow": Budget(tool_calls=5)}) as ledger:
        ledger.run(ToolCall(workflow_id="order-1", tool="count", args={}), lambda: 1, safety="idempotent")
    return lambda command: command.replace("DOUBT", shop.doubtful).split()


@pytest.mark.parametrize(("command", "fields"), FIELDS.items())
def test_every_line_of_json_has_the_promised_fields_in_the_promised_order(words, run, command, fields):
    """INT-08: the answers are for programs, too."""
    lines = run(*words(command), "--json").stdout.splitlines()

    assert lines
    for line in lines:
        assert list(json.loads(line)) == fields


def test_what_is_inside_keeps_its_promise_as_well(shop, read):
    [effect] = read("show", shop.doubtful)
    [workflow] = read("show", "order-124")

    assert [list(item) for item in effect["attempts"]] == [ATTEMPT]
    assert [list(item) for item in effect["story"]] == [STORY, STORY]
    assert [list(item) for item in workflow["effects"]] == [EFFECT]
    assert list(effect["error"]) == ["type", "message", "kind", "status"]


COLUMNS = {
    "effects": 9,
    "unknown": 5,
    "show order-123": 9,
    "show DOUBT --diff args.json": 4,
    "resolve DOUBT --still-unknown --by me --reason r": 2,
    "signal DOUBT still_unknown": 3,
    "retry e785e3 --by me --reason r": 2,
    "workflows": 6,
    "resume order-124 --by me --reason r": 2,
    "dependencies": 7,
    "budgets": 9,
    "budgets costs": 9,
    "migrate --check --url sqlite:///new.db": 3,
    "doctor": 4,
    "reap --older-than 0.001ms --dry-run": 1,
}


@pytest.mark.parametrize(("command", "count"), COLUMNS.items())
def test_every_line_of_a_pipe_has_the_promised_number_of_columns(words, run, command, count):
    lines = run(*words(command)).stdout.splitlines()

    assert lines
    assert {line.count("\t") + 1 for line in lines} == {count}


def test_times_are_utc_to_the_microsecond(shop, read):
    [effect] = read("show", shop.paid)

    assert len(effect["created_at"]) == len("2026-01-31T09:00:00.000000Z")
    assert effect["created_at"].endswith("Z")


def test_a_lease_is_told_only_while_there_is_one(shop, read):
    assert {effect["lease_until"] for effect in read("effects")} == {None}


def test_the_options_count_before_and_after_the_subcommand(shop, run):
    before = run("--json", "--url", "sqlite:///holdfast.db", "--tenant", "default", "effects")
    after = run("effects", "--json", "--url", "sqlite:///holdfast.db", "--tenant", "default")

    assert before.stdout == after.stdout != ""


def test_what_stands_after_the_subcommand_wins(shop, run):
    assert run("--url", "sqlite:///other.db", "effects", "--url", "sqlite:///holdfast.db").exit_code == 0


def test_the_environment_names_the_ledger(shop, home, run, monkeypatch):
    (home / "holdfast.db").rename(home / "elsewhere.db")
    monkeypatch.setenv("HOLDFAST_URL", "sqlite:///elsewhere.db")

    assert len(run("effects").stdout.splitlines()) == 4


CODES = {
    "EffectNotFound": 3,
    "WorkflowNotFound": 3,
    "ApprovalDenied": 4,
    "ApprovalExpired": 4,
    "ApprovalNotFound": 3,
    "ApprovalVoid": 7,
    "CapConflict": 1,
    "CapRefused": 4,
    "DecisionRefused": 4,
    "PolicyDenied": 4,
    "ApprovalRequired": 5,
    "InformationRequested": 5,
    "WorkflowStopped": 5,
    "OutcomeUnknown": 6,
    "StoreInvariant": 7,
    "InvalidCall": 2,
    "SchemaMismatch": 2,
    "InvalidTool": 2,
    "InvalidPrice": 2,
    "CurrencyMismatch": 2,
    "InvalidURL": 2,
    "NoteTooLarge": 2,
    "StepCollision": 2,
    "WindowExceeded": 2,
    "NotSerializable": 2,
}
RAISED_BY_HANDLERS = {"NotDone", "Permanent", "AttemptInfo"}
LEAVES_A_WORKFLOW = {"Suspended"}
BY_STATE = {"NotResolvable"}


@pytest.mark.parametrize(
    "name", sorted(set(errors.__all__) - RAISED_BY_HANDLERS - LEAVES_A_WORKFLOW - BY_STATE)
)
def test_every_error_has_its_exit_code(name):
    """INT-13: the codes are documented, and the same everywhere."""
    error = getattr(errors, name)

    assert exit_for(error.__new__(error)) == CODES.get(name, 1)


def test_a_decision_that_is_still_owed_is_told_from_a_refusal():
    assert exit_for(errors.NotResolvable("v1:0", "waiting")) == Exit.WAITING
    assert exit_for(errors.NotResolvable("v1:0", "succeeded")) == Exit.DENIED


def test_every_state_has_its_exit_code_and_the_gravest_counts():
    assert {state: int(exit_of([state])) for state in State} == {
        State.SUCCEEDED: 0,
        State.COMPENSATED: 0,
        State.PENDING: 1,
        State.RETRYABLE: 1,
        State.FAILED: 1,
        State.CANCELLED: 1,
        State.DENIED: 4,
        State.WAITING: 5,
        State.UNKNOWN: 6,
    }
    assert exit_of([State.SUCCEEDED, State.UNKNOWN, State.FAILED]) == Exit.IN_DOUBT
    assert exit_of([]) == Exit.DONE
    assert exit_of([State.SUCCEEDED], stopped=True) == Exit.WAITING
    assert exit_of([State.UNKNOWN], stopped=True) == Exit.IN_DOUBT


READING = [
    ("effects",),
    ("unknown",),
    ("show", "order-123"),
    ("show", "v1:123456"),
    ("resolve", "v1:123456", "--not-done", "--by", "me", "--reason", "r"),
    ("signal", "ch_1", "done"),
    ("retry", "v1:123456", "--by", "me", "--reason", "r"),
    ("workflows",),
    ("workflows", "show", "ticket-7"),
    ("workflows", "cancel", "ticket-7", "--by", "me", "--reason", "r"),
    ("workflows", "halt", "--by", "me", "--reason", "r"),
    ("resume", "order-123", "--by", "me", "--reason", "r"),
    ("dependencies",),
    ("budgets",),
    ("budgets", "show", "tenant"),
    ("budgets", "costs"),
    ("budgets", "raise", "tenant", "usd", "--add", "1", "--by", "me", "--reason", "r"),
    ("audit", "verify"),
    ("reap", "--older-than", "1d", "--yes"),
]


@pytest.mark.parametrize("command", READING)
def test_a_ledger_file_that_does_not_exist_is_not_created(home, run, command):
    """INT-13: a typo in the path is told with the whole path."""
    result = run(*command, "--url", "sqlite:///typo.db")

    assert (result.exit_code, result.stdout) == (3, "")
    assert f"there is no ledger at {home / 'typo.db'}" in result.stderr
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("command", READING)
def test_a_ledger_without_tables_is_not_migrated(home, run, command):
    """INT-12, INT-13: only `migrate` migrates."""
    (home / "empty.db").touch()

    result = run(*command, "--url", "sqlite:///empty.db")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "`holdfast migrate --url sqlite:///empty.db`" in result.stderr
    assert run("migrate", "--check", "--url", "sqlite:///empty.db").exit_code == 1


@pytest.mark.parametrize(
    ("url", "code", "told"),
    [
        ("sqlite:///no-database.txt", 1, "not a database"),
        ("sqlite:///a-directory", 3, "there is no ledger at"),
        ("sqlite://two-slashes.db", 2, "three slashes"),
        ("mysql://localhost/x", 2, "postgresql://user@host/database"),
        ("", 2, "names no store"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_without_a_traceback(home, run, url, code, told):
    """INT-13."""
    (home / "no-database.txt").write_text("a letter, not a ledger. " * 100)
    (home / "a-directory").mkdir()

    result = run("effects", "--url", url)

    assert (result.exit_code, result.stdout) == (code, "")
    assert told in result.stderr
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1


def test_an_empty_tenant_is_refused(shop, run):
    assert run("effects", "--tenant", "").exit_code == 2


def test_errors_of_one_kind_are_found_by_their_code(shop, run):
    """INT-13: each error class has a code."""
    assert run("show", "nothing").stderr.endswith("[effect-not-found]\n")
    assert run("effects", "--url", "sqlite:///typo.db").stderr.endswith("[nothing-found]\n")


def test_a_ledger_that_only_doubts_is_still_read(home, run, read):
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        doubtful(ledger, ToolCall(workflow_id="w", tool="t"))

    assert [effect["state"] for effect in read("effects")] == ["unknown"]
