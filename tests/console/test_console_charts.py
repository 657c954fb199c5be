"""The Budgets page in a real Chromium: bars and charts as wide and as high as what they stand for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from console.test_console_browser import still, tick
from console.till import Till, busy, cap
from console.world import DANA
from holdfast import SyncLedger
from holdfast.console import console

NOW = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)


@pytest.fixture
def spent(ledger: SyncLedger) -> Till:
    """A week of spending."""
    return busy(ledger, NOW)


@pytest.fixture
def url(ledger: SyncLedger, spent: Till, serve: Callable[[Any], Any]) -> str:
    del spent
    return str(serve(console(ledger, access=lambda _: DANA, now=lambda: NOW)).url)


INKED = """(id) => {
  const canvas = document.querySelector(`#${id} canvas`);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const found = new Map();
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] < 255) continue;
    const colour = `${data[at]},${data[at + 1]},${data[at + 2]}`;
    found.set(colour, (found.get(colour) ?? 0) + 1);
  }
  return [...found].filter(([_, count]) => count > 40).map(([colour]) => colour);
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_charts_are_drawn_in_either_theme_without_a_complaint(browser: Any, url: str, theme: str) -> None:
    """A strict policy and Trusted Types hold for the charts as well."""
    with browser.new_context(color_scheme=theme, viewport={"width": 1180, "height": 900}) as context:
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{url}/budgets", wait_until="networkidle")
        stack, use = page.evaluate(INKED, "chart-1"), page.evaluate(INKED, "chart-use")
        swatches = page.evaluate(
            """[...document.querySelectorAll("#steps-1 .swatch")].map((swatch) => {
              const canvas = document.createElement("canvas");
              const pen = canvas.getContext("2d");
              pen.fillStyle = getComputedStyle(swatch).fill;
              pen.fillRect(0, 0, 1, 1);
              return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3).join();
            })"""
        )

    assert said == []
    assert len(swatches) == 4
    assert set(swatches) <= set(stack)
    assert len(use) >= 2


def test_a_theme_that_is_flipped_draws_the_charts_anew(tab: Any, url: str) -> None:
    tab.page.goto(f"{url}/budgets", wait_until="networkidle")
    before = tab.page.evaluate(INKED, "chart-1")
    tab.page.keyboard.press("t")
    after = tab.page.evaluate(INKED, "chart-1")

    assert before
    assert after
    assert set(before) != set(after)
    assert tab.page.locator("#chart-1 canvas").count() == 1
    assert tab.said == []


def test_bars_are_as_wide_as_what_they_stand_for(tab: Any, url: str) -> None:
    """COS-08: spent is solid, held is hatched, and marks stand where people are told."""
    tab.page.goto(f"{url}/budgets", wait_until="networkidle")
    row = tab.page.locator("table[aria-label=Budgets] tbody tr", has_text="agent:refund-desk").first
    wide = """bar => {
      const whole = bar.getBoundingClientRect();
      const of = (one) => { const at = one.getBoundingClientRect(); return [at.left - whole.left, at.width].map((n) => 100 * n / whole.width); };
      return {spent: of(bar.querySelector(".spent")), held: of(bar.querySelector(".held")),
              marks: [...bar.querySelectorAll("line")].map((one) => of(one)[0]),
              fill: getComputedStyle(bar.querySelector(".held")).fill};
    }"""
    found = row.locator("svg.bar").evaluate(wide)

    assert found["spent"] == pytest.approx([0, 81.0], abs=0.3)
    assert found["held"] == pytest.approx([81.0, 9.0], abs=0.3)
    assert found["marks"] == pytest.approx([50, 80, 100], abs=0.5)
    assert "hatch" in found["fill"]
    assert "near its cap" in row.inner_text()
    assert "90.0 %" in row.inner_text()


