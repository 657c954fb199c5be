"""What stops a workflow, a model, a call: refused credentials, arguments that do not fit, time, impatience."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pydantic
import pytest

from desk import Desk
from holdfast import Ledger, RetryPolicy, State, ToolCall
from holdfast._core.fault import Cause, Fault, FaultKind
from holdfast._runtime.drive import run_sync
from holdfast.errors import InvalidCall, OutcomeUnknown, SchemaMismatch, WorkflowStopped
from holdfast.stores.memory import MemoryStore
from retry.world import CALL, Service, answer, ask, end_of, told

OTHER = ToolCall(workflow_id="order-1", tool="mail.send", args={"amount": 1})


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("safety", ["unsafe", "idempotent", "read"])
def test_refused_credentials_stop_the_workflow_after_one_attempt_and_one_alert(
    desk: Desk, status: int, safety: str
) -> None:
    """RET-09: no retry, somebody is told, nothing more of this workflow is sent; others go on."""
    service = Service(desk, answer(status))
    ledger = desk.ledger()
    alerts = told(desk, ledger)

    error = end_of(desk, service, safety=safety, ledger=ledger)
    refusal = end_of(desk, Service(desk), OTHER)
    elsewhere = end_of(desk, Service(desk), ToolCall(workflow_id="order-2", tool="t", args={"amount": 1}))

    assert error.response.status_code == status
    assert len(service.at) == 1
    assert isinstance(refusal, WorkflowStopped)
    assert elsewhere == {"id": "ch_1"}
    assert [(alert.code, alert.workflow_id) for alert in alerts] == [("auth_failed", "order-1")]
    [workflow] = ask(desk, lambda ledger: ledger.workflows(status="needs_review"))
    assert "authentication failed" in workflow.stopped


def test_a_stopped_workflow_goes_on_when_a_person_says_so(desk: Desk) -> None:
    """RET-09: under the same key, since nothing was done; the trail says who."""
    service = Service(desk, answer(401))
    end_of(desk, service)

    ask(desk, lambda ledger: ledger.resume("order-1", by="ops@acme", reason="new key"))
    result = end_of(desk, service)

    assert result == {"id": "ch_1"}
    assert len(set(service.keys)) == 1
    assert [event.details["by"] for event in desk.story if "by" in event.details] == ["ops@acme"]


def test_what_is_on_record_is_answered_in_a_stopped_workflow(desk: Desk) -> None:
    """IDE-04: a replay sends nothing."""
    end_of(desk, Service(desk), OTHER)
    end_of(desk, Service(desk, answer(401)))

    assert end_of(desk, Service(desk), OTHER) == {"id": "ch_1"}


def test_an_author_may_choose_that_refused_credentials_stop_nothing(desk: Desk) -> None:
    """RET-09: where a 403 is an everyday answer."""
    end_of(desk, Service(desk, answer(403)), retry=RetryPolicy(stop_on_auth=False))

    assert end_of(desk, Service(desk), OTHER) == {"id": "ch_1"}


def test_resuming_what_is_unknown_here_is_refused(desk: Desk) -> None:
    """RET-09: a typo must not look like a repair."""
    with pytest.raises(InvalidCall, match="nothing is on record of a workflow 'order-404'"):
        ask(desk, lambda ledger: ledger.resume("order-404", by="ops", reason="typo"))


def turn(ledger: Any, *args: Any) -> Any:
    calls = [ToolCall(workflow_id="order-1", tool="charge", args=each) for each in args]
    return run_sync(ledger.turn(calls, handlers={"charge": charge}))


def charge(amount: int) -> dict[str, int]:
    return {"charged": amount}


def test_the_model_may_correct_arguments_that_do_not_fit_once(desk: Desk) -> None:
    """RET-07: it is told what is wrong; nothing ran; the second misfit ends the step."""
    ledger = desk.ledger()

    [receipt] = turn(ledger, {"amout": 100})
    said = json.loads(receipt.for_model())
    with pytest.raises(SchemaMismatch, match="lacks 'amount'"):
        turn(ledger, {"amout": 100})

    assert said["status"] == "invalid"
    assert "'amount'" in said["error"]
    assert run_sync(ledger.effects()) == []


def test_a_corrected_call_runs_and_the_next_misfit_may_be_corrected_again(desk: Desk) -> None:
    """RET-07: exactly one correction for each misfit."""
    ledger = desk.ledger()
    turn(ledger, {"amout": 100})

    [corrected] = turn(ledger, {"amount": 100})
    [again] = turn(ledger, {"amout": 7})

    assert corrected.result == {"charged": 100}
    assert isinstance(again.error, SchemaMismatch)


def test_the_step_after_one_that_ended_on_its_second_misfit_may_be_corrected_as_well(desk: Desk) -> None:
    """RET-07: what ended one step is no debt of the next."""
    ledger = desk.ledger()
    turn(ledger, {"amout": 100})
    with pytest.raises(SchemaMismatch):
        turn(ledger, {"amout": 100})

    [receipt] = turn(ledger, {"amout": 7})

    assert isinstance(receipt.error, SchemaMismatch)


def test_a_misfit_does_not_keep_the_other_calls_of_its_turn_from_running(desk: Desk) -> None:
    """RET-07: receipts come in the order of the calls."""
    receipts = turn(desk.ledger(), {"amount": 1}, {"amout": 2}, {"amount": 3})

    assert [receipt.result for receipt in receipts] == [{"charged": 1}, None, {"charged": 3}]


def test_a_declared_schema_is_checked_before_anything_is_recorded(desk: Desk) -> None:
    """RET-07: types as well as names; what pydantic found is told without the values."""

    class Charge(pydantic.BaseModel):
        amount: int

    ledger = desk.ledger()
    ledger.tool("charge", schema=Charge)(charge)
    call = ToolCall(workflow_id="order-1", tool="charge", args={"amount": "SECRET"})

    [receipt] = run_sync(ledger.turn([call]))

    assert "amount: Input should be a valid integer" in str(receipt.error)
    assert "SECRET" not in receipt.for_model()
    assert run_sync(ledger.effects()) == []


class Search(pydantic.BaseModel):
    limit: int


def search(limit: Any) -> int:
    """A tool whose service looks at values more closely than its schema."""
    return Search(limit=limit).limit


def refused_values(error: Exception) -> Fault | None:
    """What a tool's author knows: these values were refused, and nothing was done."""
    if isinstance(error, pydantic.ValidationError):
        return Fault(kind=FaultKind.SCHEMA, cause=Cause.SCHEMA, may_have_acted=False, why="refused values")
    return None


