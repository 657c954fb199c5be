"""A process's own life: it forks, it is interrupted, it ends while a handler hangs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from e2e.children import PATIENCE_S, Scene
from holdfast import State

FORK = """
import asyncio, json, os, sys
from holdfast import Ledger, SyncLedger, ToolCall

url, face = sys.argv[1:]

def call(n):
    return ToolCall(workflow_id="w", tool="t", args={"n": n})

def parent_and_child(use):
    assert use(0) == 0
    child = os.fork()
    if child == 0:
        ok = use(0) == 0 and use(1) == 1
        os._exit(0 if ok else 1)
    assert use(2) == 2
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    assert use(1) == 1

if face == "sync":
    with SyncLedger(url, migrate=True) as ledger:
        parent_and_child(lambda n: ledger.run(call(n), lambda n: n))
        found = ledger.effects()
else:
    ledger = Ledger(url, migrate=True)
    parent_and_child(lambda n: asyncio.run(ledger.run(call(n), lambda n: n)))
    found = asyncio.run(ledger.effects())
    asyncio.run(ledger.close())
print(json.dumps(sorted([effect.args["n"], effect.attempt] for effect in found)))
"""


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of these tests in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_a_ledger_that_was_used_before_a_fork_works_in_both_processes(scene: Scene) -> None:
    """C2, STA-13: no connection is shared; the child's effects are the parent's."""
    done = run(FORK, scene.url, scene.face)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[0, 1], [1, 1], [2, 1]]


@pytest.mark.parametrize(("safety", "state"), [("unsafe", State.UNKNOWN), ("idempotent", State.RETRYABLE)])
def test_ctrl_c_in_a_handler_ends_the_process_and_leaves_what_is_true(
    scene: Scene, safety: str, state: State
) -> None:
    """X5, DUR-10: an unsafe effect is in doubt at once, without waiting for a lease."""
    scene.lease_s, scene.renew_every_s = 60, 10
    handler = "wait_for_ever" if scene.face == "async" else "hang"
    with scene.worker(handler=handler, safety=safety) as worker:
        worker.at("waiting")
        worker.process.send_signal(signal.SIGINT)
        code, complaints = worker.ended()

    assert code in {1, -signal.SIGINT}
    assert "KeyboardInterrupt" in complaints
    with scene.ledger() as ledger:
        [effect] = ledger.effects()
        assert effect.state is state
        assert ledger.verify().ok


def test_a_process_ends_although_a_handler_hangs_in_a_thread(scene: Scene) -> None:
    """X5, INT-06: a thread cannot be stopped, but it cannot keep the process alive either."""
    with scene.worker(handler="hang", timeout=0.2) as worker:
        worker.at("waiting")
        told = worker.heard()
        code, _ = worker.ended()

    assert told["error"] == "OutcomeUnknown"
    assert code == 0
    with scene.ledger() as ledger:
        assert [effect.state for effect in ledger.effects()] == [State.UNKNOWN]


def test_sigterm_is_a_kill_like_any_other(scene: Scene) -> None:
    """X5, DUR-10: the claim stays, and is doubt once its lease is over; nothing worse."""
    with scene.worker("handler-end") as worker:
        worker.at("handler-end")
        worker.process.terminate()
        assert worker.process.wait(PATIENCE_S) == -signal.SIGTERM

    with scene.ledger() as ledger:
        assert [effect.state for effect in ledger.effects()] == [State.PENDING]
    assert len(scene.happened) == 1


FORKED_WITHIN = """
import os, sys, threading, time
from holdfast import SyncLedger, ToolCall

ledger = SyncLedger(sys.argv[1], migrate=True)
started, go = threading.Event(), threading.Event()

def slow(n):
    started.set()
    go.wait()
    return n

call = lambda n: ToolCall(workflow_id="w", tool="t", args={"n": n})
thread = threading.Thread(target=lambda: ledger.run(call(0), slow))
thread.start()
started.wait()
child = os.fork()
if child == 0:
    assert ledger.run(call(1), lambda n: n) == 1
    begun = time.monotonic()
    ledger.close(drain=20)
    os._exit(0 if time.monotonic() - begun < 10 else 1)
_, status = os.waitpid(child, 0)
go.set()
thread.join()
assert ledger.run(call(0), slow) == 0
ledger.close()
print(status)
"""


def test_a_child_does_not_wait_for_its_parents_handlers(scene: Scene) -> None:
    """C2: they go on there; closing the child's ledger ends at once."""
    done = run(FORKED_WITHIN, scene.url)

    assert (done.returncode, done.stdout.strip()) == (0, "0"), done.stderr


FORKED_HANDLER = """
import os, sys
from holdfast import NotDone, SyncLedger, ToolCall

ledger = SyncLedger(sys.argv[1], migrate=True)
parent = os.getpid()

def act(n):
    child = os.fork()
    if child == 0:
        raise NotDone("the child goes on in its parent's handler")
    os.waitpid(child, 0)
    return n

try:
    print(ledger.run(ToolCall(workflow_id="w", tool="t", args={"n": 7}), act, retry=False))
except BaseException as error:
    assert os.getpid() != parent, error
    os._exit(0)
[effect] = ledger.effects()
print(effect.state, effect.attempt)
ledger.close()
"""


def test_a_child_that_was_forked_in_a_handler_settles_nothing(scene: Scene) -> None:
    """I3: the claim stays with the parent."""
    done = run(FORKED_HANDLER, scene.url)

    assert done.stdout.split() == ["7", "succeeded", "1"], done.stderr
