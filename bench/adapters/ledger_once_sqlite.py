"""ledger-once on its SQLite store; ``--full`` sets synchronous=FULL, which the library itself does not."""

# ruff: noqa: SLF001 - its store class has no public name

import sqlite3

import ledger
from protocol import arguments, main


class FullySynchronous(ledger._SQLite):
    def _conn(self) -> sqlite3.Connection:
        is_new = not hasattr(self._tl, "c")
        connection = super()._conn()
        if is_new:
            connection.execute("PRAGMA synchronous=FULL")
        return connection


class LedgerOnce:
    def __init__(self, *, full: bool) -> None:
        self.full = full

    async def open(self, dsn: str, workers: int) -> None:
        self.store = (FullySynchronous if self.full else ledger._SQLite)(dsn)
        self.guard = ledger.Guard(store=self.store)
        self.guard.quiet()

        async def charge(workflow: str, customer: str, amount: int) -> dict[str, object]:
            return {"ok": True, "id": f"{customer.removeprefix('cus_')}-{amount}"}

        self.guard.policy(charge, replay=True)
        self.charge = charge

    async def call(self, workflow: str, i: int, j: int) -> dict[str, object]:
        return await self.guard(self.charge, workflow=workflow, customer=f"cus_{i}", amount=j)

    async def close(self) -> None:
        self.store._conn().close()


if __name__ == "__main__":
    parser = arguments()
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    main(LedgerOnce(full=options.full), options)