def searching(ledger: Any, limit: Any, to: str) -> Any:
    calls = [
        ToolCall(workflow_id="order-1", tool="search", args={"limit": limit}),
        ToolCall(workflow_id="order-1", tool="mail", args={"to": to}),
    ]
    return run_sync(ledger.turn(calls))


@pytest.mark.parametrize("safety", ["read", "unsafe"])
def test_what_a_tool_finds_not_to_fit_may_be_corrected_once_too(desk: Desk, safety: Any) -> None:
    """RET-07: the model is told; the second misfit ends the step when all calls of its turn have ended."""
    ledger, sent = desk.ledger(), list[str]()

    def mail(to: str) -> None:
        sent.append(to)

    ledger.tool("search", safety=safety, classify=refused_values)(search)
    ledger.tool("mail")(mail)

    first, _ = searching(ledger, "many", "ada")
    with pytest.raises(pydantic.ValidationError):
        searching(ledger, "lots", "bob")

    assert "correct the arguments" in first.for_model()
    assert sent == ["ada", "bob"]


def test_a_tools_values_that_fit_at_last_may_be_corrected_again_another_time(desk: Desk) -> None:
    """RET-07: exactly one correction for each misfit."""
    ledger = desk.ledger()
    ledger.tool("search", safety="read")(search)
    ledger.tool("mail")(lambda to: None)
    searching(ledger, "many", "ada")

    fitting, _ = searching(ledger, 3, "bob")
    again, _ = searching(ledger, "many more", "eve")

    assert fitting.result == 3
    assert isinstance(again.error, pydantic.ValidationError)


