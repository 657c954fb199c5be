"""Loops of one's own: ``ledger.turn(..., loops=LoopWatch())``."""

from __future__ import annotations

from typing import Any

import pytest

from agent.scripted import Office, call
from holdfast import LoopRules, LoopWatch, Poll
from holdfast.errors import InvalidCall, LoopDetected, WorkflowFailed, WorkflowWaiting


async def turn(office: Office, watch: LoopWatch | None, *calls: Any, **options: Any) -> Any:
    """One turn of a model, outside of workflows."""
    return await office.book.do(office.ledger.turn, list(calls), workflow_id="task-1", loops=watch, **options)


def codes(receipts: Any) -> list[list[str]]:
    """What was found, by receipt."""
    return [[finding.code for finding in receipt.findings] for receipt in receipts]


async def test_the_last_receipt_tells_and_then_the_work_ends(office: Office) -> None:
    """COS-06: the model hears of it through ``for_model``; all calls of the last turn ran."""
    ran: list[int] = []
    office.tool(lambda: ran.append(1), name="look", safety="read")
    watch = LoopWatch()

    found = [await turn(office, watch, call("look")) for _ in range(4)]
    with pytest.raises(LoopDetected, match="task-1") as stuck:
        await turn(office, watch, call("look"))

    assert [codes(receipts) for receipts in found] == [
        [[]],
        [[]],
        [["identical_result"]],
        [["identical_result"]],
    ]
    assert "3 times" in found[2][-1].for_model()
    assert (stuck.value.why, stuck.value.limit, len(ran)) == ("identical_result", 5, 5)
    assert watch.signs[0].stage == "stop"


async def test_without_a_watch_nobody_is_told(office: Office) -> None:
    """COS-06: who asks the same for five people in a row is in no loop."""
    office.tool(lambda: 1, name="look", safety="read")

    found = [await turn(office, None, call("look")) for _ in range(8)]

    assert not any(code for receipts in found for code in codes(receipts)[0])


async def test_each_task_has_a_watch_of_its_own(office: Office) -> None:
    """COS-06."""
    office.tool(lambda: 1, name="look", safety="read")

    for _ in range(4):
        watch = LoopWatch()
        for _ in range(2):
            assert codes(await turn(office, watch, call("look"))) == [[]]


async def test_equal_calls_that_are_meant_are_no_duplicates(office: Office) -> None:
    """COS-06: ``distinct=True`` says so; without it the second receipt tells, once."""
    office.tool(lambda to: to, name="send")
    watch, pair = LoopWatch(), (call("send", to="a"), call("send", to="a"))

    assert codes(await turn(office, watch, *pair, distinct=True)) == [[], []]
    assert watch.signs == ()
    assert codes(await turn(office, watch, *pair)) == [[], ["duplicate_intent"]]
    assert [sign.kind for sign in watch.signs] == ["duplicate_intent"]


async def test_a_turn_without_calls_is_none(office: Office) -> None:
    """COS-06."""
    assert await turn(office, LoopWatch()) == []


async def test_a_poll_is_known_by_its_declaration(office: Office) -> None:
    """COS-06: by the times at which it looked."""
    office.tool(lambda: {"status": "running"}, name="look", safety="read", pattern=Poll(every="1h"))
    watch = LoopWatch()

    found = [codes(await turn(office, watch, call("look"))) for _ in range(4)]

    assert found == [[[]], [[]], [[]], [["identical_result"]]]


async def test_a_workflow_that_goes_on_elsewhere_has_seen_the_same(office: Office) -> None:
    """COS-06: six looks with news in the first life; the second one is not told that they were equal."""
    answers = iter(range(100))

    def declared() -> Any:
        office.tool(lambda: next(answers), name="look", safety="read")
        found: list[Any] = []

        def note(receipts: Any, watch: LoopWatch) -> None:
            found.append([sign.kind for sign in watch.signs])

        if office.book.is_sync:

            def code(ctx: Any) -> Any:
                watch = LoopWatch()
                for n in range(7):
                    note(office.ledger.turn([call("look")], loops=watch), watch)
                    if n == 5:
                        ctx.wait_for("go")
                return found

        else:

            async def code(ctx: Any) -> Any:
                watch = LoopWatch()
                for n in range(7):
                    note(await office.ledger.turn([call("look")], loops=watch), watch)
                    if n == 5:
                        await ctx.wait_for("go")
                return found

        return office.ledger.workflow(code, name="watched")

    with pytest.raises(WorkflowWaiting):
        await office.book.do(declared().options(wait=0.001).run, "w-1")
    office.restart()
    resumed = declared()
    await office.book.do(office.ledger.signal, "w-1", "go", 1)

    assert await office.book.do(resumed.run, "w-1") == [[]] * 7


async def test_a_workflow_in_a_loop_fails_and_says_so_again(office: Office) -> None:
    """COS-06: what was seen is on record with each turn."""
    office.tool(lambda: 1, name="look", safety="read")
    if office.book.is_sync:

        def code(ctx: Any) -> None:
            watch = LoopWatch(LoopRules())
            while True:
                office.ledger.turn([call("look")], loops=watch)

    else:

        async def code(ctx: Any) -> None:
            watch = LoopWatch(LoopRules())
            while True:
                await office.ledger.turn([call("look")], loops=watch)

    workflow = office.ledger.workflow(code, name="endless")

    for _ in range(2):
        with pytest.raises(WorkflowFailed, match=r"LoopDetected.*'look' with the same arguments 5 times"):
            await office.book.do(workflow.run, "w-1")
    assert [name for name in await office.steps("w-1") if name != "look"] == ["loop signs"] * 5


def test_a_watch_without_rules_is_refused() -> None:
    """COS-06."""
    rules: Any = 3
    with pytest.raises(InvalidCall, match="rules of loops are int"):
        LoopWatch(rules)
