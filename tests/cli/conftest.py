"""A shop's ledger in the working directory, and the command line to look into it."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

# shopkeeping lies beside this file; not every import mode of pytest puts this directory on the path.
sys.path.insert(0, str(Path(__file__).parent))

from shopkeeping import Shop, fill

from holdfast import SyncLedger
from holdfast.cli.main import cli

Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and nothing in the environment."""
    for name in [name for name in os.environ if name.startswith("HOLDFAST_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shop(home: Path) -> Shop:
    """The shop's ledger, at the default URL."""
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        return fill(ledger)


@pytest.fixture
def run(home: Path) -> Run:
    """Run a holdfast command in the working directory."""

    def invoke(*args: str, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(cli, args, prog_name="holdfast", input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def run_app(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run a holdfast command with the ledger of a module ``shop_app`` that says *source*."""
    monkeypatch.syspath_prepend(home)
    # Of two sources of one length, written within a second, bytecode that was kept would be the first one's.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def invoke(source: str, *args: str) -> Result:
        (home / "shop_app.py").write_text(source)
        sys.modules.pop("shop_app", None)  # each command is a process of its own
        importlib.invalidate_caches()
        return run(*args, "--app", "shop_app:ledger")

    yield invoke
    sys.modules.pop("shop_app", None)


@pytest.fixture
def read(run: Run) -> Callable[..., list[Any]]:
    """Run a command with ``--json`` and return its objects."""

    def objects(*args: str) -> list[Any]:
        return [json.loads(line) for line in run(*args, "--json").stdout.splitlines()]

    return objects
