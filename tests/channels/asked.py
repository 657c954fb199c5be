"""What the tests of channels share: channels that remember, questions, and people."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from holdfast import CallContext, Directory, Ledger, Person, ToolCall
from holdfast._core.model import Done, StillUnknown
from holdfast._runtime.herald import Herald
from holdfast.errors import ApprovalRequired, NotDone
from holdfast.ports import Channel, Telling

PEOPLE = Directory(
    [
        Person(id="ana", roles=frozenset({"finance"}), accounts={"slack": "T1/UANA", "webhook": "crm/ana-7"}),
        Person(id="ben", accounts={"slack": "T1/UBEN", "webhook": "crm/ben-3"}),
        Person(id="bot", is_human=False, accounts={"slack": "T1/UBOT", "webhook": "crm/bot-1"}),
    ]
)
CONTEXT = CallContext(belief="bob was charged twice", uncertainty="which charge", on_decline="I tell bob")


class Remembering:
    """A channel whose other side knows each message by its id."""

    safety = "idempotent"

    def __init__(self, name: str = "page") -> None:
        self.name = name
        self.seen: list[str] = []
        self.tellings: list[Telling] = []

    def tell(self, telling: Telling) -> Any:
        self.tellings.append(telling)
        if telling.id not in self.seen:
            self.seen.append(telling.id)
        return {"number": self.seen.index(telling.id)}

    @property
    def kinds(self) -> list[str]:
        return [telling.notice.kind for telling in self.tellings]


class Pager(Remembering):
    """A channel where each message is another one for whoever gets it; it can be asked what it has sent."""

    safety = "unsafe"

    def tell(self, telling: Telling) -> Any:
        self.tellings.append(telling)
        self.seen.append(telling.id)
        return {"number": len(self.seen) - 1}

    def reconcile(self, effect: Any) -> Any:
        name = effect.args["id"]
        return Done({"number": self.seen.index(name)}) if name in self.seen else NotDone


class Broken(Remembering):
    """A channel that tells nobody."""

    def __init__(self, name: str, error: BaseException) -> None:
        super().__init__(name)
        self.error = error

    def tell(self, telling: Telling) -> Any:
        self.tellings.append(telling)
        raise self.error


class Mute(Pager):
    """A channel that fails, and of which nobody knows what it has sent."""

    def tell(self, telling: Telling) -> Any:
        super().tell(telling)
        raise TimeoutError

    def reconcile(self, effect: Any) -> Any:
        del effect
        return StillUnknown("nobody answers")


def with_channels(ledger: Any, *channels: Channel, **parts: Any) -> Any:
    """Give a ledger of the crash kit its channels."""
    engine = ledger._engine
    told = replace(engine.parts, channels=channels, announce=Herald().announce, **parts)
    ledger._engine = replace(engine, parts=told)
    return ledger


def charge(amount: Any = 100, to: str = "bob") -> dict[str, Any]:
    """What people are asked about."""
    return {"charged": amount, "to": to}


async def acharge(amount: Any = 100, to: str = "bob") -> dict[str, Any]:
    return charge(amount, to)


def call(amount: Any = 100, to: str = "bob", workflow: str = "w1") -> ToolCall:
    return ToolCall(workflow_id=workflow, tool="charge", args={"amount": amount, "to": to}, context=CONTEXT)


async def ask(ledger: Ledger, tool_call: ToolCall | None = None, **options: Any) -> Any:
    """Ask people about a call; return the question."""
    options.setdefault("requires_approval", True)
    try:
        await ledger.run(tool_call or call(), acharge, **options)
    except ApprovalRequired as required:
        return await ledger.approval(required.approval)
    msg = "nobody was asked"
    raise AssertionError(msg)


def ids(tellings: Sequence[Telling]) -> Mapping[str, int]:
    return {telling.id: sum(one.id == telling.id for one in tellings) for telling in tellings}


async def told(ledger: Ledger) -> None:
    """Wait until nothing goes on beside the callers any more, then make a round as a worker does."""
    while tasks := ledger._engine.parts.runtime._tasks:
        await asyncio.wait(set(tasks))
    await ledger.sweep()
