"""Charge a card and die with the answer in hand. Run it again: the card is not charged twice.

python examples/charge_and_die.py               # first run: killed after the charge
python examples/charge_and_die.py               # second run: in doubt, nothing is repeated
python examples/charge_and_die.py --look-it-up  # third run: a reconciler finds the charge
"""

import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path

from holdfast import Done, Effect, Ledger, NotDone, Settings, ToolCall
from holdfast.errors import OutcomeUnknown

logging.getLogger("holdfast").setLevel(logging.ERROR)
CHARGES = Path("charges.log")  # stands for the provider: what is in here has happened
CALL = ToolCall(workflow_id="order-123", tool="stripe.charge", args={"amount": 100})


def charge_and_die(amount: int, effect: Effect) -> dict[str, object]:
    charge: dict[str, object] = {"id": "ch_1", "amount": amount}
    with CHARGES.open("a") as log:
        log.write(json.dumps({"key": effect.idem_key, "charge": charge}) + "\n")
    print("charged; now kill -9", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    return charge


def look_it_up(effect: Effect) -> Done | NotDone:
    for line in CHARGES.read_text().splitlines():
        known = json.loads(line)
        if known["key"] == effect.idem_key:
            return Done(known["charge"])
    return NotDone()


async def main() -> None:
    # A short lease, so that the second run need not wait 10 seconds for the first one's claim.
    async with Ledger("sqlite:///charges.db", settings=Settings(lease=1, renew_every=0.3)) as ledger:
        try:
            reconcile = look_it_up if "--look-it-up" in sys.argv else None
            print(await ledger.run(CALL, handler=charge_and_die, reconcile=reconcile))
        except OutcomeUnknown as doubt:
            print("in doubt:", doubt.why)


asyncio.run(main())
