"""Proof that comes too late to be applied is heard all the same: by a successor at work, or by people."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from desk import Desk
from holdfast import Done, NotDone, Permanent, State, ToolCall
from holdfast._runtime.drive import run_sync
from holdfast._runtime.reconcile import settle_by
from holdfast.errors import LeaseLost, NotResolvable, NotSerializable
from holdfast.testing import FaultyStore
from holdfast.testing.faults import Faults
from retry.world import CALL, Service, ask, end_of, lost, meanwhile, told

FOUND = {"id": "ch_9"}


def taken_for_not_done(desk: Desk) -> None:
    """Let a person say that the only effect was not done."""
    key = desk.effect.key
    ask(desk, lambda ledger: ledger.resolve(key, NotDone(), by="bob", reason="not in the index"))


@pytest.mark.parametrize("who", ["reconciler", "person", "attempt itself"])
def test_proof_about_what_failed_meanwhile_stops_its_workflow_and_is_told_once(desk: Desk, who: str) -> None:
    """I1, CMP-07, IDE-15: whoever brings it, and not a webhook alone; nothing else would ever hear of it."""
    first = desk.begin(CALL)
    ledger = first.ledger
    alerts = told(desk, ledger)

    async def failed_meanwhile() -> None:
        taken_for_not_done(desk)
        end_of(desk, Service(desk, Permanent("refused")))

    if who == "attempt itself":
        desk.clock.advance(600)
        end_of(desk, Service(desk))
        run_sync(failed_meanwhile())
        with pytest.raises(LeaseLost):
            first.succeed(FOUND)
    else:
        first.fail_with(lost())
        meanwhile(ledger, failed_meanwhile)
        if who == "reconciler":
            run_sync(ledger.reconcile(desk.effect.key, lambda effect: Done(FOUND)))
        else:
            with pytest.raises(NotResolvable):
                run_sync(ledger.resolve(desk.effect.key, Done(FOUND), by="ann", reason="in the books"))

    assert desk.effect.state is State.FAILED
    assert [(alert.code, alert.workflow_id) for alert in alerts] == [("done_after_all", "order-1")]
    [workflow] = run_sync(ledger.workflows(status="needs_review"))
    assert f"{CALL.tool} is done, which is failed" in workflow.stopped
    assert desk.events[-1] == "note"


def test_a_successor_that_looked_before_proof_was_kept_looks_again(desk: Desk) -> None:
    """I1, IDE-15: kept between its look and its record; it would be recorded as refused for good."""
    end_of(desk, Service(desk, lost()))
    other = desk.ledger()._engine.parts
    seen = run_sync(other.store.find("default", desk.effect.key)).record
    assert seen is not None
    taken_for_not_done(desk)

    class Slow(FaultyStore):
        is_proven = False

        async def commit(self, change: Any) -> Any:
            if any(getattr(op, "to", None) is State.FAILED for op in change.ops) and not self.is_proven:
                self.is_proven = True
                await settle_by(other, seen, Done(FOUND), None, "other", source="reconciler")
            return await super().commit(change)

    ledger = desk.ledger(lambda store: Slow(store, Faults()))

    assert end_of(desk, Service(desk, Permanent("refused")), ledger=ledger) == FOUND
    assert desk.effect.state is State.SUCCEEDED


def test_late_proof_without_a_result_is_no_result_of_null(desk: Desk) -> None:
    """I7, IDE-15: its result could not be kept; whoever asks is told that, and not given another."""
    first = desk.begin(CALL, safety="idempotent")
    desk.clock.advance(600)
    second = desk.begin(CALL, safety="idempotent")
    with suppress(LeaseLost):
        first.succeed({"a set"})
    second.fail_with(NotDone("a duplicate"))
    service = Service(desk)

    end = end_of(desk, service, safety="idempotent")

    assert isinstance(end, NotSerializable)
    assert "of type set" in str(end)
    assert (desk.effect.state, service.at) == (State.SUCCEEDED, [])


def test_what_a_person_has_to_see_to_is_kept_with_its_proof_until_that_is_done(desk: Desk) -> None:
    """IDE-20, CMP-07: a dry run tells the same."""
    end_of(desk, Service(desk, Permanent("refused")))
    key = desk.effect.key
    ask(desk, lambda ledger: ledger.observe(key, Done(FOUND), signal_id="evt_1"))
    desk.clock.advance(86400)
    end_of(desk, Service(desk), ToolCall(workflow_id="order-2", tool="t", args={"amount": 1}))
    ledger = desk.ledger()

    removed = [run_sync(ledger.reap(older_than="1h", dry_run=dry_run)).removed for dry_run in (True, False)]
    signals = run_sync(ledger._engine.parts.store.signals("default", key))
    run_sync(ledger.resume("order-1", by="ann", reason="set right outside"))
    desk.clock.advance(86400)
    end_of(desk, Service(desk), ToolCall(workflow_id="order-3", tool="t", args={"amount": 1}))
    later = [run_sync(ledger.reap(older_than="1h", dry_run=dry_run)).removed for dry_run in (True, False)]

    assert removed == [0, 0]
    assert [signal.id for signal in signals] == ["evt_1"]
    assert later == [2, 2]
    assert run_sync(ledger._engine.parts.store.signals("default", key)) == []
