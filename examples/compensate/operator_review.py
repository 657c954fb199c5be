"""What nobody can know, and what cannot be undone, waits for a person: with the reason and what is on record.

python examples/compensate/operator_review.py

The bank's answer to a charge was lost, and its statement is not out yet. And a parcel was delivered, which no
courier calls back. Nothing here is guessed, and nothing is swallowed.
"""

from pathlib import Path

from _stage import SOON, show, stage, worst_moment

from holdfast import Alert, Done, Effect, Permanent, StillUnknown, SyncLedger, Undone
from holdfast.errors import OutcomeUnknown

ORDER = "order-123"


def ask_the_bank(effect: Effect) -> StillUnknown:
    return StillUnknown(f"no statement yet that would show {effect.args['amount']} cents")


def refund(undone: Undone) -> str:
    return f"{undone.result['id']} refunded"


def call_back(undone: Undone) -> None:
    raise Permanent(f"parcel {undone.result['id']} has been delivered")


def main(home: Path) -> None:
    def tell(alert: Alert) -> None:
        print("alert:", alert.code)

    with SyncLedger(f"sqlite:///{home}/ledger.db", settings=SOON, on_alert=tell) as ledger:

        @ledger.tool("courier.send", compensate=call_back)
        def send() -> dict[str, str]:
            return {"id": "parcel-7"}

        @ledger.tool("bank.charge", retry=False, reconcile=ask_the_bank, compensate=refund)
        def charge(amount: int) -> dict[str, str]:
            raise ConnectionResetError(f"{amount} cents may have been charged")

        send.run(ORDER)
        try:
            charge.run(ORDER, amount=100)
        except (ConnectionResetError, OutcomeUnknown):
            print("the parcel was sent; the bank's answer was lost")
        show(ledger.compensate(ORDER, reason="the customer changed her mind"))

        for workflow in ledger.workflows(status="needs_review"):
            print("to be reviewed:", workflow.workflow_id, workflow.stopped)
        for doubt in ledger.effects(workflow_id=ORDER, state="unknown"):
            print("on record:", doubt.tool, doubt.args)
            for event in ledger.audit(doubt.key):
                print(f"  {event.event}  {event.note}".rstrip())
        worst_moment("it waits for a person")

        for doubt in ledger.effects(workflow_id=ORDER, state="unknown"):
            print("a person reads the statement: charged")
            found = Done({"id": "ch_1"})
            ledger.resolve(doubt.key, found, by="ada@shop.example", reason="on the statement of March")
        show(ledger.compensate(ORDER, reason="the customer changed her mind"))
        print("a person lets it go on: the customer keeps the parcel")
        ledger.resume(ORDER, by="ada@shop.example", reason="she keeps the parcel, with our compliments")
        print("left to be reviewed:", len(ledger.workflows(status="needs_review")))


with stage() as directory:
    main(directory)
