"""How the console looks: for whoever sees little or nothing, in both themes, and in the docs."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from console.served import Served
from console.world import DANA, Shop
from holdfast.console import console

VENDOR = Path(__file__).parent / "vendor"
ASSETS = Path(__file__).parents[2] / "docs/assets/console"
PICTURES = ("overview", "workflows", "workflow", "effect", "doubt")


def addresses(the_shop: Shop) -> dict[str, str]:
    return {
        "overview": "/",
        "workflows": "/workflows",
        "workflow": "/workflows/ticket-7",
        "effect": f"/effects/{the_shop.doubtful}",
        "hostile": f"/effects/{the_shop.hostile}",
        "doubt": "/doubt",
        "oversight": "/oversight",
        "policy": "/policy",
        "audit": "/audit",
        "workers": "/workers",
        "settings": "/settings",
        "patterns": "/-/patterns",
        "missing": "/workflows/none",
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_keeps_anybody_out(acting: Served, the_shop: Shop, browser: Any, theme: str) -> None:
    """Contrast, names, landmarks, heads of tables: what axe looks for, on every page, in both themes."""
    axe = (VENDOR / "axe.min.js").read_text(encoding="utf-8")
    # The policy would keep the checker out as well as anybody else's script.
    with browser.new_context(color_scheme=theme, bypass_csp=True) as context:
        page = context.new_page()
        for name, path in addresses(the_shop).items():
            page.goto(acting.url + path, wait_until="load")
            page.evaluate(axe)
            found = page.evaluate(
                "axe.run().then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))"
            )
            assert found == [], name
        page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=x>')")
        assert page.evaluate("axe.run().then(r => r.violations.map(v => v.id))") == ["image-alt"]


def test_a_narrow_screen_scrolls_down_only(acting: Served, the_shop: Shop, browser: Any) -> None:
    with browser.new_context(viewport={"width": 390, "height": 800}) as context:
        page = context.new_page()
        for name, path in addresses(the_shop).items():
            page.goto(acting.url + path, wait_until="load")
            wide = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert wide <= 0, name


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_docs_pictures_are_taken_from_the_pages_as_they_are(
    the_shop: Shop, serve: Callable[[Any], Served], browser: Any, theme: str
) -> None:
    """Pictures that a test takes cannot rot; a page that looks otherwise changes them."""
    url = serve(console(the_shop.ledger, access=lambda _: DANA, now=lambda: datetime.now(UTC))).url
    ASSETS.mkdir(parents=True, exist_ok=True)
    with browser.new_context(viewport={"width": 1080, "height": 620}, color_scheme=theme) as context:
        page = context.new_page()
        for name in PICTURES:
            page.goto(url + addresses(the_shop)[name], wait_until="networkidle")
            picture = page.screenshot(animations="disabled", caret="hide")
            keep(ASSETS / f"{name}-{theme}.png", picture)

    assert {path.name for path in ASSETS.glob("*.png")} >= {f"{name}-{theme}.png" for name in PICTURES}


def keep(path: Path, picture: bytes) -> None:
    """Take the place of an older picture only on demand: times differ from one run to the next."""
    if not path.exists() or os.environ.get("HOLDFAST_PICTURES") == "retake":
        path.write_bytes(picture)
    assert len(picture) < 150_000
