"""holdfast on SQLite, with its defaults: WAL, synchronous=FULL."""

from holdfast_call import HoldfastAdapter
from protocol import arguments, main

from holdfast import Ledger


class HoldfastSqlite(HoldfastAdapter):
    def ledger_for(self, dsn: str, workers: int) -> Ledger:
        return Ledger(f"sqlite:///{dsn}")


if __name__ == "__main__":
    main(HoldfastSqlite(), arguments().parse_args())
