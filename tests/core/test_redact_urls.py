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
