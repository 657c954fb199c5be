"""Many processes at once: sixteen at one effect, eight at empty tables, two at one migration."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e.children import PATIENCE_S, Child, Scene
from holdfast import State

PROCESSES = 16
STORES = pytest.mark.parametrize("scene", ["sqlite", "postgres"], indirect=True)


def together(workers: Sequence[Child], place: str) -> None:
    """Wait until all stand at *place*, then let all go."""
    for worker in workers:
        worker.at(place)
    for worker in workers:
        worker.go()


@STORES
def test_of_sixteen_processes_one_executes_and_all_get_its_result(scene: Scene) -> None:
    """IDE-18, X1, I1: half of them written for asyncio, half not."""
    scene.lease_s, scene.renew_every_s = 10, 3
    with ExitStack() as ending:
        faces = ["async", "sync"] * (PROCESSES // 2)
        workers = [ending.enter_context(scene.worker("ready", face=face)) for face in faces]
        together(workers, "ready")
        told = [worker.heard() for worker in workers]
        ends = [worker.ended() for worker in workers]

    assert told == [{"result": {"charged": 100, "attempt": 1}}] * PROCESSES
    assert ends == [(0, "")] * PROCESSES
    assert len(scene.happened) == 1
    with scene.ledger() as ledger:
        [effect] = ledger.effects()
        assert effect.state is State.SUCCEEDED
        assert [entry.event for entry in ledger.audit(effect.key)] == ["claim", "succeed"]
        assert ledger.verify().ok


@STORES
def test_x12_eight_processes_creating_the_tables_at_once_all_succeed(scene: Scene) -> None:
    """X12, INT-12: each then makes its call as if it had been alone."""
    scene.lease_s, scene.renew_every_s = 10, 3
    with ExitStack() as ending:
        faces = ["async", "sync"] * 4
        workers = [ending.enter_context(scene.worker("start", face=face)) for face in faces]
        together(workers, "start")
        told = [worker.heard() for worker in workers]
        ends = [worker.ended() for worker in workers]

    assert told == [{"result": {"charged": 100, "attempt": 1}}] * 8
    assert ends == [(0, "")] * 8
    assert scene.sql("SELECT count(*) FROM holdfast_migration") == scene.sql(
        "SELECT count(DISTINCT name) FROM holdfast_migration"
    )


@STORES
def test_two_processes_that_migrate_at_once_both_succeed_and_again_changes_nothing(
    scene: Scene, tmp_path: Path
) -> None:
    """INT-12: one command, versioned, safe to repeat."""
    command = [sys.executable, "-m", "holdfast", "--url", scene.url, "migrate"]

    def migrate() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    with migrate() as one, migrate() as two:
        for process in (one, two):
            _, complaints = process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 0, complaints.decode()
    first = scene.sql("SELECT name, sha256 FROM holdfast_migration ORDER BY name")
    with migrate() as third:
        assert third.wait(PATIENCE_S) == 0
    check = subprocess.run(
        [*command, "--check"], cwd=tmp_path, capture_output=True, timeout=PATIENCE_S, check=False
    )

    assert first
    assert scene.sql("SELECT name, sha256 FROM holdfast_migration ORDER BY name") == first
    assert check.returncode == 0
