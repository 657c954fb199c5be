"""`holdfast worker APP` in a real process: it starts, works, and ends in good order when it is asked to."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from holdfast import SyncLedger, SyncWorkflow

URL = "sqlite:///holdfast.db"
APP = """
import sys
from holdfast import {kind}, Settings

ledger = {kind}("sqlite:///holdfast.db", settings=Settings(drain=30))


def gate(text):
    print("at the gate")  # to stderr: stdout is for data
    sys.stdout.flush()
    with open("gate") as fifo:
        fifo.read()
    return text


@ledger.workflow
{define} support(ctx, topic):
    said = {wait} ctx.step("gate", gate, topic)
    return {wait} ctx.step("shout", str.upper, said)


@ledger.workflow(queue="mail")
{define} mail(ctx, to):
    return {wait} ctx.step("send", str.upper, to)
"""
KINDS = pytest.mark.parametrize("kind", ["Ledger", "SyncLedger"])


def app(kind):
    is_async = kind == "Ledger"
    return APP.format(kind=kind, define="async def" if is_async else "def", wait="await" if is_async else "")


@contextmanager
def worker(home, kind, *words):
    """A worker's process; whatever happens it ends with the test."""
    (home / "shop_app.py").write_text(app(kind))
    command = [sys.executable, "-W", "error", "-m", "holdfast", "worker", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()


def heard(stream, text):
    """Wait until a line with *text* comes; return it."""
    seen = []
    for line in stream:
        seen.append(line)
        if text in line:
            return line
    raise AssertionError(f"no {text!r} in {''.join(seen)}")


@pytest.fixture
def queue(home):
    """A ledger with a workflow in the default queue, and one in the queue of mails."""
    with SyncLedger(URL) as ledger:

        @ledger.workflow
        def support(ctx: SyncWorkflow, topic: str) -> None: ...

        @ledger.workflow(queue="mail")
        def mail(ctx: SyncWorkflow, to: str) -> None: ...

        support.enqueue("ticket-1", topic="t")
        mail.enqueue("mail-1", to="ann")
    os.mkfifo("gate")
    return home


@KINDS
def test_it_works_until_sigterm_and_leaves_what_is_under_way_at_its_next_step(queue, read, kind):
    """DUR-13, DUR-14: the step that runs ends and is recorded; the rest is for other workers. Exit 0."""
    with worker(queue, kind, "shop_app:ledger") as process:
        greeting = heard(process.stderr, "working on")
        heard(process.stderr, "at the gate")
        process.send_signal(signal.SIGTERM)
        heard(process.stderr, "ending")
        (queue / "gate").write_text("go on")
        told, complaints = process.communicate()

    [left] = read("workflows", "show", "ticket-1")
    assert "working on 2 workflows: " in greeting
    assert (process.returncode, told) == (0, ""), complaints
    assert "Traceback" not in complaints
    assert (left["status"], left["owner"], left["crashes"]) == ("queued", None, 0)
    assert [step["name"] for step in left["steps"]] == ["gate"]


@KINDS
def test_who_asks_twice_does_not_wait_for_the_step(queue, read, kind):
    """DUR-10: the end is that of a crash, and no worse: the lease runs out, another worker takes over."""
    with worker(queue, kind, "shop_app") as process:
        heard(process.stderr, "at the gate")
        process.send_signal(signal.SIGTERM)
        heard(process.stderr, "ending")
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate()

    [left] = read("workflows", "show", "ticket-1")
    assert process.returncode == -signal.SIGINT
    assert left["status"] == "running"
    assert [(step["name"], step["state"]) for step in left["steps"]] == [("gate", "pending")]


def test_with_a_queue_named_it_takes_from_that_one_only(queue, read):
    """DUR-13."""
    with worker(queue, "SyncLedger", "shop_app", "--queue", "mail", "--concurrency", "1") as process:
        with SyncLedger(URL) as ledger:
            events = list(ledger.events("mail-1"))
            waiting = ledger.execution("ticket-1").status
        process.send_signal(signal.SIGINT)
        process.communicate()

    assert (process.returncode, events[-1].result) == (0, "ANN")
    assert waiting == "queued"


@pytest.fixture
def run_worker(home, run, monkeypatch):
    """Try to start a worker of a module ``shop_app``, in this process."""
    monkeypatch.syspath_prepend(home)

    def invoke(source, *words):
        (home / "shop_app.py").write_text(source)
        sys.modules.pop("shop_app", None)
        importlib.invalidate_caches()
        return run("worker", *words)

    yield invoke
    sys.modules.pop("shop_app", None)


NO_FLOWS = "from holdfast import SyncLedger\nledger = SyncLedger('sqlite:///holdfast.db')\n"


@pytest.mark.parametrize(
    ("source", "words", "code", "told"),
    [
        ("", ("nosuch_app:ledger",), 2, "there is no module 'nosuch_app'"),
        ("", ("shop_app",), 2, "'shop_app' has 0 ledgers; make one at the top of that module"),
        (NO_FLOWS, ("shop_app:other",), 2, "'shop_app' has no 'other'"),
        ("ledger = 7", ("shop_app:ledger",), 2, "of type int, not a Ledger or SyncLedger"),
        ("import nosuch_package", ("shop_app",), 1, "'nosuch_package', which is not installed"),
        ("1 / 0", ("shop_app",), 1, "failed with ZeroDivisionError"),
        (NO_FLOWS, ("shop_app",), 2, "this ledger has no workflows"),
        (NO_FLOWS.replace("holdfast.db", "typo.db"), ("shop_app",), 3, "there is no ledger at"),
        (NO_FLOWS, ("shop_app", "--url", "sqlite:///other.db"), 2, "name two ledgers"),
        (NO_FLOWS, ("shop_app", "--concurrency", "0"), 2, "x>=1"),
        (NO_FLOWS, (), 2, "Missing argument 'APP'"),
    ],
)
def test_a_worker_that_cannot_begin_says_why_and_ends(home, run_worker, source, words, code, told):
    """INT-13."""
    with SyncLedger(URL) as ledger:
        ledger.effects()

    result = run_worker(source, *words)

    assert (result.exit_code, result.stdout) == (code, "")
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert not (home / "typo.db").exists()


def test_the_next_command_names_app_as_this_command_takes_it(home, run_worker):
    """INT-13: APP is an argument here, not an option."""
    with SyncLedger(URL) as ledger:
        ledger.effects()

    told = run_worker(NO_FLOWS, "shop_app:other").stderr

    assert "try holdfast worker shop_app:ledger" in told
    assert "--app" not in told
