"""How long the console takes for its inbox when 10,000 questions wait: ``python bench/console/inbox.py``.

It shows the page to a visitor who may decide on one question in ten, as many times as is asked for, without a
network or a browser in between, and prints the median and the 95th of 100 of the server's times.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2

from holdfast import CallContext, Chain, Directory, Ledger, Person, Stage, ToolCall
from holdfast.console import Role, Visitor, console
from holdfast.errors import ApprovalRequired
from holdfast.ports import Ask

PEOPLE = Directory([Person(id="ana", roles={"finance"}), Person(id="ben", roles={"owner"})])
ANA = Visitor("ana", frozenset({Role.APPROVER}))


def refund(customer: str, amount: int, note: str) -> dict[str, Any]:
    """Never called: people are asked first."""
    return {"customer": customer, "amount": amount, "note": note}


def role(call: ToolCall) -> Ask:
    """One question in ten is for finance, the others are for the owner."""
    name = "finance" if call.args["amount"] % 10 == 0 else "owner"
    return Ask("more than 100.00 EUR", chain=Chain(stages=(Stage(role=name),)))


async def ask(ledger: Ledger, name: str, number: int) -> None:
    """Ask people about one more refund."""
    context = CallContext(belief="The parcel came back damaged.", confidence=0.8, on_decline="I tell them.")
    args = {"customer": f"cus_{number}", "amount": number, "note": "x" * 300}
    call = ToolCall(workflow_id=f"order-{name}", tool="refund", args=args, context=context)
    agent = ledger.scoped(actor=f"desk-{number % 11}")
    with suppress(ApprovalRequired):
        await agent.run(call, refund, requires_approval=role, summary=lambda _: "Refund an order")


async def filled(url: str, many: int) -> Ledger:
    """Return a ledger in which so many questions wait, of eleven agents."""
    ledger = Ledger(url, people=PEOPLE, migrate=True)
    for begin in range(0, many, 50):
        await asyncio.gather(
            *(ask(ledger, str(number), number) for number in range(begin, min(begin + 50, many)))
        )
    return ledger


async def measured(
    ledger: Ledger, path: str, rounds: int, *, writes: bool
) -> tuple[float, float, float, int]:
    """Return the first look of a new console, median and p95 of the later ones in ms, and the page's bytes.

    Args:
        writes: Between two looks one more question is asked.
    """
    app = console(ledger, access=lambda _: ANA)
    transport = httpx2.ASGITransport(app=app)
    times: list[float] = []
    first, size = 0.0, 0
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for number in range(rounds + 5):
            if writes:
                await ask(ledger, f"{path} {number}", number)
            begun = time.perf_counter()
            answer = await client.get(path)
            took = time.perf_counter() - begun
            answer.raise_for_status()
            size = len(answer.content)
            if number == 0:
                first = took * 1000
            if number >= 5:
                times.append(took * 1000)
    times.sort()
    return first, statistics.median(times), times[max(int(0.95 * len(times)) - 1, 0)], size


async def main() -> None:
    """Fill a ledger, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiting", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--url", help="an empty database; default: a new SQLite file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        ledger = await filled(args.url or f"sqlite:///{Path(directory) / 'inbox.db'}", args.waiting)
        try:
            for path in ("/approvals", "/approvals.json", "/approvals?view=mine", "/approvals?agent=desk-3"):
                for writes in (False, True):
                    first, median, p95, size = await measured(ledger, path, args.rounds, writes=writes)
                    told = f"first {first:7.1f} ms   median {median:6.1f} ms   p95 {p95:6.1f} ms   {size:7} bytes"
                    print(f"{path:24} {'a write between looks' if writes else 'nothing written':22} {told}")
        finally:
            await ledger.close()


if __name__ == "__main__":
    asyncio.run(main())
