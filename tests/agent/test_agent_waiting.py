"""An agent that waits knows it, holds nothing, and does nothing a second time when it is woken."""

from __future__ import annotations

from agent.scripted import Model, Office, call, heard, into, says


async def test_fifty_wake_ups_of_an_agent_that_waits_for_a_reply_send_no_second_message(
    office: Office,
) -> None:
    """RET-22: the follow-up went out once; that it waits, and for what, can be seen."""
    sent: list[str] = []
    model = Model(
        says(call("follow_up", to="ada@home.example")),
        says(call("wait_for_reply")),
        lambda messages: says(text=f"She says: {heard(messages)[-1]['result']}"),
    )

    def declared() -> object:
        tool = office.tool(into(sent, "to"), name="follow_up")
        return office.agent(model, tools=[tool], waits={"reply": None})

    support = declared()
    assert await office.wake(support) == "signal 'reply'"
    for n in range(50):
        await office.book.signal("ticket-1", "weather", n)  # a wake-up that is not for it
        if n % 10 == 0:
            office.restart()
            support = declared()
        assert await office.wake(support) == "signal 'reply'"

    [execution] = await office.book.executions(workflow="support")
    assert (execution.status, execution.waits_for) == ("waiting", "signal 'reply'")
    assert (sent, model.count) == (["ada@home.example"], 2)

    await office.book.signal("ticket-1", "reply", "yes")
    assert await office.run(support) == "She says: yes"
    assert (sent, model.count) == (["ada@home.example"], 3)


async def test_a_wait_has_an_end_and_the_model_is_told(office: Office) -> None:
    """RET-22, RET-18."""
    model = Model(says(call("wait_for_reply")), says(text="Nobody answered."))

    assert await office.run(office.agent(model, waits={"reply": 0.01})) == "Nobody answered."
    assert [one["status"] for one in model.told] == ["timeout"]


async def test_what_is_called_beside_a_wait_is_done_before_it(office: Office) -> None:
    """RET-22: results keep the order of the calls."""
    sent: list[str] = []
    model = Model(says(call("wait_for_reply"), call("follow_up", to="ada")), says(text="ok"))
    tool = office.tool(into(sent, "to"), name="follow_up")
    support = office.agent(model, tools=[tool], waits={"reply": "1d"})

    await office.wake(support)
    assert sent == ["ada"]
    await office.book.signal("ticket-1", "reply", 7)
    await office.run(support)

    assert [one["result"] for one in model.told] == [7, None]
    assert sent == ["ada"]
