"""How questions look: for whoever sees little or nothing, in both themes, and in the docs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from console.questions import ANA, BOTH, HIGH, PEOPLE, ask, used
from console.served import Served
from console.test_console_looks import ASSETS, VENDOR, keep
from console.world import HOSTILE
from holdfast import SyncLedger
from holdfast.console import console

PICTURES = {"approvals": 620, "question": 1150}
"""Their heights: the question is whole on its picture."""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SyncLedger]:
    with SyncLedger(f"sqlite:///{tmp_path / 'desk.db'}", people=PEOPLE) as ledger:
        yield ledger


@pytest.fixture
def addresses(ledger: SyncLedger) -> dict[str, str]:
    """One page of each kind."""
    done = used(ledger, customer="cus_8", amount=12_000)
    question = ask(ledger)
    changed = ask(ledger, chain=BOTH, workflow_id="order-3")
    ledger.approve(changed.id, by="ben", digest=changed.digest, args={"customer": "cus_9", "amount": 6_000})
    hostile = ask(ledger, chain=HIGH, workflow_id="order-4", **HOSTILE)
    names = {"question": question, "changed": changed, "hostile": hostile, "done": done}
    return {
        "approvals": "/approvals",
        "used": "/approvals?state=consumed",
        "oversight": "/oversight",
        **{name: f"/approvals/{one.id}" for name, one in names.items()},
        "effect": f"/effects/{done.key}",
        "workflow": f"/workflows/{done.workflow_id}",
    }


@pytest.fixture
def url(ledger: SyncLedger, addresses: dict[str, str], serve: Callable[[Any], Served]) -> str:
    del addresses  # the questions are asked before anybody looks
    return serve(console(ledger, access=lambda _: ANA)).url


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_question_keeps_anybody_out(url: str, addresses: dict[str, str], browser: Any, theme: str) -> None:
    """Contrast, names, landmarks, heads of tables: what axe looks for, in both themes, a change as well."""
    axe = (VENDOR / "axe.min.js").read_text(encoding="utf-8")
    checks = "axe.run().then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))"
    with browser.new_context(color_scheme=theme, bypass_csp=True) as context:
        page = context.new_page()
        for name, path in addresses.items():
            page.goto(url + path, wait_until="load")
            for details in page.locator("main details summary").all():
                details.click()
            page.evaluate(axe)
            assert page.evaluate(checks) == [], name
        page.goto(url + addresses["question"], wait_until="load")
        page.get_by_text("Change it, and approve that instead").click()
        page.get_by_label("The arguments as JSON").fill('{"customer": "cus_9", "amount": 6000}')
        page.get_by_role("button", name="Show what changes").click()
        page.evaluate(axe)
        assert page.evaluate(checks) == []


def test_a_narrow_screen_scrolls_down_only(url: str, addresses: dict[str, str], browser: Any) -> None:
    with browser.new_context(viewport={"width": 390, "height": 800}) as context:
        page = context.new_page()
        for name, path in addresses.items():
            page.goto(url + path, wait_until="load")
            wide = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert wide <= 0, name


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_docs_pictures_of_questions_are_taken_from_the_pages_as_they_are(
    url: str, addresses: dict[str, str], browser: Any, theme: str
) -> None:
    with browser.new_context(color_scheme=theme) as context:
        page = context.new_page()
        for name, height in PICTURES.items():
            page.set_viewport_size({"width": 1080, "height": height})
            page.goto(url + addresses[name], wait_until="networkidle")
            keep(ASSETS / f"{name}-{theme}.png", page.screenshot(animations="disabled"))

    assert {path.name for path in ASSETS.glob("*.png")} >= {f"{name}-{theme}.png" for name in PICTURES}
