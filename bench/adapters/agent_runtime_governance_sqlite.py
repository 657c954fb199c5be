"""agent-runtime-governance: its runtime with the SQLite idempotency store, the only durable one it has."""

from agent_runtime_governance import ExecutionMode, InvocationOptions, Runtime
from agent_runtime_governance.registry import SQLiteIdempotencyStore
from protocol import arguments, main


class AgentRuntimeGovernance:
    async def open(self, dsn: str, workers: int) -> None:
        self.runtime = Runtime(idempotency_store=SQLiteIdempotencyStore(dsn))

        @self.runtime.tool(execution_mode=ExecutionMode.IDEMPOTENT)
        async def charge(customer: str, amount: int) -> dict:
            return {"ok": True, "id": f"{customer.removeprefix('cus_')}-{amount}"}

    async def call(self, workflow: str, i: int, j: int) -> dict[str, object]:
        options = InvocationOptions(idempotency_key=f"{workflow}:{i}:{j}")
        return await self.runtime.ainvoke("charge", customer=f"cus_{i}", amount=j, _governance=options)

    async def close(self) -> None:
        await self.runtime.aclose()


if __name__ == "__main__":
    main(AgentRuntimeGovernance(), arguments().parse_args())
