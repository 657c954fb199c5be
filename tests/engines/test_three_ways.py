"""One file, untouched, by three commands: embedded, on two workers over PostgreSQL, and on a real Restate server."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from engines.restate_server import Cluster, answers, free_ports, until
from holdfast import SyncLedger

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "three_ways"
PAGE = (ROOT / "docs" / "how-to" / "run-on-an-engine.md").read_text(encoding="utf-8")
PRINTED = "{'order': 'o-123', 'amount': 100}\n"
PATIENCE_S = 120


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where a reader has put the example's files."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "home"))


def environment(home: Path, **variables: str) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "RESTATE_"))
    }
    paths = [str(home), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), **variables}


def run(home: Path, *command: str, **variables: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=home,
        env=environment(home, **variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def running(home: Path, *command: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on until it is asked to end, which it does in good order."""
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=home,
        env=environment(home, **variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        watchdog = threading.Timer(PATIENCE_S, process.kill)
        watchdog.start()
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 0, said
        finally:
            watchdog.cancel()
            process.kill()


def recorded(url: str) -> tuple[list[str], list[str]]:
    """What is on record of the workflow: its steps, and the states of its effects."""
    with SyncLedger(url) as ledger:
        steps = [step.name for step in ledger.steps("order-123")]
        return steps, [str(effect.state) for effect in ledger.effects(workflow_id="order-123")]


WHOLE: tuple[Sequence[str], Sequence[str]] = (["price", "sleep", "charge"], ["succeeded"])


def test_the_page_shows_the_very_files() -> None:
    """DUR-01, DOC-03: what is run below is what readers copy."""
    shown = dict(
        re.findall(r"^```py(?:thon)?\n(# (?:app|on_restate)\.py\n.*?)^```$()", PAGE, re.MULTILINE | re.DOTALL)
    )

    assert list(shown) == [
        (EXAMPLE / name).read_text(encoding="utf-8") for name in ("app.py", "on_restate.py")
    ]
    assert f"`{PRINTED.strip()}`" in PAGE
    assert all(
        f"`{command}" in PAGE
        for command in ("python app.py`", "holdfast worker app:ledger`", "hypercorn on_restate:app")
    )


def test_embedded_it_runs_by_itself(home: Path) -> None:
    """DUR-01: on SQLite, in the program's own process."""
    assert run(home, "app.py") == PRINTED
    assert recorded(f"sqlite:///{home}/holdfast.db") == WHOLE


def test_the_same_file_runs_on_two_workers_over_postgresql(home: Path, postgres_url: str) -> None:
    """DUR-13: whoever enqueues it gets the same output."""
    run(home, "-m", "holdfast", "--url", postgres_url, "migrate")
    worker = ("-m", "holdfast", "worker", "app:ledger")
    with (
        running(home, *worker, HOLDFAST_URL=postgres_url) as one,
        running(home, *worker, HOLDFAST_URL=postgres_url) as two,
    ):
        for each in (one, two):
            assert each.stderr is not None
            assert each.stderr.readline() == "working on 1 workflow: order\n"
        assert run(home, "app.py", "--enqueue", HOLDFAST_URL=postgres_url) == PRINTED
    assert recorded(postgres_url) == WHOLE


def test_the_same_file_runs_on_restate(restate_binary: Path, home: Path, tmp_path: Path) -> None:
    """DUR-01: another engine drives it, and it is the same workflow with the same record."""
    (port,) = free_ports(1)
    where = f"127.0.0.1:{port}"
    with Cluster(restate_binary, tmp_path, attempt="60s") as cluster:
        [node] = cluster.nodes
        with running(
            home,
            "-m",
            "hypercorn",
            "on_restate:app",
            "--workers",
            "1",
            "--bind",
            where,
            RESTATE_INGRESS=node.ingress,
        ):
            until(lambda: answers(f"http://{where}/health"), AssertionError, "the worker to answer")
            node.register(f"http://{where}")
            assert run(home, "app.py", "--enqueue", RESTATE_INGRESS=node.ingress) == PRINTED
    assert recorded(f"sqlite:///{home}/holdfast.db") == WHOLE
