"""`holdfast workflows pause`, `cancel`, `restart`, `fork`, `halt`, `signal`: on live workflows, with their exit codes."""

from __future__ import annotations

import threading

import pytest
from shopkeeping import stopped
from workflow_desk import BY, URL, desk

from holdfast import SyncLedger
from holdfast.engines import SyncWorker


@pytest.fixture
def waiting(home):
    """A workflow that waits for a signal, after two steps."""
    with desk() as here:
        here.waits("ticket-7")


def status(workflow_id="ticket-7"):
    with SyncLedger(URL) as ledger:
        return ledger.execution(workflow_id).status


def goes_on(workflow_id="ticket-7"):
    """Do what a worker would; return how it stands then."""
    with desk() as here:
        return here.ledger.drive(workflow_id).status


def test_a_paused_one_stands_still_until_it_is_resumed(waiting, run):
    """DUR-14."""
    paused = run("workflows", "pause", "ticket-7", *BY)
    run("workflows", "signal", "ticket-7", "replied")

    assert (paused.exit_code, paused.stdout) == (0, "ticket-7\twaiting\n")
    assert "nobody goes on with it, by ops@acme.example: a look" in paused.stderr
    assert "next: holdfast workflows resume ticket-7" in paused.stderr
    assert goes_on() == "waiting"
    resumed = run("workflows", "resume", "ticket-7", *BY)
    assert (resumed.exit_code, resumed.stdout) == (0, "ticket-7\twaiting\n")
    assert "it may go on, by ops@acme.example" in resumed.stderr
    assert goes_on() == "succeeded"


def test_a_cancelled_one_ends_and_its_children_with_it(home, run):
    """DUR-14."""
    with desk() as here:
        here.parent("parent-1")
        [child] = here.ledger.executions(parent="parent-1")

    result = run("workflows", "cancel", "parent-1", *BY)

    assert (result.exit_code, result.stdout) == (0, "parent-1\tcancelled\n")
    assert "it is cancelled" in result.stderr
    assert status(child.workflow_id) == "cancelled"


def test_one_that_failed_is_restarted_from_its_record(home, run, read):
    """DUR-14, DUR-02: what had ended is not done again."""
    with desk() as here:
        here.fails("ticket-7")

    result = run("workflows", "restart", "ticket-7")
    calls = []
    with SyncLedger(URL) as ledger:

        @ledger.workflow
        def failing(ctx, topic):
            return f"{ctx.step('plan', calls.append, topic)}!"

        assert ledger.drive("ticket-7").status == "succeeded"

    assert (result.exit_code, result.stdout) == (0, "ticket-7\tqueued\n")
    assert "it is queued, and goes on from its record" in result.stderr
    assert "next: holdfast worker MODULE:LEDGER" in result.stderr
    assert calls == []
    assert read("workflows", "show", "ticket-7")[0]["output"] == "T!"


@pytest.mark.parametrize(("step", "kept"), [("answer", 1), ("2", 1), ("1", 0), ("plan", 0)])
def test_a_fork_goes_on_from_a_step_by_name_or_by_position(waiting, run, read, step, kept):
    """DUR-14: what came before is its record too; the first one stays as it was."""
    result = run("workflows", "fork", "ticket-7", "again-7", "--from-step", step)

    assert (result.exit_code, result.stdout) == (0, "again-7\tqueued\n")
    assert f"goes on from step {step}" in result.stderr
    assert len(read("workflows", "show", "again-7")[0]["steps"]) == kept
    assert goes_on("again-7") == "waiting"
    assert status() == "waiting"


def test_a_halt_stops_all_of_an_actors_and_no_others(home, run):
    """DUR-14: stop-all; what is begun meanwhile does not start."""
    with desk() as here:
        here.waits("mine-1")
    with desk(actor="agent-7") as here:
        here.waits("its-1")
        here.waits("its-2")

    halted = run("workflows", "halt", "--actor", "agent-7", *BY)
    with desk(actor="agent-7") as here:
        here.support.enqueue("its-3", topic="t")
        assert here.ledger.drive("its-3").status == "queued"
    unhalted = run("workflows", "unhalt", "--actor", "agent-7", *BY)

    assert (halted.exit_code, halted.stdout) == (0, "agent-7\t2\n")
    assert "2 workflows stopped (agent-7)" in halted.stderr
    assert (unhalted.exit_code, unhalted.stdout) == (0, "agent-7\t3\n")
    assert "3 workflows may go on (agent-7)" in unhalted.stderr


