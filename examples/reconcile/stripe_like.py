"""A charge whose answer is lost, found again by its idempotency key.

python examples/reconcile/stripe_like.py
"""

import logging
from typing import Any

from _json_api import NotFound, Provider, ask
from _lost_answer import Wire, serving

from holdfast import Effect, SyncLedger
from holdfast.reconcilers import by_key

logging.getLogger("holdfast").setLevel(logging.ERROR)
CHARGES: list[dict[str, Any]] = []  # at the provider: every request that arrives makes one


class Payments(Provider):
    """Takes every request for a new charge; can be asked for the charges of a key."""

    def post(self) -> None:
        key = self.headers["Idempotency-Key"]
        CHARGES.append({"id": f"ch_{len(CHARGES) + 1}", **self.body, "idempotency_key": key})
        self.answer(200, CHARGES[-1])

    def get(self) -> None:
        key = self.path.rpartition("/")[2]
        found = [charge for charge in CHARGES if charge["idempotency_key"] == key]
        self.answer(200 if found else 404, found)


def main() -> None:
    server = Payments.server()
    wire = Wire(server.server_address)

    def find_charges(idem_key: str) -> Any:
        return ask(wire.address, "GET", f"/v1/charges/by_key/{idem_key}")

    def charge(amount: int, currency: str, effect: Effect) -> Any:
        body = {"amount": amount, "currency": currency}
        return ask(
            wire.address, "POST", "/v1/charges", body=body, headers={"Idempotency-Key": effect.idem_key}
        )

    with serving(server), serving(wire), SyncLedger("memory://") as ledger:
        find = by_key(find_charges, not_found=NotFound)
        tool = ledger.tool("stripe.charge", timeout="30s", retry=False, reconcile=find)(charge)

        wire.cut_after(b"POST")
        try:
            tool.run("order-123", amount=100, currency="usd")
        except ConnectionError as error:
            print("the answer was lost:", type(error).__name__)
        print("the ledger says:", ledger.effects()[0].state)

        wire.mend()
        print("the same call again:", tool.run("order-123", amount=100, currency="usd")["id"])
        print("the ledger says:", ledger.effects()[0].state)
        print("charges at the provider:", len(CHARGES))


main()
