"""Renewing leases from the heartbeat's thread."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime

import psycopg

from holdfast.ports import Lease
from holdfast.stores.postgres.schema import connect, statements
from holdfast.stores.postgres.wire import translate


class PostgresRenewer:
    """Renews leases over a connection of its own."""

    def __init__(self, where: str, clock: Callable[[], datetime] | None) -> None:
        sql = statements()
        self._connection = connect(where, sql["begin_session"])
        self._clock = clock
        self._sql = sql["renew_leases"]

    def renew(self, leases: Sequence[Lease], lease_s: float) -> set[Lease]:
        """See :meth:`holdfast.ports.Renewer.renew`."""
        rows = [{"tenant": lease.tenant, "key": lease.key, "fence": lease.fence} for lease in leases]
        parameters = {
            "leases": json.dumps(rows),
            "lease_s": lease_s,
            "now": None if self._clock is None else self._clock(),
        }
        try:
            renewed = set(self._connection.execute(self._sql, parameters).fetchall())
        except psycopg.Error as error:
            raise translate(error, "renew leases") from error
        return {lease for lease in leases if (lease.tenant, lease.key, lease.fence) in renewed}

    def close(self) -> None:
        """See :meth:`holdfast.ports.Renewer.close`."""
        self._connection.close()
