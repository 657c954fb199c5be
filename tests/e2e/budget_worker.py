"""A process that calls a tool under three budgets until it has been refused, or until it is killed while it holds.

python budget_worker.py '{"url": ..., "number": 3, "calls": 40, "holds_at": null, ...}'
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

from holdfast import Budget, Settings, SyncLedger, ToolCall
from holdfast.errors import BudgetExceeded

TOLD: dict[str, Any] = json.loads(sys.argv[1])
logging.getLogger("holdfast").setLevel(logging.ERROR)
CAPS = TOLD["caps"]
BUDGETS = {
    "global": Budget(tool_calls=CAPS["global"], slices=TOLD["slices"]),
    "tenant": Budget(tool_calls=CAPS["tenant"], concurrency=CAPS.get("seats")),
    "workflow": Budget(tool_calls=CAPS["workflow"]),
}


def tell(**told: Any) -> None:
    os.write(1, (json.dumps(told) + "\n").encode())


def act(n: int) -> int:
    """Change the world, by one system call; and then be killed, if this is the call."""
    world = os.open(TOLD["world"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(world, b"acted\n")
    os.close(world)
    if n == TOLD["holds_at"]:
        tell(at="holding")
        os.read(0, 16)
    return n


def main() -> None:
    settings = Settings(lease=TOLD["lease"], renew_every=TOLD["renew_every"])
    made, refused = 0, 0
    with SyncLedger(TOLD["url"], settings=settings, budgets=BUDGETS) as ledger:
        ledger.effects()
        tell(at="ready")
        os.read(0, 16)
        for n in range(TOLD["calls"]):
            call = ToolCall(
                workflow_id=f"w{TOLD['number'] % 4}", tool="act", args={"n": n}, key=f"{TOLD['number']}/{n}"
            )
            try:
                ledger.run(call, act, safety="unsafe", retry=False)
            except BudgetExceeded:
                refused += 1
            else:
                made += 1
        tell(made=made, refused=refused)


if __name__ == "__main__":
    main()
