"""The pytest plugin: fixtures for tests of agents. Importing it loads no optional package.

``every_crash`` kills a scenario everywhere, ``holdfast_attack`` disturbs it in every way;
``holdfast_ledger`` and ``holdfast_sync_ledger`` are empty ledgers under ``holdfast_clock``, which stands
still until it is moved; ``holdfast_world`` is a durable place seen through many lives of the process;
``scripted`` is a provider of models that says what the test has written down.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from holdfast.ledger import Ledger, SyncLedger
from holdfast.settings import Settings
from holdfast.stores.memory import MemoryStore
from holdfast.testing import world
from holdfast.testing.chaos import AttackReport, attack
from holdfast.testing.history import Attacked
from holdfast.testing.model import Line, ModelServer, ScriptedModel
from holdfast.testing.places import Places, ledger_on, places, sync_ledger_on
from holdfast.testing.runtime import FakeClock, FakeRuntime, StillRuntime


class EveryCrash(Protocol):
    """Kills a scenario at each boundary; see :func:`holdfast.testing.every_crash`."""

    def __call__(
        self,
        scenario: world.Scenario,
        check: world.Check | None = None,
        *,
        store: str | Places = "memory",
        deaths: int = 1,
        settings: Settings | None = None,
    ) -> world.CrashReport:
        """Return what came of it; every crash that fails *check* is a subtest of its own."""
        ...


@pytest.fixture
def every_crash(subtests: pytest.Subtests, tmp_path: Path) -> EveryCrash:
    """Kill a scenario at each boundary in turn, let it recover, check the world."""

    def kill(
        scenario: world.Scenario,
        check: world.Check | None = None,
        *,
        store: str | Places = "memory",
        deaths: int = 1,
        settings: Settings | None = None,
    ) -> world.CrashReport:
        return world.every_crash(
            scenario,
            check,
            store=store,
            deaths=deaths,
            directory=tmp_path,
            settings=settings,
            around=lambda crash: subtests.test(crash=crash),
        )

    return kill


@pytest.fixture
def holdfast_attack() -> Callable[..., AttackReport]:
    """Attack a scenario and fail the test with the report when an effect was repeated."""

    def run(scenario: Attacked, **options: Any) -> AttackReport:
        report = attack(scenario, **options)
        assert report.ok, f"\n{report}"
        return report

    return run


@pytest.fixture
def holdfast_clock() -> FakeClock:
    """Return a clock that stands still until it is moved."""
    return FakeClock()


@pytest.fixture
def holdfast_ledger(holdfast_clock: FakeClock) -> Ledger:
    """Return an empty ledger in memory for asyncio, under ``holdfast_clock``."""
    return ledger_on(MemoryStore(clock=holdfast_clock, is_test=True), StillRuntime(holdfast_clock))


@pytest.fixture
def holdfast_sync_ledger(holdfast_clock: FakeClock) -> SyncLedger:
    """Return an empty blocking ledger in memory, under ``holdfast_clock``."""
    return sync_ledger_on(
        MemoryStore(clock=holdfast_clock, is_test=True), FakeRuntime(holdfast_clock, blocking=True)
    )


@pytest.fixture
def holdfast_world(tmp_path: Path) -> Generator[world.World]:
    """Return a world on a SQLite file of its own: run life after life with ``world.live(scenario)``."""
    here = world.World(places("sqlite", tmp_path)())
    yield here
    here.close()


class Scripted(Protocol):
    """Starts a provider of models that answers by a script; see :class:`~holdfast.testing.ModelServer`."""

    def __call__(self, *lines: Line | ScriptedModel, then: Line | None = None, **options: Any) -> ModelServer:
        """Return the server; it is closed when the test ends."""
        ...


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Generator[Scripted]:
    """Answer for OpenAI and Anthropic: clients made without a URL and a key find the last server started.

    A test that asks for more than its script has fails at its end, whatever the agent made of the error.
    """
    servers: list[ModelServer] = []
    with ExitStack() as running:

        def start(*lines: Line | ScriptedModel, then: Line | None = None, **options: Any) -> ModelServer:
            server = running.enter_context(ModelServer(*lines, then=then, **options))
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            for name in ("NO_PROXY", "no_proxy"):
                monkeypatch.setenv(name, ",".join(filter(None, (os.environ.get(name), "127.0.0.1"))))
            servers.append(server)
            return server

        yield start
    for problem in (problem for server in servers for problem in server.model.problems):
        raise problem