@pytest.mark.parametrize("safety", ["unsafe", "idempotent"])
def test_values_that_leave_doubt_are_nothing_that_a_model_may_correct(desk: Desk, safety: Any) -> None:
    """I1, RET-07: an answer that does not fit says nothing of the write; other arguments are a second one."""
    ledger = desk.ledger()
    ledger.tool("search", safety=safety)(search)
    ledger.tool("mail")(lambda to: None)

    receipt, _ = searching(ledger, "many", "ada")

    assert receipt.state is (State.UNKNOWN if safety == "unsafe" else State.RETRYABLE)
    assert receipt.findings == ()
    assert "orrect the arguments" not in receipt.for_model()


@pytest.mark.parametrize(("safety", "state"), [("unsafe", "unknown"), ("idempotent", "retryable")])
def test_a_misfit_inside_a_handler_is_not_told_as_if_nothing_had_run(
    desk: Desk, safety: Any, state: str
) -> None:
    """I1, PLN-07: the handler has acted, then called another tool with arguments that do not fit."""
    ledger, charged = desk.ledger(), list[int]()

    async def charge(amount: int) -> None:
        charged.append(amount)
        await ledger.run(OTHER, lambda to: None)

    ledger.tool("charge", safety=safety)(charge)
    [receipt] = run_sync(ledger.turn([ToolCall(workflow_id="order-1", tool="charge", args={"amount": 1})]))
    said = json.loads(receipt.for_model())

    assert charged == [1]
    assert isinstance(receipt.error, SchemaMismatch)
    assert said["status"] == state
    assert "Nothing ran" not in said["meaning"]
    assert receipt.findings == ()


def test_a_cancelled_caller_ends_the_waiting_for_the_next_attempt_at_once() -> None:
    """RET-13: within 100 ms, not after the thirty seconds that were planned."""

    async def scenario() -> tuple[float, State]:
        async with Ledger(MemoryStore(is_test=True)) as ledger:

            async def failing(amount: int) -> None:
                raise answer(429, retry_after="30")

            calling = asyncio.ensure_future(ledger.run(CALL, failing))
            while not [e for e in await ledger.effects() if e.state is State.RETRYABLE]:
                await asyncio.sleep(0)
            started = time.monotonic()
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
            [effect] = await ledger.effects()
            return time.monotonic() - started, effect.state

    took_s, state = asyncio.run(scenario())

    assert took_s < 0.1
    assert state is State.RETRYABLE


@pytest.mark.parametrize(
    ("safety", "state"),
    [("unsafe", State.UNKNOWN), ("idempotent", State.RETRYABLE), ("read", State.RETRYABLE)],
)
def test_a_handler_that_hangs_ends_at_its_timeout_by_what_repeating_would_mean(
    desk: Desk, safety: str, state: State
) -> None:
    """RET-18, X5: a write is unknown, a read has failed."""

    def hangs(amount: int) -> None:
        desk.clock.advance(61)

    error = end_of(desk, hangs, safety=safety, timeout="60s", retry=False)

    assert isinstance(error, OutcomeUnknown if safety == "unsafe" else TimeoutError)
    assert desk.effect.state is state


def test_a_call_inside_a_handler_gives_up_before_the_handler_does(desk: Desk) -> None:
    """RET-18: the inner default is shorter than the caller's time; else the caller would never hear of it."""
    ledger = desk.ledger()
    seen: list[str] = []

    def inner(amount: int) -> None:
        desk.clock.advance(28)

    async def outer(amount: int) -> str:
        try:
            await ledger.run(ToolCall(tool="inner", args={"amount": 1}), inner, retry=False)
        except OutcomeUnknown as error:
            seen.append(str(error))
        return "told"

    assert end_of(desk, outer, ledger=ledger, timeout="30s") == "told"
    assert "longer than its timeout of 27 s" in seen[0]


