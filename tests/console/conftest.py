"""A shop's ledger, its console served on this machine, and a real browser in front of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from console.asgi import Client
from console.chromium import NotToBeHad, chromium
from console.served import Served
from console.world import DANA, Shop, shop
from holdfast import SyncLedger
from holdfast.console import console


@pytest.fixture(scope="session")
def chromium_program() -> str:
    """The browser's program; ``HOLDFAST_BROWSER=require`` insists on it."""
    try:
        return chromium()
    except NotToBeHad as error:
        if os.environ.get("HOLDFAST_BROWSER") == "require":
            raise
        pytest.skip(f"not proven in a real browser: {error}")


@pytest.fixture(scope="module")
def browser(chromium_program: str) -> Iterator[Browser]:
    """A browser of this module's: playwright's loop must not outlive it, for other tests have their own."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=chromium_program,
            args=["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"],
        )
        yield opened
        opened.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SyncLedger]:
    with SyncLedger(f"sqlite:///{tmp_path / 'shop.db'}") as ledger:
        yield ledger


@pytest.fixture
def the_shop(ledger: SyncLedger) -> Shop:
    return shop(ledger)


@pytest.fixture
def serve() -> Iterator[Callable[[Any], Served]]:
    """Serve an application until the test is over."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(Served(app))


@pytest.fixture
def acting(the_shop: Shop, serve: Callable[[Any], Served]) -> Served:
    """The shop's console, where Dana may do everything."""
    return serve(console(the_shop.ledger, access=lambda _: DANA))


@pytest.fixture
def reading(the_shop: Shop, serve: Callable[[Any], Served]) -> Served:
    """The shop's console as it is by default: it reads."""
    return serve(console(the_shop.ledger))


@pytest.fixture
def client(the_shop: Shop) -> Client:
    return Client(console(the_shop.ledger, access=lambda _: DANA))


class Tab:
    """A page of the browser, and all that it complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: list[str] = []
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (self.said.append(f"dialog: {dialog.message}"), dialog.dismiss()))


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    with browser.new_context(viewport={"width": 1180, "height": 760}) as context:
        yield Tab(context.new_page())


@pytest.fixture
def plain_tab(browser: Browser) -> Iterator[Tab]:
    """A browser without JavaScript."""
    with browser.new_context(java_script_enabled=False) as context:
        yield Tab(context.new_page())
