"""A model call that a budget or a route changed says so wherever its story is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from console.asgi import Client
from holdfast import Budget, Graduated, Route, SyncLedger
from holdfast.cli.main import cli
from holdfast.console import console
from holdfast.prices import PriceBook
from holdfast.testing import ModelServer
from holdfast.testing.model import says
from testing.model_clients import PLAIN, Way

CHAT: Way = PLAIN[0]
PRICES = PriceBook(
    {"openai/m": {"input": "1", "output": "10"}, "openai/small": {"input": "1", "output": "10"}},
    bundled=False,
)
GRADUATED = Graduated(warn_at=0.5, slow_at=0.5, slow_by=0.001)
ROUTES = [Route(to="openai/small", at=0.5)]
SAYS = [
    "openai/small was asked instead of openai/m (budget tenant/steps is used to 50 %)",
    "the model was told how much of its budget is used",
    "slowed by 0.001 s",
    "budget tenant/steps: 2 of 4 used or held",
]


@pytest.fixture
def steered(tmp_path: Path) -> Iterator[tuple[SyncLedger, str]]:
    """A ledger, and the key of a call that half of a budget was used for before."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    with (
        SyncLedger(url, migrate=True, prices=PRICES, budgets={"tenant": Budget(steps=4)}) as ledger,
        ModelServer(then=says("Yes.")) as server,
    ):
        client: Any = CHAT.client(server)
        with ledger.model(client, workflow_id="run-1", graduated=GRADUATED, routes=ROUTES) as sdk:
            for _ in range(3):
                sdk.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": "?"}], max_tokens=100
                )
        newest, *_ = ledger.effects(workflow_id="run-1")
        assert [request.model for request in server.asked] == ["m", "m", "small"]
        yield ledger, newest.key


def test_the_command_line_shows_what_was_done_otherwise_and_why(
    steered: tuple[SyncLedger, str], tmp_path: Path
) -> None:
    """COS-09, COS-19: in the story's notes, and in parts as JSON."""
    ledger, key = steered
    url = ["--url", f"sqlite:///{tmp_path}/ledger.db"]
    told = CliRunner().invoke(cli, ["show", key, *url]).stdout
    as_json = json.loads(CliRunner().invoke(cli, ["show", key, "--json", *url]).stdout.splitlines()[0])

    assert all(words in told for words in SAYS)
    claim = as_json["story"][0]
    assert claim["details"]["steered"]["route"]["to"] == "openai/small"
    assert claim["details"]["steered"]["budget"]["used"] == 2
    del ledger


async def test_the_console_shows_what_was_done_otherwise_and_why(steered: tuple[SyncLedger, str]) -> None:
    """COS-09, COS-19."""
    ledger, key = steered
    page = (await Client(console(ledger)).get(f"/effects/{key}")).text

    assert all(words in page for words in SAYS)
