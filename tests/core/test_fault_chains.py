"""Errors wrap, follow and accompany one another: what counts, and what takes evidence away."""

from __future__ import annotations

import pytest
from faulty import after, because, judge, kind_of, make, refused, request, short

from holdfast._core.fault import FaultKind


def test_what_a_library_wraps_says_more_than_its_wrapper() -> None:
    """RET-03."""
    unsent = because(make("requests.ConnectionError", request=request()), make("httpx2.ConnectError"))
    unanswered = because(
        make("openai.APITimeoutError", base=kind_of("openai.APIConnectionError")), TimeoutError()
    )

    assert short(unsent) == ("transient", "network", False)
    assert short(unanswered) == ("ambiguous", "network", True)
    assert judge(unsent).why == "requests.ConnectionError, by httpx2.ConnectError: never connected"


WRAPPERS = {
    "as its cause": lambda inner: because(make("requests.ConnectionError"), inner),
    "as its argument": lambda inner: make("requests.ConnectionError", inner),
    "as the reason of an argument": lambda inner: make(
        "requests.ConnectionError", make("urllib3.MaxRetryError", reason=inner)
    ),
    "as the original": lambda inner: make("urllib3.SSLError", original_error=inner),
    "as its reason": lambda inner: make("urllib.URLError", reason=inner),
    "among botocore's words": lambda inner: make("botocore.HTTPClientError", kwargs={"error": inner}),
    "as SQLAlchemy's": lambda inner: make("sqlalchemy.DBAPIError", orig=inner),
    "as aiohttp's": lambda inner: make("shop.Trouble", os_error=inner),
    "among arguments of somebody's": lambda inner: make("shop.Trouble", "x", inner),
}


@pytest.mark.parametrize("place", WRAPPERS)
def test_what_is_wrapped_is_found_wherever_libraries_keep_it(place: str) -> None:
    """RET-03."""
    assert short(WRAPPERS[place](ConnectionRefusedError())) == ("transient", "network", True)


def test_a_timeout_beneath_a_connection_that_was_never_made_changes_nothing() -> None:
    """RET-03: the outermost error that knows counts."""
    error = make("httpx.ConnectTimeout", request=request())
    because(error, because(make("httpcore.ConnectTimeout"), TimeoutError()))

    assert short(error) == ("transient", "network", False)


def test_a_refused_connection_beneath_a_broken_one_changes_nothing() -> None:
    """RET-10."""
    error = because(make("urllib3.ProtocolError", request=request()), ConnectionRefusedError())

    assert short(error) == ("ambiguous", "network", True)


def test_a_certificate_beneath_a_connection_that_was_never_made_is_why() -> None:
    """RET-08."""
    error = because(make("httpx.ConnectError", request=request()), make("ssl.SSLCertVerificationError"))

    assert short(error) == ("permanent", "network", False)


def test_a_wrapper_around_nothing_known_is_doubt() -> None:
    """RET-10."""
    assert short(because(make("stripe.APIConnectionError"), ValueError())) == ("ambiguous", "network", True)


def test_a_status_whose_error_comes_from_no_answer_was_not_answered() -> None:
    """RET-10: aiohttp says 400 of what it cannot read."""
    error = make("aiohttp.ClientResponseError", status=400, request_info=request())

    assert short(error) == ("permanent", "client", False)
    assert short(because(error, make("aiohttp.BadHttpMessage"))) == ("permanent", "client", False)
    because(error, make("aiohttp.BadHttpMessage", base=kind_of("aiohttp.HttpProcessingError")))
    assert short(error) == ("ambiguous", "network", True)


def test_an_unknown_error_takes_its_kind_but_no_evidence_from_what_it_wraps() -> None:
    """RET-10: it may wrap the last of many requests."""
    assert short(because(ValueError(), refused(429))) == ("rate_limited", "throttle", True)
    assert short(ValueError(refused(400))) == ("permanent", "client", True)


def test_an_unknown_error_takes_its_kind_from_what_was_being_handled() -> None:
    """RET-03: a bug in an ``except``, or somebody's own error without ``from``."""
    assert short(after(KeyError(), refused(429))) == ("rate_limited", "throttle", True)
    assert judge(after(KeyError(), refused(429))).status == 429
    assert short(after(KeyError(), ValueError())) == ("ambiguous", "code", True)


def test_an_error_from_none_is_not_about_what_was_being_handled() -> None:
    """RET-03."""
    error = after(KeyError(), refused(429))
    error.__suppress_context__ = True

    assert short(error) == ("ambiguous", "code", True)