def test_charts_fit_a_narrow_screen_and_follow_its_width(tab: Any, url: str) -> None:
    tab.page.set_viewport_size({"width": 1100, "height": 800})
    tab.page.goto(f"{url}/budgets", wait_until="networkidle")
    width = "document.querySelector('#chart-1 .uplot').getBoundingClientRect().width"
    wide = tab.page.evaluate(width)
    tab.page.set_viewport_size({"width": 390, "height": 800})
    tab.page.wait_for_function(f"{width} < 380")
    over = tab.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    assert wide > 900
    assert over <= 0
    assert tab.page.evaluate(INKED, "chart-1")


def test_nothing_moves_unless_something_was_spent(
    ledger: SyncLedger, spent: Till, serve: Any, tab: Any
) -> None:
    at = [NOW]
    served = serve(console(ledger, access=lambda _: DANA, now=lambda: at[0]))
    still(tab)
    tab.page.goto(f"{served.url}/budgets", wait_until="networkidle")
    tab.page.evaluate("document.querySelector('#chart-1 canvas').dataset.mine = 'yes'")
    kept = "document.querySelector('#chart-1 canvas').dataset.mine"
    assert tick(tab) == 304
    ledger.halt("nobody", by="ops", reason="a write that costs nothing")
    tick(tab)
    assert tab.page.evaluate(kept) == "yes"
    inked = tab.page.evaluate(INKED, "chart-1")

    spent.spend(200, 9_000_000, cap("tenant", 25_000_000, 9_000_000, per="month"), model="other/model")
    at[0] += timedelta(minutes=1)
    assert tick(tab) == 200
    tab.page.wait_for_function(f"{kept} === undefined")
    assert set(tab.page.evaluate(INKED, "chart-1")) != set(inked)
    assert "other/model" in tab.page.locator("#chart-1 .u-legend").inner_text()
    assert tab.said == []


def test_a_chart_is_walked_through_by_keys_and_tells_each_step(tab: Any, url: str) -> None:
    tab.page.goto(f"{url}/budgets", wait_until="networkidle")
    chart = tab.page.locator("#chart-1")
    chart.focus()
    tab.page.keyboard.press("End")
    last = chart.locator(".u-legend").inner_text()
    tab.page.keyboard.press("ArrowLeft")
    before = chart.locator(".u-legend").inner_text()

    row = tab.page.locator("#steps-1 tbody tr").last
    [when] = row.locator("th time").all_text_contents()
    assert when[:16] in last
    assert "USD" in last
    assert before != last


def test_without_javascript_the_tables_say_it_all(plain_tab: Any, url: str) -> None:
    page = plain_tab.page
    page.goto(f"{url}/budgets")
    for summary in page.locator("summary").all():
        summary.click()
    steps = page.locator("#steps-1 tbody tr")
    units = [
        float(cell.replace(" USD", "").replace(",", ""))
        for cell in page.locator("#steps-1 tbody tr td:last-child").all_inner_texts()
        if cell != "-"
    ]
    [total] = page.locator("table.costs").first.locator("tfoot td.n").first.all_inner_texts()

    assert steps.count() == 29
    assert f"{sum(units):.4f}" == f"{float(total.replace(' USD', '').replace(',', '')):.4f}"
    assert page.locator("#use-steps tbody tr").last.locator("td").inner_text() == "1.62 USD"
    assert page.locator("canvas").count() == 0
    assert page.locator(".drawing").first.is_hidden()
    page.get_by_role("searchbox").fill("agent:")
    page.get_by_role("button", name="Show").click()
    assert page.locator("table[aria-label=Budgets] tbody tr").count() == 2
    page.get_by_role("link", name="agent:support").click()
    assert "agent:support" in page.locator("#use").inner_text()


def test_only_this_page_loads_what_draws(tab: Any, url: str) -> None:
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.page.goto(f"{url}/workflows", wait_until="networkidle")
    assert not [one for one in asked if "uPlot" in one or "charts" in one]
    tab.page.goto(f"{url}/budgets", wait_until="networkidle")
    assert [one for one in asked if "uPlot" in one]
