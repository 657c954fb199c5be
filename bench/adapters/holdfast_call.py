"""The guarded call that both of holdfast's adapters make: default safety, all arguments in the identity."""

from abc import ABC, abstractmethod

from holdfast import Ledger, ToolCall


async def charge(customer: str, amount: int) -> dict[str, object]:
    return {"ok": True, "id": f"{customer.removeprefix('cus_')}-{amount}"}


class HoldfastAdapter(ABC):
    """Opens a ledger as its README says, and calls through ``ledger.run``."""

    @abstractmethod
    def ledger_for(self, dsn: str, workers: int) -> Ledger:
        """The ledger to measure; its tables are created when it opens."""

    async def open(self, dsn: str, workers: int) -> None:
        self.ledger = self.ledger_for(dsn, workers)
        await self.ledger.__aenter__()

    async def call(self, workflow: str, i: int, j: int) -> dict[str, object]:
        call = ToolCall(workflow_id=workflow, tool="charge", args={"customer": f"cus_{i}", "amount": j})
        return await self.ledger.run(call, handler=charge)

    async def close(self) -> None:
        await self.ledger.close()
