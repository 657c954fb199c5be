"""effect-ledger on PostgreSQL: its executor's async way (the store runs in threads, a connection per transaction)."""

from effect_ledger.operations import EffectExecutor
from effect_ledger.postgres import PostgresOperationStore
from protocol import arguments, main


class EffectLedger:
    async def open(self, dsn: str, workers: int) -> None:
        self.executor = EffectExecutor(scope="bench", store=PostgresOperationStore(dsn))

    async def call(self, workflow: str, i: int, j: int) -> dict[str, object]:
        async def charge(_operation: object) -> dict[str, object]:
            return {"ok": True, "id": f"{i}-{j}"}

        request = {"customer": f"cus_{i}", "amount": j}
        done = await self.executor.aexecute(f"{workflow}:{i}:{j}", "charge:v1", request, charge)
        return done.result

    async def close(self) -> None:
        """The store holds no connection between transactions."""


if __name__ == "__main__":
    main(EffectLedger(), arguments().parse_args())
