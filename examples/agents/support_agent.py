"""A support agent: killed after a refund, it goes on; the refund is made once, no model call is repeated."""

from typing import Any

from _offline import SOON, chat, stage, worst_moment

from holdfast import Done, Effect, NotDone, SyncLedger
from holdfast.agent import agent

with stage() as home, SyncLedger(f"sqlite:///{home}/ledger.db", settings=SOON) as ledger:
    bank = home / "bank.log"

    @ledger.tool(safety="read")
    def look_up(order: str) -> dict:
        """Look an order up."""
        return {"order": order, "cents": 500}

    def find_refund(effect: Effect) -> Done | NotDone:
        lines = bank.read_text().splitlines() if bank.exists() else []
        return Done({"cents": effect.args["cents"]}) if effect.idem_key in lines else NotDone()

    @ledger.tool(reconcile=find_refund)
    def refund(order: str, cents: int, effect: Effect) -> dict:
        """Pay money back for an order."""
        with bank.open("a") as log:
            print(effect.idem_key, file=log)
        worst_moment(f"order {order}: {cents} cents are refunded, the ledger does not know it")
        return {"cents": cents}

    @ledger.workflow
    def support(ctx: Any, task: str) -> str:
        return agent(ctx, chat, task, tools=[look_up, refund], steps=10, window=8000, timeout="60s")

    print(support.run("ticket-7", task="I never got order 1042. I want my money back."))
    print("refunds at the bank:", len(bank.read_text().splitlines()))
