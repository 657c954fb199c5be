"""How long the other side asks to wait, in whatever form it says so."""

from __future__ import annotations

import http.client
from collections import UserDict
from datetime import timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import httpx
import multidict
import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from core.faulty import NOW, judge, make, refused
from holdfast._core.fault import FaultKind, fault_of, fault_of_response
from holdfast._core.fault_evidence import LONGEST_WAIT_S, parse_retry_after

DAY_S = 86_400.0


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("007", 7.0),
        ("1.5", 1.5),
        ("  9  ", 9.0),
        ("86401", DAY_S),
        ("9" * 99, DAY_S),
        ("Sat, 31 Jan 2026 12:01:30 GMT", 90.0),
        ("Saturday, 31-Jan-26 12:01:30 GMT", 90.0),
        ("Sat Jan 31 12:01:30 2026", 90.0),
        ("Sat, 31 Jan 2026 14:01:30 +0200", 90.0),
        ("Sat, 31 Jan 2026 11:59:59 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", DAY_S),
        *(
            (text, None)
            for text in ("", "-1", "-0", "+1", "nan", "inf", "1e3", "1,5", ".5", "5.", "0x1", "٣", "²")
        ),
        *((text, None) for text in ("soon", "7 seconds", "7, 7", "Sat, 99 Jan 2026 12:00:00 GMT", "9" * 101)),
        ("Sat, 31 Jan 2026 12:01:30 GMT" + " " * 100 + "x", None),
    ],
)
def test_a_wait_is_a_number_or_a_date_from_now_to_one_day(text: str, wait_s: float | None) -> None:
    """RET-05."""
    assert judge(refused(429, headers={"Retry-After": text})).retry_after_s == wait_s


HEADERS = {"Content-Type": "text/plain", "rEtRy-aFtEr": "7"}


def message() -> http.client.HTTPMessage:
    found = http.client.HTTPMessage()
    for name, value in HEADERS.items():
        found[name] = value
    return found


CONTAINERS: dict[str, Any] = {
    "dict": HEADERS,
    "mapping": UserDict(HEADERS),
    "httpx": httpx.Headers(HEADERS),
    "requests": requests.structures.CaseInsensitiveDict(HEADERS),
    "aiohttp": multidict.CIMultiDictProxy(multidict.CIMultiDict(HEADERS)),
    "urllib3": urllib3.HTTPHeaderDict(HEADERS),
    "http.client": message(),
    "pairs": list(HEADERS.items()),
    "lists": [list(pair) for pair in HEADERS.items()],
    "bytes": [(name.encode(), value.encode()) for name, value in HEADERS.items()],
    "number": {"Retry-After": 7},
    "first of two": [("Retry-After", "7"), ("retry-after", "9")],
    "odd pairs around it": [None, "x", ("a",), (1, 2, 3), (b"\xff", object()), ("Retry-After", "7")],
}


@pytest.mark.parametrize("headers", CONTAINERS.values(), ids=CONTAINERS)
def test_a_wait_is_found_in_any_kind_of_headers(headers: Any) -> None:
    """RET-05."""
    response = SimpleNamespace(status_code=429, headers=headers)
    of_response = fault_of_response(response, now=NOW)

    assert judge(make("shop.Trouble", status=429, headers=headers)).retry_after_s == 7.0
    assert judge(make("shop.Trouble", response=response)).retry_after_s == 7.0
    assert of_response is not None
    assert of_response.retry_after_s == 7.0


@pytest.mark.parametrize(
    "headers",
    [None, "retry-after: 7", 7, {}, [], {"retry-after": None}, {"retry-after": True}, {7: "7"}],
    ids=repr,
)
def test_headers_that_are_none_ask_for_nothing(headers: object) -> None:
    """RET-05."""
    assert judge(make("shop.Trouble", status=429, headers=headers)).retry_after_s is None


@given(wait_s=st.floats(min_value=0, max_value=DAY_S, allow_nan=False), is_whole=st.booleans())
def test_a_number_of_seconds_comes_back_as_it_was_sent(wait_s: float, *, is_whole: bool) -> None:
    """RET-05."""
    text = f"{wait_s:.0f}" if is_whole else f"{wait_s:.9f}"

    assert parse_retry_after(text, NOW) == float(text)


@given(
    st.integers(min_value=-3 * 86_400, max_value=3 * 86_400), st.sampled_from(["imf", "rfc850", "asctime"])
)
def test_a_date_comes_back_as_the_seconds_until_then(offset_s: int, form: str) -> None:
    """RET-05: in each of the three forms that HTTP knows."""
    date = NOW + timedelta(seconds=offset_s)
    text = {
        "imf": format_datetime(date, usegmt=True),
        "rfc850": date.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
        "asctime": date.strftime("%a %b %e %H:%M:%S %Y"),
    }[form]

    assert parse_retry_after(text, NOW) == min(max(float(offset_s), 0.0), DAY_S)


@given(st.text(max_size=120) | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]+ -?\d+ [\d:]+ ?(GMT|[+-]\d+)?"))
def test_any_text_is_a_wait_within_bounds_or_none(text: str) -> None:
    """RET-05."""
    wait_s = parse_retry_after(text, NOW)

    assert wait_s is None or 0 <= wait_s <= LONGEST_WAIT_S


def test_a_clock_without_a_zone_costs_the_wait_and_not_the_verdict() -> None:
    """RET-05."""
    error = refused(429, headers={"Retry-After": "Sat, 31 Jan 2026 12:01:30 GMT"})
    fault = fault_of(error, now=NOW.replace(tzinfo=None))

    assert (fault.kind, fault.retry_after_s) == (FaultKind.RATE_LIMITED, None)
