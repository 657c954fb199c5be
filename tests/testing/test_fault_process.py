"""The fault server as a process of its own, whose clients are killed: its log file says what was done."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from holdfast.testing.faultserver import FaultServer, read_log
from testing.raw_http import until

PATIENCE_S = 60
"""After this long a process is broken, not slow."""

CLIENT = """
import json, sys
from http.client import HTTPConnection, HTTPException
address, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
for number in range(count):
    key, status = f"{name}-{number}", 0
    while status != 200:
        connection = HTTPConnection(address, timeout=0.5)
        try:
            body = json.dumps({"amount": 100 + number})
            connection.request("POST", "/v1/charges", body, {"Idempotency-Key": key})
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, HTTPException):
            pass
        finally:
            connection.close()
"""
"""Charges under keys of its own, each until it is told that it happened; from the start after every death."""


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and the URL that it printed first; killed if it does not end by itself."""
    command = [sys.executable, "-W", "error", "-m", "holdfast.testing.faultserver", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watchdog = threading.Timer(PATIENCE_S, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def stopped(process: subprocess.Popen[str], by: signal.Signals = signal.SIGTERM) -> dict[str, Any]:
    """What it says when it has been told to stop."""
    process.send_signal(by)
    last, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (0, "")
    told: dict[str, Any] = json.loads(last)
    return told


def charge(url: str, key: str) -> int:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
    connection.request("POST", "/v1/charges", '{"amount": 100}', {"Idempotency-Key": key})
    status = connection.getresponse().status
    connection.close()
    return status


def test_clients_are_killed_and_every_intended_charge_is_in_the_log_once(tmp_path: Path) -> None:
    """TST-11, TST-15: SIGKILL in the middle of requests, faults everywhere, and one charge for each key."""
    log = tmp_path / "charges.log"
    faults = "drop=0.1,reset=0.1,half=0.05,429=0.05:0,503=0.05*3,500=0.1,duplicate=0.05,latency=0.1:0.01,hang=0.02:0.05"
    with running("--log", str(log), "--faults", faults, "--seed", "7") as (process, url):
        command = [sys.executable, "-c", CLIENT, urlsplit(url).netloc]
        for life in range(3):
            clients = [subprocess.Popen([*command, name, "25"]) for name in "abc"]
            if life < 2:  # die once there is something to lose, wherever that happens to be
                until(lambda life=life: len(read_log(log)) >= 20 * (life + 1))
                for client in clients:
                    client.kill()
            ends = [client.wait(PATIENCE_S) for client in clients]
        told = stopped(process)

    entries = read_log(log)
    assert ends == [0, 0, 0]
    assert Counter(entry.key for entry in entries) == {f"{name}-{n}": 1 for name in "abc" for n in range(25)}
    assert told["commits"] == len(entries) == 75
    assert sum(told["outcomes"].values()) == told["requests"] > 100
    assert set(told["outcomes"]) > {"ok", "drop_after", "reset_after", "500_after", "half", "503"}


def test_a_service_that_ignores_keys_charges_again(tmp_path: Path) -> None:
    """TST-15: what the log shows of a client that retries without holdfast."""
    log = tmp_path / "charges.log"
    with running("--log", str(log), "--ignore-keys") as (process, url):
        statuses = [charge(url, "k1") for _ in range(2)]
        told = stopped(process, signal.SIGINT)

    assert statuses == [200, 200]
    assert [entry.key for entry in read_log(log)] == ["k1", "k1"]
    assert told == {"requests": 2, "outcomes": {"ok": 2}, "commits": 2, "incomplete": 0}


def test_a_killed_server_has_logged_what_it_answered(tmp_path: Path) -> None:
    """TST-11: the log is on disk before the client is told."""
    log = tmp_path / "charges.log"
    with running("--log", str(log)) as (process, url):
        status = charge(url, "k1")
        process.kill()
        process.wait(PATIENCE_S)

    assert status == 200
    assert [entry.key for entry in read_log(log)] == ["k1"]


def test_late_webhooks_are_delivered_before_it_stops() -> None:
    """IDE-27, TST-15."""
    with FaultServer() as receiver:
        options = ("--webhooks", f"{receiver.url}/hooks", "--fates", "late=1")
        with running(*options) as (process, url):
            charge(url, "k1")
            before = receiver.requests
            stopped(process)

        assert (before, len(receiver.commits(path="/hooks"))) == (0, 2)


def test_a_hung_client_does_not_keep_it_from_stopping(tmp_path: Path) -> None:
    """TST-15."""
    log = tmp_path / "charges.log"
    with running("--faults", "hang_after=1", "--log", str(log)) as (process, url):
        connection = HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
        connection.request("POST", "/v1/charges", '{"amount": 100}')
        until(lambda: read_log(log))
        told = stopped(process)
        connection.close()

    assert told["outcomes"] == {"hang_after": 1}


@pytest.mark.parametrize(
    ("options", "hint"),
    [(("--faults", "typo=1"), "use one of ok"), (("--log", "absent/log"), "No such file")],
)
def test_what_cannot_be_understood_is_said_on_stderr(options: tuple[str, str], hint: str) -> None:
    with running(*options) as (process, first):
        _, errors = process.communicate(timeout=PATIENCE_S)

    assert (process.returncode, first) == (2, "")
    assert hint in errors
    assert "Traceback" not in errors
