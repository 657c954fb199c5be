"""The demo's fourth act with a person in front of a real browser: 100 is approved, 10,000 is not. HIT-05, INT-15."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

PATIENCE_S = 240


def test_a_person_approves_a_hundred_in_the_console_and_stops_ten_thousand(tab: Any, tmp_path: Path) -> None:
    """HIT-05, HIT-09: nobody but the person in front of the page has decided."""
    home = {**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "80"}
    command = [sys.executable, "-m", "holdfast", "demo", "--console"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=home
    ) as demo:
        assert demo.stderr is not None
        try:
            sign_in, first = _links(demo.stderr, "sign in once: ", "decide: ")
            tab.page.goto(sign_in)
            tab.page.get_by_role("button", name="Sign in").click()
            tab.page.goto(first)
            expect(tab.page.locator("#args")).to_contain_text("10000")
            tab.page.get_by_role("button", name="Approve once").click()
            expect(tab.page.locator("main")).to_contain_text(re.compile("approved|consumed"))

            (second,) = _links(demo.stderr, "decide: ")
            tab.page.goto(second)
            expect(tab.page.locator("#args")).to_contain_text("1000000")
            tab.page.get_by_label("Why you deny").fill("nobody agreed to that")
            tab.page.get_by_role("button", name="Deny").click()
            shown, complaints = demo.communicate(timeout=PATIENCE_S)
        finally:
            demo.kill()

    assert demo.returncode == 0, complaints
    assert "you say: no (nobody agreed to that)" in shown
    assert re.findall(r"CHARGES_CREATED: (\d+)", shown)[-1] == "1"


def _links(said: Any, *starts: str) -> list[str]:
    """Return what follows each of *starts* in what the demo says, in that order."""
    found: list[str] = []
    for line in said:
        if line.startswith(starts[len(found)]):
            found.append(line.removeprefix(starts[len(found)]).strip())
            if len(found) == len(starts):
                break
    return found