def test_a_halt_of_everybody_is_told_as_json_too(waiting, read):
    assert read("workflows", "halt", *BY) == [{"actor": None, "workflows": 1, "what": "stopped"}]
    assert read("workflows", "--paused")[0]["pause"] == "halted"
    assert read("workflows", "unhalt", *BY) == [{"actor": None, "workflows": 1, "what": "may go on"}]


def test_a_signal_is_heard_once_under_its_id(waiting, run, read):
    """STA-15, RET-22."""
    for _ in range(2):
        result = run("workflows", "signal", "ticket-7", "replied", '{"text": "yes"}', "--id", "mail-1")
        assert (result.exit_code, result.stdout) == (0, "ticket-7\twaiting\n")
        assert "it will hear of it" in result.stderr

    assert goes_on() == "succeeded"
    waits = [step for step in read("workflows", "show", "ticket-7")[0]["steps"] if step["kind"] == "wait"]
    assert [wait["result"] for wait in waits] == [{"text": "yes"}]


def test_a_signal_to_one_that_has_ended_is_said_to_be_unheard(home, run):
    with desk() as here:
        here.done("ticket-7")

    result = run("workflows", "signal", "ticket-7", "replied")

    assert result.exit_code == 0
    assert "it has ended: nobody hears of it" in result.stderr


@pytest.mark.parametrize(
    "words", [("pause", *BY), ("cancel", *BY), ("restart",), ("resume", *BY), ("signal", "replied")]
)
def test_with_json_the_answer_is_the_execution(home, read, words):
    command, *rest = words
    with desk() as here:
        here.fails("ticket-7") if command == "restart" else here.waits("ticket-7")

    [told] = read("workflows", command, "ticket-7", *rest)

    assert (told["workflow_id"], told["name"]) == (
        "ticket-7",
        "failing" if command == "restart" else "support",
    )


def test_bare_calls_that_were_stopped_are_resumed_here_too(home, run, read):
    with SyncLedger(URL) as ledger:
        stopped(ledger, "order-300")
        stopped(ledger, "order-301")

    assert run("workflows", "resume", "order-300", *BY).stdout == "order-300\trunning\n"
    assert read("workflows", "resume", "order-301", *BY)[0]["workflow_id"] == "order-301"


class Gate:
    """A step that stands still until it is let go."""

    def __init__(self):
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self):
        self.reached.set()
        assert self.open.wait(60)
        return "passed"


@pytest.mark.parametrize("command", ["pause", "cancel"])
def test_one_that_a_worker_is_at_stops_at_its_next_step(home, run, command):
    """DUR-14, from the command line on a live run: what is under way ends and is recorded, nothing more begins."""
    gate, after = Gate(), []
    with SyncLedger(URL) as ledger:

        @ledger.workflow
        def live(ctx):
            ctx.step("gate", gate)
            return ctx.step("after", after.append, 1)

        live.enqueue("live-1")
        worker = SyncWorker(ledger, concurrency=1)
        working = threading.Thread(target=worker.run)
        working.start()
        try:
            assert gate.reached.wait(60)
            told = run("workflows", command, "live-1", *BY)
            gate.open.set()
            list(ledger.events("live-1")) if command == "cancel" else stands_still(ledger)
        finally:
            gate.open.set()
            worker.stop()
            working.join()
        execution, names = ledger.execution("live-1"), [step.name for step in ledger.steps("live-1")]

    assert (told.exit_code, told.stdout) == (0, "live-1\trunning\n")
    assert ("a worker sees to that" if command == "cancel" else "nobody goes on with it") in told.stderr
    assert (names, after) == (["gate"], [])
    assert (execution.status == "cancelled") is (command == "cancel")
    assert (execution.pause == "paused") is (command == "pause")


def stands_still(ledger):
    for _ in range(600):
        if ledger.execution("live-1").status != "running":
            return
        threading.Event().wait(0.1)
    raise AssertionError("it goes on")
