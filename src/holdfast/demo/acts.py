"""The four acts: what is done to an agent, and what its customer was charged in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from holdfast import Approval, Ledger
from holdfast.demo.crew import EXITED, Child, Crew, DemoFailed
from holdfast.demo.person import Person, asked
from holdfast.demo.provider import Provider

TRIES: Final = 5
"""How often an agent is started on one order before the supervisor would give up."""

KILLED: Final = "killed"
ANSWERED: Final = "answered"

_HOLD: Final[Mapping[str, object]] = {"kind": "hold", "seconds": 60}
_DROP: Final[Mapping[str, object]] = {"kind": "drop"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What one act does.

    Attributes:
        name: ``without``, ``with`` or ``ambiguous``.
        title: Its headline.
        plot: What happens, in a sentence or two.
        guarded: Whether the agent charges through the ledger.
        faults: What befalls the provider's answers, charge by charge.
        tries: How often the agent is started.
        promised: How many charges there have to be in the end.
        states: Of the effects that a guarded act leaves, newest first.
        asks: Whether a person decides on each charge first.
    """

    name: str
    title: str
    plot: str
    guarded: bool
    faults: Sequence[Mapping[str, object]]
    tries: int
    promised: int
    states: tuple[str, ...] = ("succeeded",)
    asks: bool = False


SCRIPTS: Final = (
    Script(
        name="without",
        title="Act 1: without holdfast",
        plot="The agent is killed with SIGKILL after the provider took the money and before its answer "
        f"arrived, and is started again: {TRIES} tries.",
        guarded=False,
        faults=[_HOLD] * (TRIES - 1),
        tries=TRIES,
        promised=TRIES,
    ),
    Script(
        name="with",
        title="Act 2: with holdfast",
        plot=f"The same agent, killed at the same place, started again likewise: {TRIES} tries. "
        "Only its tool call goes through ledger.run().",
        guarded=True,
        faults=[_HOLD] * (TRIES - 1),
        tries=TRIES,
        promised=1,
    ),
    Script(
        name="ambiguous",
        title="Act 3: the answer gets lost",
        plot="Nobody dies, but the connection breaks after the provider took the money, so the tool gets "
        "no answer. The ledger does not guess: it writes down `unknown` and asks for evidence.",
        guarded=True,
        faults=[_DROP],
        tries=1,
        promised=1,
    ),
    Script(
        name="approval",
        title="Act 4: you approved 100",
        plot="The agent may charge what a person approves. 100.00 is approved, and charged. Then something "
        "that it has read tells it to charge 10,000.00: that is another call, so it is another question.",
        guarded=True,
        faults=(),
        tries=1,
        promised=1,
        states=("denied", "succeeded"),
        asks=True,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One life of the agent.

    Attributes:
        number: 1 for the first.
        pid: Its process.
        end: ``killed`` or ``answered``.
        call_ids: The model's ids of the tool calls in it.
        answers_lost: How often the tool was left without the provider's answer.
        text: The model's closing sentence; ``None`` when the agent did not live to hear it.
        charges: Charges of the order in the provider's log afterwards.
    """

    number: int
    pid: int
    end: str
    call_ids: tuple[str, ...]
    answers_lost: int
    text: str | None
    charges: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """How an act ended.

    Attributes:
        order_id: The order that was to be charged once.
        workflow_id: The agent's name across its restarts.
        charges_created: What the provider's own log says.
    """

    script: Script
    order_id: str
    workflow_id: str
    tries: tuple[Try, ...]
    charges_created: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What all acts share: the processes, and where the two servers listen."""

    crew: Crew
    payments_url: str
    model_url: str
    ledger: Ledger
    person: Person

    @property
    def provider(self) -> Provider:
        """A client of the payments provider."""
        return Provider(self.payments_url)


async def play(
    stage: Stage,
    script: Script,
    order_id: str,
    *,
    seen: Callable[[Try], None],
    answered: Callable[[Approval], None],
) -> Act:
    """Play one act on an order of its own, telling *seen* of each try as it ends, *answered* of each answer.

    Raises:
        DemoFailed: A process ended in a way that the script does not know.
    """
    workflow_id = f"agent-{order_id}"
    await asyncio.to_thread(stage.provider.plan_faults, script.faults)
    tries: list[Try] = []
    for number in range(1, script.tries + 1):
        agent = await stage.crew.start(
            "agent",
            "agent",
            "--with" if script.guarded else "--without",
            *("--model", stage.model_url),
            *("--payments", stage.payments_url),
            *("--order", order_id),
            *("--workflow", workflow_id),
            *(("--asks", f"{stage.person.patience_s:g}") if script.asks else ()),
        )
        tries.append(await _watch(stage, agent, number, order_id, answered))
        seen(tries[-1])
    return Act(
        script=script,
        order_id=order_id,
        workflow_id=workflow_id,
        tries=tuple(tries),
        charges_created=await asyncio.to_thread(stage.provider.charges_created, order_id),
    )


async def _watch(
    stage: Stage, agent: Child, number: int, order_id: str, answered: Callable[[Approval], None]
) -> Try:
    """Follow one life of *agent*; kill it when the provider has the money and withholds its answer."""
    call_ids: list[str] = []
    answers_lost = 0
    text: str | None = None
    is_killed = False
    while True:
        word = await stage.crew.hear()
        match word.event, word.facts:
            case "charged", {"fault": "hold"}:
                await agent.kill()
                is_killed = True
            case "tool_call", {"call_id": str(call_id)}:
                call_ids.append(call_id)
            case "asks", {"workflow_id": str(workflow_id)}:
                question = await asked(stage.ledger, workflow_id)
                await stage.person.answer(stage.ledger, question)
                answered(await stage.ledger.approval(question.id))
            case "answer_lost", _:
                answers_lost += 1
            case "answer", {"text": str(said)}:
                text = said
            case event, _ if event == EXITED:
                _expect(word.speaker is agent and (is_killed or text is not None), word.speaker, word.facts)
                break
            case _:
                pass
    return Try(
        number=number,
        pid=agent.pid,
        end=KILLED if is_killed else ANSWERED,
        call_ids=tuple(call_ids),
        answers_lost=answers_lost,
        text=text,
        charges=await asyncio.to_thread(stage.provider.charges_created, order_id),
    )


def _expect(is_as_scripted: bool, child: Child, facts: Mapping[str, Any]) -> None:  # noqa: FBT001 - a condition
    if not is_as_scripted:
        raise DemoFailed(f"the {child.name} ended with status {facts['code']}:\n{child.last_words()}")