BEFORE = {
    "no answer": (make("httpx.ReadTimeout", base=kind_of("httpx.TransportError")), True),
    "a timeout around it": (TimeoutError(), True),
    "a server error": (refused(503), True),
    "doubt, wrapped": (because(ValueError(), TimeoutError()), True),
    "doubt, before something else": (after(KeyError(), TimeoutError()), True),
    "doubt, before a look": (after(refused(404, "GET"), TimeoutError()), True),
    "a group of doubts": (ExceptionGroup("x", [TimeoutError()]), True),
    "a look": (refused(404, "GET"), False),
    "no connection": (make("httpx.ConnectError"), False),
    "code": (KeyError("x"), False),
}


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("suppress", [False, True])
def test_what_was_tried_before_and_left_doubt_leaves_it_over_a_refusal(
    before: str, *, suppress: bool
) -> None:
    """RET-10, IDE-16: a handler's own second try; ``from None`` hides it from people only."""
    earlier, may_have_acted = BEFORE[before]
    error = after(refused(409), earlier)
    error.__suppress_context__ = suppress

    assert short(error) == ("transient", "client", may_have_acted)


def test_what_was_tried_before_is_found_beneath_what_a_library_wraps() -> None:
    """RET-10: Python hangs it to the innermost error."""
    inner = after(ConnectionRefusedError(), make("httpx.TransportError"))
    error = because(
        make("httpx.ConnectError", request=request()), because(make("httpcore.ConnectError"), inner)
    )

    assert short(error) == ("transient", "network", True)


def test_doubt_wins_in_a_group_and_the_longest_wait_counts() -> None:
    """RET-03, RET-05."""
    slow = refused(429, retry_after="x")
    slow.headers = {"Retry-After": "30"}  # type: ignore[attr-defined]
    quick = refused(429)
    quick.headers = {"Retry-After": "3"}  # type: ignore[attr-defined]

    both = judge(ExceptionGroup("x", [quick, slow, refused(409)]))

    assert (both.kind, both.retry_after_s) == (FaultKind.RATE_LIMITED, 30.0)
    assert both.why == "one of 3 errors: httpx.HTTPStatusError: status 429"
    assert short(ExceptionGroup("x", [refused(429), TimeoutError()])) == ("ambiguous", "network", True)
    assert short(ExceptionGroup("x", [TimeoutError(), KeyError()])) == ("ambiguous", "network", True)
    assert short(ExceptionGroup("x", [KeyError(), TimeoutError()])) == ("ambiguous", "network", True)
    assert short(ExceptionGroup("x", [refused(429), KeyError()])) == ("ambiguous", "code", True)


def test_a_group_is_no_evidence() -> None:
    """RET-10: other tasks may have gone well, or have been called off on their way."""
    assert short(refused(409)) == ("transient", "client", False)
    assert short(ExceptionGroup("x", [refused(409)])) == ("transient", "client", True)


@pytest.mark.parametrize("graver", range(1, 6))
def test_the_kinds_have_an_order_of_gravity(graver: int) -> None:
    """RET-03."""
    members = [
        refused(409),
        refused(429),
        refused(404),
        refused(401),
        make("shop.ValidationError"),
        refused(500),
    ]
    order = ["transient", "rate_limited", "permanent", "auth", "schema", "ambiguous"]

    assert [short(member)[0] for member in members] == order
    assert short(ExceptionGroup("x", members[: graver + 1]))[0] == order[graver]


def test_groups_within_groups_and_beneath_errors_are_read() -> None:
    """RET-03: anyio raises such."""
    group = BaseExceptionGroup("x", [ExceptionGroup("y", [refused(429)])])

    assert short(group) == ("rate_limited", "throttle", True)
    assert short(because(OSError(), ExceptionGroup("x", [ConnectionRefusedError()] * 2))) == (
        "transient",
        "network",
        True,
    )


def test_no_proof_is_found_where_not_everything_could_be_read() -> None:
    """RET-10: reading is bounded, and what was not read is doubt."""
    deep: BaseException = TimeoutError()
    for _ in range(5000):
        deep = after(refused(404, "GET"), deep)

    assert short(ExceptionGroup("x", [refused(429)] * 5000)) == ("ambiguous", "code", True)
    assert short(after(refused(409), deep)) == ("transient", "client", True)


def test_rings_of_errors_are_read_once() -> None:
    """RET-03."""
    one, two = refused(409), KeyError()
    because(one, two)
    because(two, one)
    after(one, two)
    after(two, one)

    assert short(one) == ("transient", "client", False)
    assert short(two) == ("transient", "client", True)
