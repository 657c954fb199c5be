"""holdfast on PostgreSQL; ``--no-group-commit`` gives every call commits of its own, on as many connections as tasks."""

from holdfast_call import HoldfastAdapter
from protocol import arguments, main

from holdfast import Ledger
from holdfast.settings import Settings


class HoldfastPostgres(HoldfastAdapter):
    def __init__(self, *, group_commit: bool) -> None:
        self.group_commit = group_commit

    def ledger_for(self, dsn: str, workers: int) -> Ledger:
        if self.group_commit:
            return Ledger(dsn, migrate=True)
        return Ledger(dsn, migrate=True, settings=Settings(group_commit=False, pool_size=max(2, workers)))


if __name__ == "__main__":
    parser = arguments()
    parser.add_argument("--no-group-commit", action="store_true")
    options = parser.parse_args()
    main(HoldfastPostgres(group_commit=not options.no_group_commit), options)
