"""A ledger with something of everything: done, in doubt, hostile, running, paused, failed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from holdfast import Permanent, SyncLedger, ToolCall
from holdfast.console import Role, Visitor
from holdfast.errors import StepFailed, WorkflowFailed

DANA = Visitor("dana@acme.example", frozenset({Role.OPERATOR, Role.ADMIN}), method="test")

HOSTILE = {
    "note": "<script>window.hit=1</script><img src=x onerror=window.hit=2>",
    "htmx": '<div hx-get="/" hx-trigger="load" hx-swap="innerHTML">stolen</div>',
    "link": "[pay](javascript:window.hit=3) https://evil.example/?q=1 ![x](https://evil.example/x.png)",
    "file": "invoice\u202egpj.exe",
    "memo": "a\u200bb\u2066c\x1b[2Jd\x00e\u3164f\ue000g",
    "lines": "\n" * 10_000 + "the end of it",
    "amount": 9007199254740993,
    "password": "hunter2",
}


@dataclass
class Shop:
    """The ledger of a shop, and the keys of its effects."""

    ledger: SyncLedger
    done: str
    doubtful: str
    hostile: str


def refund(**_: Any) -> dict[str, Any]:
    return {"id": "re_42", "amount": 9007199254740993}


def break_off(**_: Any) -> None:
    raise ConnectionResetError("the line was cut")


def shop(ledger: SyncLedger) -> Shop:
    def call(tool: str, workflow: str, handler: Any, **args: Any) -> str:
        with suppress(ConnectionResetError):
            ledger.run(ToolCall(workflow_id=workflow, tool=tool, args=args), handler)
        return str(ledger.effects(workflow_id=workflow, tool=tool)[0].key)

    @ledger.workflow
    def support(ctx: Any, topic: str) -> str:
        said = ctx.step("draft", str.upper, topic)
        ctx.step("send", str.title, said)
        return str(said)

    @ledger.workflow
    def failing(ctx: Any) -> None:
        def no() -> None:
            raise Permanent("no such customer")

        ctx.step("look up", no)

    @ledger.workflow
    def waiting(ctx: Any) -> Any:
        return ctx.wait_for("paid")

    support.run("ticket-7", topic="late parcel")
    with suppress(StepFailed, WorkflowFailed):
        failing.run("ticket-8")
    waiting.enqueue("ticket-9")
    waiting.enqueue("ticket-10")
    ledger.pause("ticket-10", by="ops@acme.example", reason="the customer called")
    support.run("odd/../name.json", topic="?")
    return Shop(
        ledger,
        done=call("stripe.refund", "order-1", refund, customer="cus_9", amount=12_000),
        doubtful=call("stripe.refund", "order-2", break_off, customer="cus_8", amount=9_000),
        hostile=call("mail.send", "order-3", break_off, **HOSTILE),
    )
