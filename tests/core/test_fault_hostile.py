"""Whatever an error is made of, it gets a verdict, and no verdict promises more than is known."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest
from faulty import NOW, judge, kind_of, make, refused, request, short
from hypothesis import given
from hypothesis import strategies as st

from holdfast._core.fault import Cause, FaultKind, fault_of_response
from holdfast._core.fault_evidence import LONGEST_WAIT_S
from holdfast._core.fault_names import MEANINGS


class Refuses:
    """Nothing can be had of it but its class, without which pytest could not look at it."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return type(self)
        raise RecursionError(name)

    def __bool__(self) -> bool:
        raise ValueError


class Endless:
    def __iter__(self) -> Any:
        while True:
            yield ("x", "y")

    items = __iter__


class Huge(int):
    def __ge__(self, other: object) -> bool:
        raise ValueError

    __lt__ = __le__ = __gt__ = __ge__


class Denies:
    """It even raises when it is asked what it is."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


def trap(name: str) -> property:
    def read(self: object) -> Any:
        raise RuntimeError(name)

    return property(read)


TRAPS = {
    name: trap(name)
    for name in ("response", "request", "headers", "status", "reason", "kwargs", "sqlstate", "errno", "code")
}


def test_properties_that_raise_cost_what_they_would_have_told_and_nothing_else() -> None:
    """RET-03."""
    cls = type("Trouble", (Exception,), {"__module__": "shop", **TRAPS})
    error = cls()
    error.status_code = 429
    error.method = "POST"

    assert short(error) == ("rate_limited", "throttle", False)


@pytest.mark.parametrize("status", [Huge(429), HTTPStatus.TOO_MANY_REQUESTS], ids=["odd", "enum"])
def test_a_status_that_is_more_than_a_number_is_a_plain_one_afterwards(status: int) -> None:
    """RET-03."""
    fault = judge(make("shop.Trouble", status=status, method="POST"))

    assert (fault.kind, fault.status, fault.may_have_acted) == (FaultKind.RATE_LIMITED, 429, False)
    assert type(fault.status) is int


@pytest.mark.parametrize(
    "field", ["__cause__", "__context__", "args", "__traceback__", "__suppress_context__"]
)
def test_an_errors_own_machinery_may_raise_as_well(field: str) -> None:
    """RET-03."""
    error = type("Trouble", (Exception,), {"__module__": "shop", field: trap(field)})()

    assert short(error) == ("ambiguous", "code", True)


@pytest.mark.parametrize("field", ["status", "response", "request", "headers", "code", "sqlstate", "reason"])
def test_a_value_that_even_denies_its_class_costs_no_more_than_certainty(field: str) -> None:
    """RET-03."""
    error = refused(409)
    setattr(error, field, Denies())
    fault = judge(error)

    assert fault.may_have_acted or (fault.kind, fault.status) == (FaultKind.TRANSIENT, 409)


@pytest.mark.parametrize("value", [None, (), "x", 7, [7], Refuses()], ids=lambda value: type(value).__name__)
def test_a_group_whose_members_are_none_is_doubt(value: object) -> None:
    """RET-03."""
    cls = type("Odd", (ExceptionGroup,), {"exceptions": property(lambda self: value)})

    assert short(cls("x", [refused(429)])) == ("ambiguous", "code", True)


def test_a_group_that_contains_itself_is_doubt() -> None:
    """RET-03: in bounded time."""
    cls = type("Odd", (ExceptionGroup,), {"exceptions": property(lambda self: [self] * 1000)})

    assert short(cls("x", [refused(429)])) == ("ambiguous", "code", True)


def test_an_error_that_makes_up_a_new_cause_whenever_it_is_asked_is_read_in_bounded_time() -> None:
    """RET-03."""
    cls: Any = type("Odd", (Exception,), {})
    cls.__cause__ = cls.__context__ = property(lambda self: cls(cls(), cls(), cls()))

    assert short(cls()) == ("ambiguous", "code", True)


@pytest.mark.parametrize(
    "module", [None, 7, "shop\nsecret", Refuses()], ids=lambda value: type(value).__name__
)
def test_a_class_may_come_from_nowhere(module: object) -> None:
    """RET-03: and what is shown of it is one printable line."""
    cls = type("Bad name\n\x1b[31m" + "x" * 500, (TimeoutError,), {"__module__": module})
    fault = judge(cls())

    assert (fault.kind, fault.cause) == (FaultKind.AMBIGUOUS, Cause.NETWORK)
    assert fault.why.isprintable()
    assert len(fault.why) < 200


@pytest.mark.parametrize(
    "response",
    [None, 7, "x", [], {}, Refuses(), SimpleNamespace(status=Refuses())],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_response_is_no_fault(response: object) -> None:
    """RET-03."""
    assert fault_of_response(response, now=NOW) is None


ODDITIES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(400, 599), st.floats(), st.text(max_size=5), st.binary(max_size=3),
    st.sampled_from([Refuses(), Endless(), Huge(429), Huge(10**40), object(), "POST", "GET", "insufficient_quota", NOW]),
    st.sampled_from([request("POST"), request("GET"), request("PUT", url=Refuses())]),
    st.dictionaries(st.sampled_from(["status", "headers", "Error", "ResponseMetadata", "Code"]), st.integers(), max_size=2),
    st.builds(SimpleNamespace, status=st.integers(390, 610), headers=st.just({"retry-after": "5"}), method=st.just("POST")),
    st.lists(st.tuples(st.text(max_size=3), st.integers()), max_size=2),
)  # fmt: skip
FIELDS = st.sampled_from(
    [
        "status", "status_code", "http_status", "response", "request", "request_info", "headers", "method", "reason",
        "operation_name", "kwargs", "sqlstate", "pgconn", "errno_", "code", "type", "os_error", "original_error", "orig",
    ]
)  # fmt: skip
NAMES = st.sampled_from(
    [*MEANINGS, "shop.Trouble", "urllib3.ResponseError", "psycopg.OperationalError", "x.ValidationError"]
)


@st.composite
def webs(draw: st.DrawFn) -> list[BaseException]:
    """Errors of all kinds, furnished with anything, that wrap and follow each other in any way."""
    errors: list[BaseException] = []
    for _ in range(draw(st.integers(1, 5))):
        traps = {name: trap(name) for name in draw(st.sets(FIELDS, max_size=2))}
        cls = type("X", (kind_of(draw(NAMES)),), {"__module__": "shop", **traps})
        error = cls(*draw(st.lists(ODDITIES, max_size=2)))
        for field, value in draw(st.dictionaries(FIELDS, ODDITIES, max_size=4)).items():
            if field not in traps:
                setattr(error, field, value)
        errors.append(error)
    if draw(st.booleans()):
        errors.append(
            BaseExceptionGroup("x", draw(st.lists(st.sampled_from(errors), min_size=1, max_size=4)))
        )
    for error in errors:
        for link in draw(st.sets(st.sampled_from(["__cause__", "__context__", "reason"]))):
            if not isinstance(getattr(type(error), link, None), property):
                setattr(error, link, draw(st.sampled_from(errors)))
    return errors


@given(webs())
def test_any_error_gets_a_verdict_that_promises_no_more_than_is_known(errors: list[BaseException]) -> None:
    """RET-03, RET-05, RET-10."""
    for error in errors:
        fault = judge(error)

        assert fault == judge(error), "the same error, the same verdict"
        assert isinstance(fault.kind, FaultKind)
        assert isinstance(fault.cause, Cause)
        assert fault.status is None or (type(fault.status) is int and 400 <= fault.status <= 599)
        assert fault.retry_after_s is None or 0 <= fault.retry_after_s <= LONGEST_WAIT_S
        assert fault.why.isprintable()
        if fault.kind is FaultKind.AMBIGUOUS or not fault.is_recognised or (fault.status or 0) >= 500:
            assert fault.may_have_acted


@given(st.builds(SimpleNamespace, **dict.fromkeys(("status", "status_code", "headers", "request"), ODDITIES)))
def test_any_response_gets_a_verdict_or_none(response: object) -> None:
    """RET-03."""
    fault = fault_of_response(response, now=datetime(2026, 1, 31, tzinfo=NOW.tzinfo))

    assert fault is None or fault.kind is FaultKind.AMBIGUOUS or fault.status is not None
