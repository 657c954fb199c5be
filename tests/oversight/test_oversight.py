"""Whether people decide, or merely click: HIT-12, HIT-14, HIT-16, HIT-20, OBS-24."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from holdfast import CallContext, SyncLedger, ToolCall
from holdfast._core.oversight import longest, percentile
from holdfast.errors import ApprovalDenied, ApprovalRequired
from holdfast.ledger import Vigilance
from holdfast.ledger.engine import make_engine
from holdfast.stores.sqlite.store import SqliteStore
from holdfast.testing import FakeClock
from holdfast.testing.runtime import FakeRuntime
from otel import listening


class Desk:
    """People who decide by a clock that the test turns."""

    def __init__(self, path: Any) -> None:
        self.clock = FakeClock()
        store = SqliteStore(str(path / "ledger.db"), blocking=True, clock=self.clock)
        self.alerts: list[Any] = []
        self.ledger = object.__new__(SyncLedger)
        self.ledger._engine = make_engine(
            store,
            tenant="default",
            actor="agent",
            settings=None,
            codec=None,
            migrate=False,
            mode="sync",
            runtime=FakeRuntime(self.clock, blocking=True),
            on_alert=self.alerts.append,
        )

    def asked(self, number: int, **context: Any) -> Any:
        call = ToolCall(
            workflow_id="w",
            tool="refund",
            args={"n": number},
            context=CallContext(**context) if context else None,
        )
        with pytest.raises(ApprovalRequired) as required:
            self.ledger.run(call, _refund, requires_approval=True)
        return self.ledger.approval(required.value.approval)

    def decided(self, question: Any, *, by: str, after_s: float, yes: bool = True, args: Any = None) -> Any:
        self.clock.advance(after_s)
        if yes:
            return self.ledger.approve(question.id, by=by, digest=question.digest, args=args)
        return self.ledger.deny(question.id, by=by, reason="not this one")


def _refund(n: int) -> int:
    return n


@pytest.fixture
def desk(tmp_path: Any) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.ledger.close()


def test_a_hundred_decisions_are_counted_exactly(desk: Desk) -> None:
    """HIT-12: rate, time to decision, approval and override rate, backlog, per reviewer."""
    for number in range(100):
        question = desk.asked(number)
        by = "ana" if number % 2 else "ben"
        args = {"n": number + 1000} if number % 10 == 1 else None
        desk.decided(question, by=by, after_s=number + 1, yes=number % 5 != 0, args=args)
    desk.asked(1000)
    desk.ledger.run(ToolCall(workflow_id="w", tool="refund", args={"n": -1}), _refund)
    desk.clock.advance(7)

    found = desk.ledger.oversight(since="300d")

    assert (found.calls, found.asked, found.approved, found.denied, found.edited) == (102, 101, 80, 20, 10)
    assert (found.pending, found.oldest_s) == (1, 7.0)
    assert (found.p50_s, found.p95_s) == (50.0, 95.0)
    assert found.escalation_rate == 101 / 102
    assert found.approval_rate == 0.8
    assert found.override_rate == 0.3
    ana, ben = found.reviewers
    assert (ana.person, ana.answers, ana.approved, ana.denied, ana.edited) == ("ana", 50, 40, 10, 10)
    assert (ben.person, ben.answers, ben.approved, ben.denied, ben.edited) == ("ben", 50, 40, 10, 0)


def test_questions_back_are_counted_and_their_time_is_time_to_a_decision(desk: Desk) -> None:
    """HIT-12, HIT-09: a question that was asked back twice is one; waiting for the agent counts."""
    for number in range(4):
        question = desk.asked(number)
        for n in range(2 if number == 0 else 0):
            desk.clock.advance(30)
            desk.ledger.request_info(question.id, by="ana", question=f"and {n}?")
            desk.clock.advance(20)
            question = desk.ledger.answer_info(question.id, answer=f"so {n}")
        desk.decided(question, by="ana", after_s=5)

    found = desk.ledger.oversight(since="1d")

    assert (found.asked, found.asked_back, found.ask_back_rate) == (4, 1, 0.25)
    assert (found.p50_s, found.p95_s) == (5.0, 105.0)
    assert found.overridden == 0


def test_fifty_answers_of_less_than_two_seconds_are_no_decisions(desk: Desk) -> None:
    """HIT-14: a reviewer who reads is not named; one who clicks is, in both ways."""
    questions = [desk.asked(number) for number in range(60)]
    desk.clock.advance(3600)
    for number, question in enumerate(questions):
        desk.decided(question, by="click" if number < 50 else "read", after_s=1.5 if number < 50 else 40)

    found = desk.ledger.oversight(since="1d")

    assert [(one.code, one.person) for one in found.concerns] == [
        ("fast_streak", "click"),
        ("yes_streak", "click"),
    ]
    assert {one.person: one.fast for one in found.reviewers} == {
        "click": 49,
        "read": 0,
    }  # the first came after an hour
    calm = Vigilance(fast_s=1.0, streak=10, yes_streak=100)
    assert desk.ledger.oversight(since="1d", vigilance=calm).concerns == ()


def test_a_planted_question_that_is_approved_raises_the_alarm_and_runs_nothing(desk: Desk) -> None:
    """HIT-14: the canary."""
    call = ToolCall(workflow_id="w", tool="refund", args={"n": 999_999})
    planted = desk.ledger.plant(call, reason="the tool requires approval")
    like_it = desk.asked(1)

    shown = {name: value for name, value in planted.shown.items() if name != "args"}
    assert shown.keys() == {name for name in like_it.shown if name != "args"}
    desk.decided(planted, by="click", after_s=1)

    assert [alert.code for alert in desk.alerts] == ["canary_approved"]
    assert desk.ledger.approval(planted.id).state == "withdrawn"
    assert desk.ledger.effect(planted.key).state == "cancelled"
    found = desk.ledger.oversight(since="1d")
    assert ("canary_approved", "click") in [(one.code, one.person) for one in found.concerns]
    assert found.asked == 1  # it counts in no rate


def test_a_planted_question_that_is_denied_was_caught(desk: Desk) -> None:
    planted = desk.ledger.plant(ToolCall(workflow_id="w", tool="refund", args={"n": 999_999}), reason="large")

    desk.decided(planted, by="ana", after_s=30, yes=False)

    [ana] = desk.ledger.oversight(since="1d").reviewers
    assert (ana.canaries, ana.caught, desk.alerts) == (1, 1, [])
    assert desk.ledger.overrides(since="1d") == []


def test_what_people_knew_better_becomes_a_case_to_test_agents_with(desk: Desk) -> None:
    """HIT-20: a denial, and a change of the arguments; what was waved through is none."""
    desk.decided(desk.asked(1, belief="it came back"), by="ana", after_s=9, yes=False)
    desk.decided(desk.asked(2), by="ben", after_s=9, args={"n": 20})
    desk.decided(desk.asked(3), by="ben", after_s=9)

    cases = {case["input"]["args"]["n"]: case for case in desk.ledger.overrides(since="1d")}

    assert cases.keys() == {1, 2}
    assert cases[1]["expected"] == {"decision": "deny"}
    assert (cases[1]["by"], cases[1]["reason"]) == ("ana", "not this one")
    assert cases[1]["input"]["context"]["belief"] == "it came back"
    assert cases[2]["expected"] == {"decision": "edit", "args": {"n": 20}}


def test_an_override_is_told_to_the_agent_and_stays_on_record(desk: Desk) -> None:
    """HIT-16: to decide not to use, to override."""
    question = desk.asked(1)
    desk.decided(question, by="ana", after_s=5, yes=False)

    with pytest.raises(ApprovalDenied, match="not this one"):
        desk.ledger.run(
            ToolCall(workflow_id="w", tool="refund", args={"n": 1}), _refund, requires_approval=True
        )

    told = [event.details for event in desk.ledger.audit(question.key) if "decision" in event.details]
    assert [(one["decision"]["by"], one["decision"]["approves"]) for one in told] == [("ana", False)]


@pytest.fixture(scope="module")
def spans() -> InMemorySpanExporter:
    return listening()


def test_a_call_that_never_ran_is_in_the_trace_with_the_decision(
    desk: Desk, spans: InMemorySpanExporter
) -> None:
    """OBS-24: asked in the span that proposed it, decided in a span that is linked to that one."""
    spans.clear()
    with trace.get_tracer("model").start_as_current_span("chat") as chat:
        question = desk.asked(41, belief="what nobody else should read")
    desk.decided(question, by="ana", after_s=5, yes=False)

    named = {span.name: span for span in spans.get_finished_spans()}

    assert named.keys() == {"chat", "decide_approval"}  # no execute_tool: nothing ran
    [asked] = named["chat"].events
    assert (asked.name, asked.attributes["holdfast.approval"]) == ("holdfast.approval_required", question.id)
    [link] = named["decide_approval"].links
    assert link.context.span_id == chat.get_span_context().span_id
    assert named["decide_approval"].attributes["holdfast.decision"] == "deny"
    assert "nobody else" not in str([dict(span.attributes or {}) for span in named.values()])


@pytest.mark.parametrize(
    ("row", "length"), [([], 0), ([True], 1), ([True, False, True, True], 2), ([False], 0)]
)
def test_the_longest_row(row: list[bool], length: int) -> None:
    assert longest(row) == length


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([], 0.5) is None
    assert percentile([3.0], 0.95) == 3.0
    assert percentile([float(n) for n in range(1, 101)], 0.95) == 95.0
