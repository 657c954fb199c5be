"""agent-ledger on PostgreSQL: its PostgresStore over a psycopg pool, as its README sets it up."""

from agent_ledger import EffectLedger, EffectLedgerOptions, ToolCall
from agent_ledger.stores.postgres import SCHEMA_SQL, PostgresStore
from protocol import arguments, main
from psycopg_pool import AsyncConnectionPool


class AgentLedger:
    async def open(self, dsn: str, workers: int) -> None:
        size = max(4, workers)  # 4 is the pool's own default
        self.pool = AsyncConnectionPool(conninfo=dsn, open=False, min_size=size, max_size=size)
        await self.pool.open(wait=True)
        async with self.pool.connection() as connection:
            await connection.execute(SCHEMA_SQL)
        self.ledger = EffectLedger(EffectLedgerOptions(store=PostgresStore(pool=self.pool)))

    async def call(self, workflow: str, i: int, j: int) -> dict[str, object]:
        async def charge(_effect: object) -> dict[str, object]:
            return {"ok": True, "id": f"{i}-{j}"}

        call = ToolCall(workflow_id=workflow, tool="charge", args={"customer": f"cus_{i}", "amount": j})
        return await self.ledger.run(call, charge)

    async def close(self) -> None:
        await self.pool.close()


if __name__ == "__main__":
    main(AgentLedger(), arguments().parse_args())
