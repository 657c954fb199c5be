"""Errors name URLs, and URLs may carry keys: what is kept of them tells the place only."""

from __future__ import annotations

import pytest

from holdfast._core.redact import redact_urls

KEY = "sk_live_SECRET123"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"Client error for url 'https://api.test/pay?api_key={KEY}'", "'https://api.test/pay?[redacted]'"),
        (f"Client error for url 'https://api.test/pay?a=it's&k={KEY}'", "'https://api.test/pay?[redacted]'"),
        (f"400, url=URL('https://api.test/pay?{KEY}')", "url=URL('https://api.test/pay?[redacted]')"),
        (f"exceeded with url: /pay?api_key={KEY} (Caused by X)", "url: /pay?[redacted] (Caused by X)"),
        (f"https://api.test/back#access_token={KEY}", "https://api.test/back#[redacted]"),
        (f"no route to https://me:{KEY}@api.test/pay", "https://[redacted]@api.test/pay"),
        (f"no route to https://{KEY}@api.test/pay", "https://[redacted]@api.test/pay"),
        (
            f"postgresql://me:p/a#s?s@{KEY}@db.test/shop is down",
            "postgresql://[redacted]@db.test/shop is down",
        ),
        (
            f"['https://a.test?k={KEY}', 'https://b.test?k={KEY}']",
            "?[redacted]', 'https://b.test?[redacted]']",
        ),
    ],
)
def test_what_a_url_carries_beyond_the_place_is_hidden(text: str, kept: str) -> None:
    hidden = redact_urls(text)

    assert KEY not in hidden
    assert kept in hidden


@pytest.mark.parametrize(
    "text",
    [
        "is it there? a=b",
        "what? no",
        "https://api.test/pay",
        "http://localhost:8080/@me",
        "write to ada@acme.example",
        "SELECT '?' = $1",
        "",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert redact_urls(text) == text


STAYING = [
    "see https://docs.test/errors for more",
    "HTTPConnectionPool(host='api.test', port=443): Max retries exceeded with url: /hook (Caused by X)",
    "http://proxy:8080/@name is none",
    "what now? nothing",
    "at 12:30 by ada@acme.test",
]
CUT_OFF = [
    ("Max retries exceeded with url: /hook?SECRET (Caused by X)", "url: /hook?[redacted] (Caused by X)"),
    (
        'Max retries exceeded with url: /hook?a="SECRET two (Caused by X)',
        "url: /hook?[redacted] (Caused by X)",
    ),
    ("GET /hook?SECRET failed", "GET /hook?[redacted] failed"),
    ("at //u:SECRET@host/x", "at //[redacted]@host/x"),
    ("by u:SECRET@host", "by [redacted]@host"),
    ("https://u:SECRET@host/x?key=SECRET#SECRET", "https://[redacted]@host/x?[redacted]"),
]


@pytest.mark.parametrize("text", STAYING)
def test_what_is_no_secret_place_stays(text: str) -> None:
    """RET-08: errors must go on saying where and what."""
    assert redact_urls(text) == text


@pytest.mark.parametrize(("text", "left"), CUT_OFF)
def test_what_a_url_carries_beyond_its_place_is_cut(text: str, left: str) -> None:
    """RET-08: with a scheme or without, well-formed or not."""
    assert redact_urls(text).endswith(left)
    assert "SECRET" not in redact_urls(text)
