"""exactly-once on PostgreSQL: the ``@once`` decorator with its Postgres store (one connection per process)."""

from exactly_once import Store, once
from protocol import arguments, main


class ExactlyOnce:
    async def open(self, dsn: str, workers: int) -> None:
        self.store = Store.postgres(dsn)

        @once(self.store, key=lambda workflow, i, j: f"{workflow}:charge:{i}:{j}")
        async def charge(workflow: str, i: int, j: int) -> dict[str, object]:
            return {"ok": True, "id": f"{i}-{j}"}

        self.charge = charge

    async def call(self, workflow: str, i: int, j: int) -> dict[str, object]:
        return await self.charge(workflow, i, j)

    async def close(self) -> None:
        await self.store.aclose()
        self.store.close()


if __name__ == "__main__":
    main(ExactlyOnce(), arguments().parse_args())
