"""idemkit on PostgreSQL: the ``@idempotent`` decorator with its asyncpg backend."""

from idemkit import MethodConfig, PostgresBackend, idempotent
from idemkit.backends.postgres import init_pg
from protocol import arguments, main


class Idemkit:
    async def open(self, dsn: str, workers: int) -> None:
        await init_pg(dsn)
        self.backend = PostgresBackend.from_url(dsn)
        config = MethodConfig(key_fields=["customer", "amount"], scope=lambda args: args["workflow"])

        @idempotent(backend=self.backend, config=config)
        async def charge(*, workflow: str, customer: str, amount: int) -> dict[str, object]:
            return {"ok": True, "id": f"{customer.removeprefix('cus_')}-{amount}"}

        self.charge = charge

    async def call(self, workflow: str, i: int, j: int) -> dict[str, object]:
        return await self.charge(workflow=workflow, customer=f"cus_{i}", amount=j)

    async def close(self) -> None:
        await self.backend.aclose()


if __name__ == "__main__":
    main(Idemkit(), arguments().parse_args())