def test_fifty_wake_ups_send_one_message(desk: Desk) -> None:
    """RET-22: an agent that waits for a reply, and is woken again and again, does not send again."""
    follow_up = ToolCall(workflow_id="ticket-7", tool="mail.follow_up", args={"amount": 1}, key="follow-up-1")
    service = Service(desk)

    for _ in range(50):
        desk.clock.advance(3600)
        assert end_of(desk, service, follow_up) == {"id": "ch_1"}

    assert len(service.at) == 1


@pytest.mark.parametrize("age_s", [10, 600])
def test_a_read_is_answered_from_the_record_only_while_it_is_fresh_enough(desk: Desk, age_s: int) -> None:
    """IDE-26: the receipt says when it was seen, and whether that was just now."""
    service = Service(desk, {"seen": 1}, {"seen": 2})
    first = run_sync(desk.ledger().call(CALL, service, safety="read", max_age="60s"))
    desk.clock.advance(age_s)

    receipt = run_sync(desk.ledger().call(CALL, service, safety="read", max_age="60s"))

    assert (first.source, first.result) == ("fresh", {"seen": 1})
    assert receipt.result == {"seen": 1 if age_s < 60 else 2}
    assert receipt.source == ("record" if age_s < 60 else "fresh")
    assert receipt.observed_at == (first.observed_at if age_s < 60 else desk.clock())


def test_without_a_demanded_age_a_read_looks_every_time(desk: Desk) -> None:
    """IDE-26, IDE-01: no stale answer by default."""
    service = Service(desk, {"seen": 1}, {"seen": 2})

    results = [end_of(desk, service, safety="read") for _ in range(2)]

    assert results == [{"seen": 1}, {"seen": 2}]


def test_what_stopped_a_workflow_is_not_forgotten_before_it_goes_on(desk: Desk) -> None:
    """IDE-20, RET-09: retention must not take away what a person has to see to."""
    end_of(desk, Service(desk, answer(403)), safety="idempotent")
    key = desk.effect.key
    ledger = desk.ledger()
    run_sync(ledger.resume("order-1", by="ops", reason="mended"))
    end_of(desk, Service(desk))
    end_of(desk, Service(desk), OTHER)
    run_sync(ledger.compensate("order-1", reason="a stop that points at a finished effect"))
    stop(ledger, key)
    desk.clock.advance(86400)

    run_sync(ledger.reap(older_than="1h"))
    resumed = run_sync(ledger.resume("order-1", by="ops", reason="mended"))

    assert resumed.stopped is None


def stop(ledger: Any, key: Any) -> None:
    """Stop the workflow by a note in the trail of a finished effect, as a failed compensation does."""
    from holdfast._core.change import WorkflowStop, head_of
    from holdfast._core.plan import plan_move
    from holdfast._core.states import Event

    parts = ledger._engine.parts
    record = run_sync(parts.store.find("default", key)).record
    stamp = parts.stamp("default", key, "ops")
    change, _ = plan_move(head_of(record), Event.NOTE, stamp, workflow=WorkflowStop(reason="planted"))
    run_sync(parts.store.commit(change))


def test_five_that_are_refused_for_one_reason_are_one_alert(desk: Desk) -> None:
    """RET-09: whoever comes second finds the workflow stopped for that already."""
    alerts: list[Any] = []
    begun = []
    for n in range(5):
        ledger = desk.ledger()
        heard = told(desk, ledger)
        call = ToolCall(workflow_id="order-1", tool="stripe.charge", args={"amount": n})
        begun.append((desk.begin(call, ledger=ledger), heard))

    for claim, heard in begun:
        claim.fail_with(answer(401))
        alerts += heard

    assert [(alert.code, alert.workflow_id) for alert in alerts] == [("auth_failed", "order-1")]


def test_a_call_that_fits_is_no_correction_of_one_beside_it(desk: Desk) -> None:
    """RET-07: the second misfit ends the step, whatever else the turns bring."""
    ledger = desk.ledger()
    turn(ledger, {"amout": 1}, {"amount": 1})

    with pytest.raises(SchemaMismatch):
        turn(ledger, {"amout": 1}, {"amount": 1})
