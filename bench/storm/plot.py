"""Draws what the dependency saw of two ways to retry, as SVG by hand: one panel above the other, one time axis.

The colours are of a middle lightness and there is no background, so that it can be read on light and on dark.
"""

from __future__ import annotations

from html import escape

from model import Outcome

WIDTH, HEIGHT = 800, 520
LEFT, RIGHT = 58, 16
TOPS, PANEL = (74, 296), 168
INK, FAINT = "#7d8590", "#7d859055"
NAIVE, OURS, DOWN, OFFERED, CAPACITY = "#d9534f", "#2f81c7", "#d9a441", "#4c9a5b", "#8b6fc0"
SHOWN_S, TICK_S, TICK = 400, 50, 20
FONT = "ui-sans-serif, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"


def drawn(naive: Outcome, ours: Outcome) -> str:
    """Return the picture of both."""
    storm = ours.storm
    most = max(max(each.per_second[:SHOWN_S]) for each in (naive, ours))
    top = (most // TICK + 1) * TICK
    what = (
        f"Requests per second that a dependency sees of {storm.workflows} workflows around an outage of "
        f"{storm.outage_s:.0f} seconds."
    )
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-labelledby="storm-title" font-family="{FONT}" font-size="13" fill="{INK}">'
        ),
        f'<title id="storm-title">{what} Naive retries: {_said(naive)}. holdfast: {_said(ours)}.</title>',
        *_legend(ours),
        *_panel(naive, TOPS[0], top, NAIVE, "Naive retries: after 1, 5, 30, 30 … s"),
        *_panel(ours, TOPS[1], top, OURS, "holdfast, with its defaults"),
        _text(LEFT + _wide() / 2, HEIGHT - 8, "seconds", anchor="middle"),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _said(outcome: Outcome) -> str:
    done = (
        f"{outcome.finished} of {outcome.storm.workflows} workflows done after {outcome.storm.observed_s / 60:.0f} min"
        if outcome.done_at_s is None
        else f"all done {outcome.done_at_s - outcome.storm.over_at_s:.0f} s after the outage"
    )
    return f"{outcome.amplification:.2f} requests per call, {done}"


def _panel(outcome: Outcome, y: int, top: int, colour: str, title: str) -> list[str]:
    storm, base = outcome.storm, y + PANEL
    down = f'x="{_x(storm.outage_at_s):.1f}" width="{_x(storm.outage_s) - _x(0):.1f}"'
    parts = [f'<rect {down} y="{y}" height="{PANEL}" fill="{DOWN}" fill-opacity="0.22"/>']
    for value in range(0, top + 1, TICK):
        at = base - value / top * PANEL
        parts.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="{FAINT}" stroke-width="1"/>')
        parts.append(_text(LEFT - 8, at + 4, str(value), anchor="end"))
    for second in range(0, SHOWN_S + 1, TICK_S):
        parts.append(f'<path d="M{_x(second):.1f} {base}v5" stroke="{INK}"/>')
        parts.append(_text(_x(second), base + 19, str(second), anchor="middle"))
    parts.append(_steps(outcome, base, top, colour))
    for rate, until_s, line, dash in (
        (storm.offered, storm.arrive_s, OFFERED, ""),
        (storm.capacity, SHOWN_S, CAPACITY, ' stroke-dasharray="6 4"'),
    ):
        at = base - rate / top * PANEL
        path = f'd="M{_x(0):.1f} {at:.1f}H{_x(until_s):.1f}"'
        parts.append(f'<path {path} stroke="{line}" stroke-width="1.6" fill="none"{dash}/>')
    parts.append(_text(LEFT, y - 9, title, weight="600", fill=colour))
    parts.append(_text(WIDTH - RIGHT, y - 9, _said(outcome), anchor="end"))
    parts.append(
        f'<text transform="translate(16 {y + PANEL / 2:.0f}) rotate(-90)" text-anchor="middle">requests / s</text>'
    )
    return parts


def _steps(outcome: Outcome, base: int, top: int, colour: str) -> str:
    """Return the requests of each second as one filled outline."""
    path = f"M{_x(0):.1f} {base}"
    for second, count in enumerate(outcome.per_second[:SHOWN_S]):
        path += f"V{base - count / top * PANEL:.1f}H{_x(second + 1):.1f}"
    path += f"V{base}Z"
    return f'<path d="{path}" fill="{colour}" fill-opacity="0.55" stroke="{colour}" stroke-width="0.8"/>'


def _legend(outcome: Outcome) -> list[str]:
    storm, x, parts = outcome.storm, float(LEFT), list[str]()
    for colour, dash, said in (
        (DOWN, None, f"outage, {storm.outage_s:.0f} s"),
        (OFFERED, "", f"offered load, {storm.offered:g} calls / s"),
        (
            CAPACITY,
            ' stroke-dasharray="6 4"',
            f"capacity, {storm.capacity} / s: above it the dependency falls over",
        ),
    ):
        if dash is None:
            parts.append(f'<rect x="{x}" y="14" width="22" height="13" fill="{colour}" fill-opacity="0.35"/>')
        else:
            parts.append(f'<path d="M{x} 21h22" stroke="{colour}" stroke-width="1.8"{dash}/>')
        parts.append(_text(x + 29, 25, said))
        x += 52 + 6.6 * len(said)
    return parts


def _wide() -> int:
    return WIDTH - LEFT - RIGHT


def _x(second: float) -> float:
    return LEFT + second / SHOWN_S * _wide()


def _text(
    x: float, y: float, said: str, *, anchor: str = "start", weight: str = "400", fill: str = INK
) -> str:
    style = f'text-anchor="{anchor}" font-weight="{weight}" fill="{fill}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(said)}</text>'
