"""Fixed steps need no agent: find, answer, classify, write; killed anywhere, it goes on where it was."""

import re
from typing import Any

from _offline import SOON, stage, worst_moment

from holdfast import Done, Effect, NotDone, SyncLedger

PAGES = {
    "refunds": "Refunds take five days. They go back to the card.",
    "shipping": "Parcels leave the warehouse on the day of the order.",
}


def words(text: str) -> set[str]:
    return set(re.findall(r"\w{4,}", text.lower()))


def find(question: str) -> list[str]:  # stands for a search: what is found may be asked for again
    print("find")
    return sorted(PAGES, key=lambda name: -len(words(question) & words(f"{name} {PAGES[name]}")))[:1]


def answer(question: str, pages: list[str]) -> str:  # stands for a model, as does the next one
    print("answer")
    return PAGES[pages[0]].split(".")[0] + "."


def classify(question: str) -> str:
    print("classify")
    return "billing" if words(question) & {"refund", "refunds", "money", "card"} else "other"


with stage() as home, SyncLedger(f"sqlite:///{home}/ledger.db", settings=SOON) as ledger:
    desk = home / "desk.log"

    @ledger.tool("desk.read", safety="read")
    def read(ticket: str) -> str:
        return "How long do refunds take?"

    def find_reply(effect: Effect) -> Done | NotDone:
        return Done() if desk.exists() and effect.idem_key in desk.read_text() else NotDone()

    @ledger.tool("crm.write", reconcile=find_reply)
    def write(ticket: str, label: str, reply: str, effect: Effect) -> None:
        with desk.open("a") as log:
            print(effect.idem_key, ticket, label, reply, file=log)
        worst_moment("the reply is written, the ledger does not know it")

    @ledger.workflow
    def ticket(ctx: Any, ticket: str) -> str:
        question = read(ticket=ticket)
        pages = ctx.step("find", find, question)
        reply = ctx.step("answer", answer, question, pages, retries=3, timeout="60s")
        label = ctx.step("classify", classify, question)
        write(ticket=ticket, label=label, reply=reply)
        return f"{label}: {reply}"

    print(ticket.run("ticket-7", ticket="7"))
    print("replies written:", len(desk.read_text().splitlines()))
    for effect in reversed(ledger.effects(workflow_id="ticket-7")):
        print(effect.tool, effect.state)
