"""Faults as values and as text, and the script: what is planned comes first, the seed draws the rest."""

from __future__ import annotations

from collections import Counter

import pytest

from holdfast.errors import InvalidCall
from holdfast.testing.faultserver import Chance, Fault, FaultKind, FaultScript, parse_chances

CHARGES = "/v1/charges"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("ok", Fault.OK),
        ("drop_after", Fault.DROP_AFTER),
        ("latency:0.25", Fault.LATENCY.lasting(0.25)),
        ("503:2*3", Fault.UNAVAILABLE.lasting(2).in_a_row(3)),
        ("429_date:0", Fault.RATE_LIMITED_DATE.lasting(0)),
        ("500_after*2", Fault.ERROR_AFTER.in_a_row(2)),
    ],
)
def test_text_and_values_say_the_same(text: str, fault: Fault) -> None:
    assert Fault.parse(text) == fault
    assert str(fault) == text


def test_every_kind_has_a_value_and_a_text_that_reads_back() -> None:
    values = [getattr(Fault, kind.name) for kind in FaultKind]

    assert [value.kind for value in values] == [*FaultKind]
    assert [Fault.parse(str(value)) for value in values] == values


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("drop", "drop_before or drop_after"),
        ("500", "500_before or 500_after"),
        ("typo", "use one of ok, latency"),
        ("", "use one of"),
        ("drop_after:2", "leave its seconds out"),
        ("503*0", "1 to 100,000 times"),
        ("503:x", "use one of"),
    ],
)
def test_a_text_that_names_no_fault_is_refused_with_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(InvalidCall, match=hint):
        Fault.parse(text)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), 1e6])
def test_seconds_that_are_no_time_are_refused(seconds: float) -> None:
    with pytest.raises(InvalidCall, match="at most a day"):
        Fault.LATENCY.lasting(seconds)


def test_chances_are_read_and_both_forms_share_a_probability() -> None:
    assert parse_chances(" latency=0.2:0.05, 503=0.1*3,, reset=0.05 ") == (
        Chance(0.2, Fault.LATENCY.lasting(0.05)),
        Chance(0.1, Fault.UNAVAILABLE.in_a_row(3)),
        Chance(0.025, Fault.RESET_BEFORE),
        Chance(0.025, Fault.RESET_AFTER),
    )
    assert parse_chances("") == ()


@pytest.mark.parametrize(
    "chances",
    ["half", "half=", "half=x", "half=-0.1", "typo=0.1", "half=0.6,drop=0.5", [Chance(-0.1, Fault.HALF)]],
)
def test_chances_that_are_none_are_refused(chances: str) -> None:
    with pytest.raises(InvalidCall):
        FaultScript(chances)


def kinds(script: FaultScript, count: int, method: str = "POST", path: str = CHARGES) -> list[str]:
    return [str(script.next(method, path).fault.kind) for _ in range(count)]


def test_plans_come_true_in_order_then_nothing_happens() -> None:
    script = FaultScript()
    script.plan("drop_after", Fault.OK, "503*2")

    assert script.planned == 4
    assert kinds(script, 5) == ["drop_after", "ok", "503", "503", "ok"]
    assert script.planned == 0


def test_a_plan_befalls_only_whom_it_is_for_and_older_plans_come_first() -> None:
    script = FaultScript()
    script.plan("half", method="post", path=CHARGES)
    script.plan("drip", path="/v1/charges/*/refunds")
    script.plan("429")

    assert kinds(script, 1, "GET") == ["429"]
    assert kinds(script, 2, "GET") == ["ok", "ok"]
    assert kinds(script, 1, path="/v1/charges/ch_1/refunds") == ["drip"]
    assert kinds(script, 2) == ["half", "ok"]


def test_chances_come_true_as_often_as_they_say() -> None:
    """TST-15: within four standard deviations of 10,000 draws."""
    drawn = Counter(kinds(FaultScript("half=0.25,drop=0.1", seed=1), 10_000))

    assert drawn.total() == 10_000
    assert abs(drawn["half"] - 2500) < 4 * (10_000 * 0.25 * 0.75) ** 0.5
    assert abs(drawn["drop_before"] - 500) < 4 * (10_000 * 0.05 * 0.95) ** 0.5
    assert abs(drawn["ok"] - 6500) < 4 * (10_000 * 0.65 * 0.35) ** 0.5


def test_a_drawn_latency_is_at_most_what_was_said_and_differs() -> None:
    script = FaultScript("latency=1:0.05", seed=1)
    drawn = [script.next("GET", "/").fault.seconds for _ in range(100)]

    assert all(0 <= seconds <= 0.05 for seconds in drawn)
    assert len({*drawn}) == 100
    assert max(drawn) > 0.04


def test_a_drawn_burst_befalls_requests_in_a_row() -> None:
    drawn = "".join("x" if kind == "503" else "." for kind in kinds(FaultScript("503=0.05*3", seed=2), 500))

    assert "x" in drawn
    assert all(len(burst) % 3 == 0 for burst in drawn.split("."))


def test_a_plan_does_not_shift_what_is_drawn_for_the_other_requests() -> None:
    """TST-15: a planned fault changes the story of one request, not of all that follow."""
    plain = kinds(FaultScript("half=0.5", seed=3), 50)
    script = FaultScript("half=0.5", seed=3)
    script.plan("429")

    assert kinds(script, 50) == ["429", *plain[1:]]


def test_requests_are_numbered_from_one() -> None:
    script = FaultScript()

    assert [script.next("GET", "/").number for _ in range(3)] == [1, 2, 3]
