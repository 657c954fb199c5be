"""A slice of the chaos run of bench/chaos, and proof that its check sees what must not be."""

from __future__ import annotations

import contextvars
import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from holdfast import Effect, NotDone, SyncLedger
from holdfast.testing.faultserver import FaultServer

CHAOS = Path(__file__).parents[2] / "bench" / "chaos"
MODULES = ("charges", "check")
SECONDS = 60
"""For so long it charges; its start, and what has to be waited for afterwards, come on top."""
BROKEN_S = 600
ORDER = 7


def test_what_breaks_on_all_sides_at_once_charges_nobody_twice_and_loses_nothing(tmp_path: Path) -> None:
    """TST-15, IDE-15, IDE-16, IDE-27, RET-11, DUR-10: the provider's log against the ledger, charge by charge."""
    report = tmp_path / "report.json"
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error", str(CHAOS / "run.py"), "--report", str(report)),
            *("--seconds", str(SECONDS), "--crashes", "2", "--kill-every", "20", "--workers", "3"),
        ],
        capture_output=True,
        text=True,
        timeout=BROKEN_S,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(report.read_text())
    assert told["violations"] == []
    assert (told["crashes"], told["kills"] > 0) == (2, True)
    once, undone = (sum(told[name].values()) for name in ("charged_once", "known_not_done"))
    assert once + undone == told["intended"]
    assert once > 0
    assert told["requests"] > told["faults"]["ok"]


@pytest.fixture
def chaos(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The modules of the run, as it imports them itself."""
    monkeypatch.syspath_prepend(str(CHAOS))
    yield {name: importlib.import_module(name) for name in MODULES}
    for name in MODULES:
        del sys.modules[name]


class Shop:
    """One intended charge, a provider that knows no keys, and a ledger; what is told of it can be bent."""

    def __init__(self, chaos: dict[str, ModuleType], directory: Path, server: FaultServer) -> None:
        self.charges = chaos["charges"]
        self.charge = self.charges.Charge(ORDER)
        self.server = server
        self.ledger = SyncLedger(f"sqlite:///{directory}/ledger.db")

    def post(self, key: str) -> dict[str, Any]:
        body = self.charges.body(self.charge.order, self.charge.amount)
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        answer: dict[str, Any] = httpx.post(
            f"{self.server.url}/v1/charges", content=body, headers=headers, timeout=60
        ).json()
        return answer

    def run(self) -> None:
        def handler(order: int, amount: int, effect: Effect) -> dict[str, Any]:
            return self.post(effect.idem_key)

        self.ledger.run(self.charge.call, handler)

    @property
    def key(self) -> str:
        [effect] = self.ledger.effects()
        return str(effect.key).removeprefix("v1:")


def nothing_else(shop: Shop) -> None:
    shop.run()


def it_is_charged_again(shop: Shop) -> None:
    shop.run()
    shop.post(shop.key)


def it_is_charged_again_under_another_key(shop: Shop) -> None:
    shop.run()
    shop.post("another")


def it_is_charged_and_the_ledger_knows_nothing(shop: Shop) -> None:
    shop.post("unheard of")


def the_ledger_makes_it_up(shop: Shop) -> None:
    shop.ledger.run(shop.charge.call, lambda order, amount: {"id": "ch_imagined"})


def the_ledger_takes_it_for_another(shop: Shop) -> None:
    def confused(order: int, amount: int, effect: Effect) -> dict[str, Any]:
        return {**shop.post(effect.idem_key), "id": "ch_other"}

    shop.ledger.run(shop.charge.call, confused)


def doubt_is_left(shop: Shop) -> None:
    def lost(order: int, amount: int, effect: Effect) -> None:
        shop.post(effect.idem_key)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        shop.ledger.run(shop.charge.call, lost)


def a_claim_is_left(shop: Shop) -> None:
    dead = contextvars.copy_context()  # the block is never left, and must not surround the tests after it
    dead.run(shop.ledger.begin(shop.charge.call).__enter__)


def it_is_tried_too_often(shop: Shop) -> None:
    def refuse(order: int, amount: int) -> None:
        raise NotDone

    for _ in range(6):
        with pytest.raises(NotDone):
            shop.ledger.run(shop.charge.call, refuse, retry=False)


def somebody_else_is_charged(shop: Shop) -> None:
    shop.run()
    httpx.post(f"{shop.server.url}/v1/charges", json={"amount": 1}, timeout=60)


@pytest.mark.parametrize(
    ("happens", "expected"),
    [
        (nothing_else, []),
        (it_is_charged_again, ["order 7 (searched): charged 2 times; the ledger says succeeded"]),
        (
            it_is_charged_again_under_another_key,
            [
                "order 7 (searched): charged 1 times under another key than its own",
                "order 7 (searched): charged 2 times; the ledger says succeeded",
            ],
        ),
        (
            it_is_charged_and_the_ledger_knows_nothing,
            ["order 7 (searched): 0 effects in the ledger, not one"],
        ),
        (the_ledger_makes_it_up, ["order 7 (searched): it was not charged, and the ledger says succeeded"]),
        (
            the_ledger_takes_it_for_another,
            ["order 7 (searched): it was charged once, and the ledger says succeeded"],
        ),
        (doubt_is_left, ["order 7 (searched): it was charged once, and the ledger says unknown"]),
        (
            a_claim_is_left,
            [
                "order 7 (searched): it was not charged, and the ledger says pending",
                "1 effects are left pending",
            ],
        ),
        (it_is_tried_too_often, ["order-7 (searched): 6 attempts, although 5 are allowed"]),
        (somebody_else_is_charged, ["1 charges of a body that nobody intended"]),
    ],
)
def test_the_check_of_the_chaos_run_sees_what_must_not_be(
    chaos: dict[str, ModuleType], tmp_path: Path, happens: Callable[[Shop], None], expected: list[str]
) -> None:
    """TST-15: a check that finds nothing is worth what it would have found."""
    with FaultServer(deduplicates=False) as server:
        shop = Shop(chaos, tmp_path, server)
        happens(shop)
        found = chaos["check"].check({ORDER}, server.commits(), shop.ledger, renewals={})
        shop.ledger.close(drain=0)

    assert [violation.partition(": v1:")[0] for violation in found.violations] == expected
