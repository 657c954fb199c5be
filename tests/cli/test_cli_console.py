"""`holdfast console` in a real process: on this machine only, read-only unless asked, and it ends in good order."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from holdfast import SyncLedger, ToolCall

URL = "sqlite:///holdfast.db"
APP = """
from holdfast import {kind}

ledger = {kind}("sqlite:///holdfast.db")


@ledger.tool(reconcile=lambda effect: "nobody knows")
{define} refund(amount):
    return amount
"""


class Console:
    """A console's process, its address, and the link that signs in."""

    def __init__(self, process):
        self.process = process
        self.address = self._told(r"console on (http://127\.0\.0\.1:\d+), ")
        self.link = self._told(r"sign in once: (\S+)")

    def _told(self, pattern):
        for line in self.process.stderr:
            found = re.search(pattern, line)
            if found:
                return found[1]
        raise AssertionError(f"nothing like {pattern}")

    @contextmanager
    def signed_in(self):
        token = self.link.partition("token=")[2]
        with httpx2.Client(base_url=self.address, trust_env=False) as client:
            assert client.get(self.link).status_code == 200
            assert client.post("/-/sign-in", data={"token": token}).status_code == 303
            yield client


@contextmanager
def console(home, *words):
    command = [sys.executable, "-W", "error", "-m", "holdfast", "console", "--port", "0", *words]
    with subprocess.Popen(
        command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        try:
            yield Console(process)
        finally:
            watchdog.cancel()
            process.kill()


@pytest.fixture
def key(home):
    with SyncLedger(URL) as ledger:

        @ledger.workflow
        def support(ctx, topic):
            return topic

        support.enqueue("ticket-7", topic="late")
        with pytest.raises(ConnectionResetError):
            ledger.run(ToolCall(workflow_id="w", tool="refund", args={"amount": 1}), _break_off)
        return ledger.effects()[0].key


def _break_off(amount):
    raise ConnectionResetError("cut")


def test_it_reads_by_default_and_only_who_has_the_link_gets_in(home, key):
    """INT-15"""
    with console(home) as here:
        assert httpx2.get(f"{here.address}/workflows", trust_env=False).status_code == 401
        with here.signed_in() as client:
            assert "ticket-7" in client.get("/workflows").text
            assert client.post("/workflows/ticket-7/cancel", data={"reason": "x"}).status_code == 403
            assert client.get("/workflows/ticket-7").text.count("<form") == 2  # sign out; close the keys


def test_with_act_what_is_done_bears_the_name_that_was_given(home, key):
    with console(home, "--act", "--as", "dana@acme.example") as here, here.signed_in() as client:
        assert client.post("/workflows/ticket-7/pause", data={"reason": "a question"}).status_code == 303
    with SyncLedger(URL) as ledger:
        assert ledger.execution("ticket-7").pause_reason == "dana@acme.example: a question"


@pytest.mark.parametrize("kind", ["Ledger", "SyncLedger"])
def test_with_an_app_its_tools_reconcilers_are_asked(home, key, kind):
    (home / "shop_app.py").write_text(
        APP.format(kind=kind, define="async def" if kind == "Ledger" else "def")
    )
    with console(home, "shop_app", "--act") as here, here.signed_in() as client:
        seen = re.search(r'name="seen" value="(\w+)"', client.get(f"/effects/{key}").text)[1]
        answer = client.post(f"/effects/{key}/reconcile", data={"seen": seen})
        assert answer.status_code in {303, 409}
        assert "no reconciler" not in answer.text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1]:1"])
def test_another_sites_name_for_this_machine_shows_nothing(home, key, host):
    with console(home) as here:
        answer = httpx2.get(f"{here.address}/-/sign-in", headers={"host": host}, trust_env=False)

    assert answer.status_code == 421


def test_it_listens_on_this_machine_alone(home, key):
    with console(home) as here:
        port = int(here.address.rpartition(":")[2])
        listening = [
            line.split()[1]
            for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
            if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
        ]

    assert listening == [f"0100007F:{port:04X}"]


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_it_is_asked_to_without_an_error(home, key, asked):
    with console(home) as here:
        os.kill(here.process.pid, asked)
        out, err = here.process.communicate(timeout=60)

    assert (here.process.returncode, out) == (0, "")
    assert "Traceback" not in err


def test_a_port_that_is_taken_is_said_in_one_line(home, key, run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        answer = run("console", "--port", str(taken.getsockname()[1]))

    assert answer.exit_code == 1
    assert "--port 0" in answer.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--url", "sqlite:///nowhere.db"], 3),
        (["shop_app", "--url", URL], 2),
        (["no_such_module"], 2),
        (["--as", " "], 2),
        (["--port", "99999"], 2),
    ],
)
def test_what_it_cannot_show_is_refused_before_it_listens(home, key, run, words, code):
    assert run("console", *words).exit_code == code
